"""float32 means IEEE float32: the scope in which TF32 is off, or on where it was asked for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


def matmul_settings() -> list[Any]:
    """The objects whose ``fp32_precision`` governs float32 matrix products, CUDA's and the CPU's."""
    return [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]


@contextmanager
def matmul_precision(wanted: str) -> Iterator[None]:
    """Run float32 matrix products in precision `wanted` (``ieee`` or ``tf32``), then restore.

    A setting that already means `wanted` is left alone: ``none``, the default,
    means IEEE, and writing the new switch makes PyTorch's older ones unreadable.
    """
    with ExitStack() as restore:
        for settings in matmul_settings():
            before = settings.fp32_precision
            if (wanted if before == "none" and wanted == "ieee" else before) != wanted:
                settings.fp32_precision = wanted
                restore.callback(setattr, settings, "fp32_precision", before)
        yield
