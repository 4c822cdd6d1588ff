"""Tensors between processes: through an anonymous file, by name, dtype, shape and place.

The file has no name (memfd on Linux, an unlinked temporary file elsewhere):
when the last process that holds it ends, however it ends, its memory is free.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

import numpy as np

from ..networks.dtypes import Array, find_dtype
from ..networks.errors import InvalidInput
from .protocol import ProtocolError

KINDS = "biufc"
"""Kinds of NumPy dtypes that may cross; bfloat16, which NumPy does not know, has a name."""

BFLOAT16 = "bfloat16"

ALIGNMENT = 64
"""Bytes; arrays that begin at such places are as fast as those that NumPy allocates."""

_ZEROS = memoryview(bytes(ALIGNMENT))

MOST_PIECES = 512
"""In one call of the system; POSIX systems take 1,024 where they say."""

Layout = list[list[Any]]
"""For each array ``[name, dtype, shape, offset]``."""


def anonymous_file() -> int:
    """Open memory that processes share; return its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("crossgrad")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass(frozen=True)
class Content:
    """What is to be written into a file from its beginning: views of arrays, and padding between them."""

    layout: Layout
    pieces: tuple[memoryview, ...]
    size: int


def laid_out(arrays: Mapping[str, Array]) -> Content:
    """Arrays one after the other, each at a multiple of `ALIGNMENT`; nothing is copied that is contiguous."""
    layout: Layout = []
    pieces: list[memoryview] = []
    end = 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        layout.append([name, _dtype_name(array.dtype), list(array.shape), end])
        padding = -len(content) % ALIGNMENT
        pieces += [content, _ZEROS[:padding]]
        end += len(content) + padding
    return Content(layout, tuple(pieces), end)


def write_arrays(file: int, arrays: Mapping[str, Array]) -> Layout:
    """Write `arrays` one after the other; return where they are. What was there before is gone."""
    content = laid_out(arrays)
    write_anew(file, content.pieces)
    return content.layout


def write_anew(file: int, pieces: Iterable[memoryview]) -> None:
    """Write pieces one after the other, in as few calls as can be; what was there before is gone."""
    os.ftruncate(file, 0)
    waiting, offset = deque(pieces), 0
    while waiting:
        written = os.pwritev(file, list(islice(waiting, MOST_PIECES)), offset)
        offset += written
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.popleft())
        if written:
            waiting[0] = waiting[0][written:]


def read_arrays(file: int, layout: Any) -> dict[str, Array]:
    """Copy out the arrays of a layout; they share one piece of memory.

    Raises
    ------
    ProtocolError
        If the layout is malformed, or names what the file does not hold.
    InvalidInput
        If it has bfloat16 arrays, and ml_dtypes is not installed.
    """
    try:
        places = {str(name): (_dtype(dtype), tuple(shape), offset) for name, dtype, shape, offset in layout}
        end = max((_end(*place) for place in places.values()), default=0)
        if end > os.fstat(file).st_size:
            raise ValueError(f"it needs {end} bytes, and there are {os.fstat(file).st_size}")
        content = read_at(file, 0, end)
        return {
            name: np.ndarray(shape, dtype, content, offset) for name, (dtype, shape, offset) in places.items()
        }
    except InvalidInput:  # a ValueError too
        raise
    except (TypeError, ValueError, OverflowError, SyntaxError, MemoryError) as error:
        raise ProtocolError(f"a layout of arrays that makes no sense: {error}") from None


def _end(dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> int:
    if any(length < 0 for length in shape) or offset < 0:
        raise ValueError(f"shape {list(shape)} at {offset}")
    return offset + prod(shape) * dtype.itemsize


def read_at(file: int, offset: int, size: int) -> bytearray:
    """Read so many bytes.

    Raises
    ------
    ValueError
        If there are not so many.
    """
    content = bytearray(size)
    filled = 0
    while filled < size:
        count = os.preadv(file, [memoryview(content)[filled:]], offset + filled)
        if not count:
            raise ValueError(f"{size} bytes at {offset} are beyond the end")
        filled += count
    return content


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return BFLOAT16 if dtype.name == BFLOAT16 else dtype.str


def _dtype(name: str) -> np.dtype[Any]:
    if name == BFLOAT16:
        bfloat16: np.dtype[Any] = find_dtype(BFLOAT16).storage
        return bfloat16
    dtype = np.dtype(name)
    if dtype.kind not in KINDS:
        raise TypeError(f"dtype {name!r}")
    return dtype
