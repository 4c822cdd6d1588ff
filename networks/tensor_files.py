"""Arrays by name in safetensors files, the one format read here: it holds numbers and nothing that runs.

The library's own loader knows no bfloat16 and lets a header name a tensor
twice, so the header is checked and the bytes are read by type here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .dtypes import Array, find_dtype
from .errors import InvalidInput, shortened
from .files import read_whole, written_whole
from .pickles import Conversions, refuse_pickle, refuse_pickled

HEADER_LIMIT = 2**20
SHOWN_NAMES = 10
_READABLE = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def save_tensors(path: str | Path, tensors: Mapping[str, Array]) -> None:
    """Write arrays by name, bit for bit: bfloat16 as float32, which holds it exactly, integers as float64.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, or the file cannot be written.
    """
    library = _library()
    plain = {name: _plain(array) for name, array in tensors.items()}
    try:
        with written_whole(Path(path)) as new:
            library.numpy.save_file(plain, str(new))
    except (OSError, library.SafetensorError) as error:
        raise InvalidInput(f"cannot write {path}: {error}") from None


def load_tensors(
    path: str | Path, names: Iterable[str], limit: int, content: str, conversions: Conversions
) -> dict[str, Array]:
    """Read the arrays of these names, of a file that holds them and no others.

    Parameters
    ----------
    limit
        Bytes that they can be of, at most.
    content
        What the file should hold, for messages: ``"the parameters of network 2-1"``.
    conversions
        Of files of other kinds that hold the same.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, or the file is of a kind that may run
        code, missing, larger than `limit`, truncated, corrupted, names a
        tensor twice, or holds others.
    """
    refuse_pickle(path, conversions)
    library = _library()
    found = read_whole(path, limit + HEADER_LIMIT, f"{content} as safetensors")
    try:
        tensors = {name: _array(path, name, view) for name, view in library.deserialize(found)}
    except library.SafetensorError as error:
        refuse_pickled(path, found, "safetensors file", conversions)
        raise InvalidInput(f"{path} is no intact safetensors file: {error}") from None
    _refuse_twice(path, found)
    _require_names(path, tensors, list(names), content)
    return tensors


def _library() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise InvalidInput(
            'such files need the package safetensors: pip install "crossgrad[safetensors]"'
        ) from None
    return safetensors


def _plain(array: Array) -> Array:
    """What every reader of such files knows, C-contiguous: float16, float32, or else float64."""
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    readable = array.dtype in (np.float16, np.float32, np.float64)
    return np.ascontiguousarray(array if readable else array.astype(np.float64))


def _array(path: str | Path, name: str, view: dict[str, Any]) -> Array:
    dtype = _READABLE.get(view["dtype"])
    if dtype is None:
        raise InvalidInput(
            f"{path}: tensor {shortened(repr(name))} is of type {view['dtype']}: "
            f"expected one of {', '.join(_READABLE)}"
        )
    try:
        return np.frombuffer(view["data"], find_dtype(dtype).storage).reshape(view["shape"])
    except (ValueError, OverflowError) as error:  # more dimensions, or a longer one, than NumPy has
        raise InvalidInput(
            f"{path}: tensor {shortened(repr(name))} has an impossible shape: {error}"
        ) from None


def _refuse_twice(path: str | Path, content: bytes) -> None:
    def require_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise InvalidInput(f"{path} names {_listed(map(repr, twice))} twice in its header")
        return dict(pairs)

    length = int.from_bytes(content[:8], "little")
    json.loads(content[8 : 8 + length], object_pairs_hook=require_once)


def _require_names(path: str | Path, tensors: Mapping[str, Array], names: list[str], content: str) -> None:
    missing = [name for name in names if name not in tensors]
    extra = sorted(repr(name) for name in tensors.keys() - set(names))
    if missing or extra:
        raise InvalidInput(
            f"{path} does not hold {content}: missing {_listed(missing)}; unexpected {_listed(extra)}"
        )


def _listed(names: Iterable[str]) -> str:
    """The first names, as a header may hold a million."""
    return ", ".join(map(shortened, islice(names, SHOWN_NAMES))) or "none"
