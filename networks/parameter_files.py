"""Parameters in safetensors files: ``W.1``, ``b.1``, ``W.2`` ... as tensors of the same names.

safetensors is the one format read here: it holds numbers and nothing that
runs. The library's own loader knows no bfloat16 and lets a header name a
tensor twice, so the header is checked and the bytes are read by type here.
"""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .dtypes import Array, find_dtype
from .errors import InvalidInput, shortened
from .files import read_whole, written_whole
from .parameters import Parameters, as_parameters, by_name, check_parameters, from_names
from .pickles import refuse_pickle, refuse_pickled
from .spec import Network

HEADER_LIMIT = 2**20
SHOWN_NAMES = 10
_READABLE = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def save_parameters(path: str | Path, parameters: Parameters) -> None:
    """Write `parameters` to a safetensors file, bit for bit (bfloat16 as float32, which holds it exactly).

    Raises
    ------
    InvalidInput
        If safetensors is not installed, these are no parameters, or the file cannot be written.
    """
    tensors = by_name(as_parameters(parameters))
    library = _library()
    plain = {name: np.ascontiguousarray(_without_bfloat16(array)) for name, array in tensors.items()}
    try:
        with written_whole(Path(path)) as new:
            library.numpy.save_file(plain, str(new))
    except (OSError, library.SafetensorError) as error:
        raise InvalidInput(f"cannot write {path}: {error}") from None


def load_parameters(path: str | Path, network: Network) -> Parameters:
    """Read the parameters of `network` from a safetensors file.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, or the file is of a kind that may run
        code, missing, larger than these parameters can be, truncated,
        corrupted, names a tensor twice, or its tensors do not fit (each field listed).
    """
    if not isinstance(network, Network):
        raise InvalidInput(f"network is {shortened(repr(network))}: expected a crossgrad.Network")
    refuse_pickle(path)
    library = _library()
    limit = 8 * network.parameter_count + HEADER_LIMIT
    content = read_whole(path, limit, f"the parameters of network {network} as safetensors")
    try:
        tensors = {name: _array(path, name, view) for name, view in library.deserialize(content)}
    except library.SafetensorError as error:
        refuse_pickled(path, content, "safetensors file")
        raise InvalidInput(f"{path} is no intact safetensors file: {error}") from None
    _require_names(path, content, tensors, network)
    parameters = from_names(tensors, len(network.layers))
    check_parameters(network, parameters)
    return parameters


def _library() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise InvalidInput(
            'parameter files need the package safetensors: pip install "crossgrad[safetensors]"'
        ) from None
    return safetensors


def _without_bfloat16(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


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


def _require_names(path: str | Path, content: bytes, tensors: dict[str, Array], network: Network) -> None:
    def refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise InvalidInput(f"{path} names {_listed(map(repr, twice))} twice in its header")
        return dict(pairs)

    length = int.from_bytes(content[:8], "little")
    json.loads(content[8 : 8 + length], object_pairs_hook=refuse_twice)
    expected = []
    for number, layer in enumerate(network.layers, start=1):
        expected += [f"W.{number}"] + [f"b.{number}"] * layer.bias
    missing = [name for name in expected if name not in tensors]
    extra = sorted(repr(name) for name in tensors.keys() - set(expected))
    if missing or extra:
        raise InvalidInput(
            f"{path} does not hold the parameters of network {network}: "
            f"missing {_listed(missing)}; unexpected {_listed(extra)}"
        )


def _listed(names: Iterable[str]) -> str:
    """The first names, as a header may hold a million."""
    return ", ".join(map(shortened, islice(names, SHOWN_NAMES))) or "none"
