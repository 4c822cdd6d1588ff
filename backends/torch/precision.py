"""What dtypes mean on CUDA: TF32 only where it was asked for, and sums of narrow dtypes in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def matmul_settings() -> list[Any]:
    """The objects whose ``fp32_precision`` governs float32 matrix products, CUDA's and the CPU's."""
    return [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]


@contextmanager
def matmul_precision(wanted: str) -> Iterator[None]:
    """Run float32 matrix products in precision `wanted` (``ieee`` or ``tf32``), then restore.

    Settings that already mean `wanted` are left alone: ``none``, the default, means IEEE. What reads as the
    setting above it does is taken for one that follows it: which it is PyTorch does not tell.
    """
    settings = matmul_settings()
    found = [setting.fp32_precision for setting in settings]
    if all(_means(precision, wanted) for precision in found):
        yield
        return
    older = _older_switch()
    above = [torch.backends.fp32_precision, torch.backends.mkldnn.fp32_precision]  # type: ignore[attr-defined]
    for setting, precision in zip(settings, found, strict=True):
        if not _means(precision, wanted):
            _write(setting, wanted)
    try:
        yield
    finally:
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for setting, precision, parent in zip(settings, found, above, strict=True):
            setting.fp32_precision = "none" if precision == parent else precision


def _older_switch() -> str | None:
    """PyTorch's older switch for all devices: None where it cannot be read, as the new ones contradict it."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


REDUCTIONS = {
    "float16": "allow_fp16_reduced_precision_reduction",
    "bfloat16": "allow_bf16_reduced_precision_reduction",
}
"""Switches, on by default, by which on CUDA parts of a product's sum are rounded before they meet.

What that errs by is no rounding of the result where the parts cancel: the engine has them off.
"""


@contextmanager
def sums_in_float32(dtype: str) -> Iterator[None]:
    """Have CUDA add up all of a product of `dtype` in float32, then restore."""
    settings, switch = torch.backends.cuda.matmul, REDUCTIONS[dtype]
    if not getattr(settings, switch):
        yield
        return
    in_parts = getattr(settings, f"{switch}_split_k")
    setattr(settings, switch, (False, in_parts))
    try:
        yield
    finally:
        setattr(settings, switch, (True, in_parts))


def settle_precision(dtype: str) -> None:
    """Set the precision that a dtype needs for all of this process."""
    if dtype in REDUCTIONS:
        setattr(torch.backends.cuda.matmul, REDUCTIONS[dtype], False)
    wanted = _wanted(dtype)
    for settings in matmul_settings():
        if not _means(settings.fp32_precision, wanted):
            _write(settings, wanted)


def _write(settings: Any, precision: str) -> None:
    """Set a precision, in CUDA's older switch too: torch.compile reads it, and fails where the two differ.

    Versions before 2.13 do so at each compilation for CUDA (PyTorch's issue 166387), 2.13 where
    it looks for the fastest product.
    """
    if settings is torch.backends.cuda.matmul:
        settings.allow_tf32 = precision == "tf32"
    settings.fp32_precision = precision


class Caller(Protocol):
    """What calls a function in the precision of a program."""

    def __call__(self, function: Callable[[T], R], argument: T) -> R: ...


def plainly(function: Callable[[T], R], argument: T) -> R:
    """The caller of a process in which the precision is settled."""
    return function(argument)


class InPrecision:
    """Calls functions in a dtype's precision, without `matmul_precision`'s cost where nothing is to be set.

    A user may change the setting between any two calls, so that each call looks; at the one
    setting that governs the device, and not at all where the dtype has no TF32.
    """

    def __init__(self, dtype: str, device: torch.device) -> None:
        self._wanted = _wanted(dtype)
        cuda, cpu = matmul_settings()
        settings = cuda if device.type == "cuda" else cpu
        # Asked for directly: Python comes to __getattr__ only after a search that takes three times as long.
        self._read = getattr(settings, "__getattr__", partial(getattr, settings))
        self._matters = dtype in ("tf32", "float32")
        self._adds_up = dtype if device.type == "cuda" and dtype in REDUCTIONS else None

    def __call__(self, function: Callable[[T], R], argument: T) -> R:
        if self._adds_up is not None:
            with sums_in_float32(self._adds_up):
                return function(argument)
        if not self._matters or _means(self._read("fp32_precision"), self._wanted):
            return function(argument)
        with matmul_precision(self._wanted):
            return function(argument)


def _wanted(dtype: str) -> str:
    return "tf32" if dtype == "tf32" else "ieee"


def _means(setting: str, wanted: str) -> bool:
    return setting == wanted or (setting == "none" and wanted == "ieee")
