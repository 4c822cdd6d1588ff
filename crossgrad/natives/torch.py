"""PyTorch's tensors: parameters are leaves that require grad, as a training loop has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..networks.dtypes import Array, DType, find_dtype
from ..networks.errors import first_line
from .base import Native, wrong_dtype

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
"""By the name of the format that a case's arrays are stored in."""


class TorchNative(Native):
    """Tensors on the CPU; what comes back may be on any device, and in autograd's graph."""

    @contextmanager
    def scope(self, dtype: str) -> Iterator[None]:
        """Gradients are recorded, though the caller may have switched that off."""
        with torch.inference_mode(False), torch.enable_grad():
            yield

    def array(self, values: Array) -> torch.Tensor:
        copy = values.copy()
        if copy.dtype.name != "bfloat16":
            return torch.from_numpy(copy)
        return torch.from_numpy(copy.view(np.int16)).view(torch.bfloat16)  # NumPy's own has no such type

    def parameter(self, values: Array) -> torch.Tensor:
        return self.array(values).requires_grad_()

    def read(self, name: str, value: Any, dtype: DType | None) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if dtype is not None and value.dtype != DTYPES[dtype.stored_as]:
            raise wrong_dtype(name, value.dtype, DTYPES[dtype.stored_as])
        try:
            return on_host(value)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            reason = first_line(error)
            raise TypeError(f"{name}, on device {value.device}, cannot be read: {reason}") from None


def on_host(tensor: torch.Tensor) -> Array:
    """A tensor of any device and layout, in the graph or not, as NumPy's; bfloat16 as float32."""
    held = _dense(tensor)
    if held.dtype == torch.bfloat16:
        held = held.float()  # exact
    array: Array = held.numpy(force=True)
    return array


def stored(tensor: torch.Tensor) -> Array:
    """The same numbers in NumPy, in the dtype that they have."""
    if tensor.dtype != torch.bfloat16:
        return on_host(tensor)
    bits: Array = _dense(tensor).view(torch.int16).numpy(force=True)  # NumPy's own has no such type
    return bits.view(find_dtype("bfloat16").storage)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    held = tensor.detach()
    return held if held.layout == torch.strided else held.to_dense()


NATIVE = TorchNative()
