"""Memory for arrays on the CPU, which PyTorch and JAX ask the C library for, and give back to it."""

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` (glibc's malloc.h)."""


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for all of this process, where it is glibc.

    It maps a large tensor anew each time, or gives the end of its heap back to
    the system; then each step's gradients cost a page fault for every 4 KiB.
    PyTorch's own guide to tuning has allocators take the place of glibc's for that reason.
    """
    if mallopt := _glibc("mallopt"):
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def give_back_memory() -> None:
    """Give the system what is free after all, once: a check frees several times what a step needs."""
    if trim := _glibc("malloc_trim"):
        trim(ctypes.c_size_t(0))


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
