"""Memory for tensors on the CPU, which PyTorch asks the C library for, and gives back to it."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` (glibc's malloc.h)."""


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for all of this process, where it is glibc.

    It maps a large tensor anew each time, or gives the end of its heap back to
    the system; then each step's gradients cost a page fault for every 4 KiB.
    PyTorch's own guide to tuning has allocators take the place of glibc's for that reason.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
