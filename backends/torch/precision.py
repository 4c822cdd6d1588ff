"""float32 means IEEE float32: the scope in which TF32 is off, or on where it was asked for."""

from collections.abc import Callable, Iterator
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
            if not _means(before, wanted):
                settings.fp32_precision = wanted
                restore.callback(setattr, settings, "fp32_precision", before)
        yield


class InPrecision:
    """Calls functions in a precision, without `matmul_precision`'s cost where nothing is to be set.

    A user may change the setting between any two calls, so that each call looks; at the one
    setting that governs the device, and not at all where the dtype has no TF32.
    """

    def __init__(self, dtype: str, device: torch.device) -> None:
        self._wanted = "tf32" if dtype == "tf32" else "ieee"
        cuda, cpu = matmul_settings()
        self._settings = (cuda if device.type == "cuda" else cpu) if dtype in ("tf32", "float32") else None

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._settings is None or _means(self._settings.fp32_precision, self._wanted):
            return function(*arguments)
        with matmul_precision(self._wanted):
            return function(*arguments)


def _means(setting: str, wanted: str) -> bool:
    return setting == wanted or (setting == "none" and wanted == "ieee")
