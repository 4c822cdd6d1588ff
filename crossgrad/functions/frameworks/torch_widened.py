"""A scope in which code of PyTorch's that names its dtype, or the default one, gets float64 instead."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...natives.torch import DTYPES

BY_NAME = {
    torch.float16: torch.Tensor.half,
    torch.bfloat16: torch.Tensor.bfloat16,
    torch.float32: torch.Tensor.float,
}
"""The methods that convert to a dtype and are called what it is."""

DRAWING = {torch.rand, torch.randn, torch.normal}
"""What makes random numbers, other ones in another dtype: made in their own, and then converted."""


RMS_NORMS = {torch.rms_norm, torch.nn.functional.rms_norm}
"""What adds the dtype's own eps to a mean of squares, if it is given none."""


class _InFloat64(TorchFunctionMode):
    """One dtype that operations are told is float64: as it was the tensors' own, it still is.

    Autocast does not take float64 for any of those that it lowers: that there is one is only seen.
    """

    def __init__(self, dtype: torch.dtype, default: torch.dtype, device: str) -> None:
        super().__init__()
        self._dtype, self._default = dtype, default
        self._device, self._autocast = torch.device(device).type, set[torch.dtype]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_autocast_enabled(self._device):
            self._autocast.add(torch.get_autocast_dtype(self._device))
        if func in DRAWING:
            with _default_of(self._default):
                drawn = func(*args, **(kwargs or {}))
            return drawn.double() if drawn.dtype in (self._dtype, self._default) else drawn
        if func is BY_NAME[self._dtype]:
            func = torch.Tensor.double
        given = {name: self._wide(value) for name, value in (kwargs or {}).items()}
        if func in RMS_NORMS and all(value is None for value in (*args[3:], given.get("eps"))):
            args, given["eps"] = args[:3], self._least_rms
        return func(*map(self._wide, args), **given)

    @property
    def _least_rms(self) -> float:
        """What PyTorch adds to squares where nothing is said: the dtype's eps, of half formats float32's."""
        return min(torch.finfo(dtype).eps for dtype in (self._dtype, torch.float32))

    def lowered(self) -> str | None:
        """The coarsest dtype that autocast was seen to lower to, if it is coarser than what is widened."""
        eps = {name: torch.finfo(dtype).eps for name, dtype in DTYPES.items() if dtype in self._autocast}
        coarsest = max(eps, key=eps.__getitem__, default=None)
        return coarsest if coarsest and eps[coarsest] > torch.finfo(self._dtype).eps else None

    def _wide(self, value: Any) -> Any:
        return torch.float64 if value is self._dtype else value


@contextmanager
def widened(dtype: str, device: str) -> Iterator[Callable[[], str | None]]:
    """What is made in the default dtype, or in `dtype` by name, is made in float64.

    Gives what tells the dtype that autocast lowers operations on the device to in there.
    """
    default = torch.get_default_dtype()
    with _default_of(torch.float64), _InFloat64(DTYPES[dtype], default, device) as mode:
        yield mode.lowered


@contextmanager
def _default_of(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
