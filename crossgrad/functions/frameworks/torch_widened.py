"""A scope in which code of PyTorch's that names its dtype, or the default one, gets float64 instead."""

from collections.abc import Iterator
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


class _InFloat64(TorchFunctionMode):
    """One dtype that operations are told is float64: as it was the tensors' own, it still is."""

    def __init__(self, dtype: torch.dtype, default: torch.dtype) -> None:
        super().__init__()
        self._dtype, self._default = dtype, default

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DRAWING:
            with _default_of(self._default):
                drawn = func(*args, **(kwargs or {}))
            return drawn.double() if drawn.dtype in (self._dtype, self._default) else drawn
        if func is BY_NAME[self._dtype]:
            func = torch.Tensor.double
        given = {name: self._wide(value) for name, value in (kwargs or {}).items()}
        return func(*map(self._wide, args), **given)

    def _wide(self, value: Any) -> Any:
        return torch.float64 if value is self._dtype else value


@contextmanager
def widened(dtype: str) -> Iterator[None]:
    """What is made in the default dtype, or in `dtype` by name, is made in float64."""
    default = torch.get_default_dtype()
    with _default_of(torch.float64), _InFloat64(DTYPES[dtype], default):
        yield


@contextmanager
def _default_of(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
