"""The numbers of an ONNX tensor: from the model itself, counted before they are made an array."""

from math import prod
from typing import Any

import numpy as np
import onnx

from ..networks.dtypes import Array, find_dtype
from ..networks.errors import InvalidInput, shortened

STORED = {
    onnx.TensorProto.FLOAT: ("float32", "float_data"),
    onnx.TensorProto.DOUBLE: ("float64", "double_data"),
    onnx.TensorProto.FLOAT16: ("float16", "int32_data"),
    onnx.TensorProto.BFLOAT16: ("bfloat16", "int32_data"),
}
"""By type: its dtype, and the field that has the numbers where ``raw_data`` has not (onnx.proto)."""


def shown(text: str) -> str:
    """A name out of a file, fit for a message."""
    return shortened(repr(text)[1:-1])


def array_of(tensor: Any) -> Array:
    """The numbers of a tensor, in its own dtype.

    Raises
    ------
    InvalidInput
        If they lie in another file, are of no dtype of parameters, or are not as many as its shape says.
    """
    where = f"tensor {shown(tensor.name) or '(without a name)'}"
    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise InvalidInput(
            f"{where} lies in another file, which is not read: "
            'put all into one with onnx.save(onnx.load("model.onnx"), "whole.onnx")'
        )
    if tensor.data_type not in STORED or tensor.HasField("segment"):
        names = ", ".join(name for name, _ in STORED.values())
        raise InvalidInput(f"{where} is of type {_type_name(tensor.data_type)}: expected one of {names}")
    name, field = STORED[tensor.data_type]
    storage, shape, listed = find_dtype(name).storage, tuple(tensor.dims), getattr(tensor, field)
    raw = tensor.raw_data
    count = len(raw) / storage.itemsize if raw else len(listed)
    if min(shape, default=0) < 0 or len(shape) > 2 or count != prod(shape) or (raw and listed):
        raise InvalidInput(
            f"{where} has {count:g} numbers: expected as many as its shape {shown(str(shape))} has"
        )
    try:
        return _numbers(raw, listed, storage).reshape(shape)
    except (OverflowError, ValueError) as error:  # a dimension longer than NumPy has, too
        raise InvalidInput(f"{where} cannot be read: {error}") from None


def _numbers(raw: bytes, listed: Any, storage: Any) -> Array:
    """ONNX keeps raw numbers in little-endian order, and each of 16 bits in the list as an integer's."""
    bits = f"u{storage.itemsize}"
    if raw:
        found: Array = np.frombuffer(raw, f"<{bits}").astype(bits).view(storage)
    elif storage.itemsize == 2:
        integers = np.array(listed, np.int64)
        if ((integers < 0) | (integers >= 2**16)).any():
            raise ValueError("not all of its integers are the 16 bits of a number")
        found = integers.astype(bits).view(storage)
    else:
        found = np.array(listed, storage)
    return found


def _type_name(number: int) -> str:
    known = onnx.TensorProto.DataType.items()
    return next((name for name, value in known if value == number), str(number))
