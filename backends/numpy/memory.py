"""Arrays that begin where a line of the processor's caches does."""

import math
from typing import Any, Literal

import numpy as np

from ...networks.dtypes import Array

Order = Literal["C", "F"]
"""Of the elements of a matrix: row after row, or column after column."""

LINE = 64
"""Bytes of a cache line, and of the longest vectors of x86."""


def empty(shape: int | tuple[int, ...], dtype: Any, order: Order = "C") -> Array:
    """As `np.empty`, on a cache line; NumPy's own begin at any multiple of 16 bytes.

    A vector of 64 bytes that begins elsewhere lies in two lines, and OpenBLAS's kernels for AVX-512 are
    slower with it where matrices are small.
    """
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    found: Array = memory[start : start + size].view(dtype).reshape(shape, order=order)
    return found


def copy(array: Array, dtype: Any, order: Order = "C") -> Array:
    """A copy in a dtype and an order, on a cache line."""
    copied = empty(array.shape, dtype, order)
    copied[...] = array
    return copied
