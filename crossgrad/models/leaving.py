"""Parameters on their way to another library: the dtype that they leave in, and their bits in it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..networks.dtypes import Array, dtype_name, find_dtype
from ..networks.errors import InvalidInput, unknown
from ..networks.parameters import (
    Parameters,
    as_parameters,
    by_name,
    check_parameters,
    from_names,
    raise_listed,
)
from ..networks.spec import Network
from .model import TAKEN


def in_dtype(network: Network, parameters: Sequence[Any], dtype: object) -> tuple[Parameters, str]:
    """The parameters of `network` in one dtype, and its name.

    Parameters
    ----------
    dtype
        A name, or a library's own dtype; None for the parameters' own.

    Raises
    ------
    InvalidInput
        If the parameters do not fit the network, are of several dtypes and
        none was named, or overflow the one that was.
    """
    if not isinstance(network, Network):
        raise InvalidInput(f"network is a {type(network).__name__}: expected a crossgrad.Network")
    given = as_parameters(parameters)
    check_parameters(network, given)
    named = by_name(given)
    name = _own_dtype(named) if dtype is None else _name(dtype)
    rounded = {key: _rounded(array, name) for key, array in named.items()}
    raise_listed(
        f"too large for {name}, whose largest number is {find_dtype(name).largest:.6g}",
        (f"{key}: overflows to infinity" for key, array in rounded.items() if not np.isfinite(array).all()),
    )
    return from_names(rounded, len(given)), name


def _own_dtype(named: dict[str, Array]) -> str:
    found = {array.dtype.name: key for key, array in named.items()}
    if len(found) == 1 and set(found) <= set(TAKEN):
        return next(iter(found))
    listed = ", ".join(f"{key} of {name}" for name, key in found.items())
    raise InvalidInput(f"the parameters have {listed}: name the dtype to make of them, as in dtype='float32'")


def _name(dtype: object) -> str:
    name = dtype_name(dtype)
    if name not in TAKEN:
        raise unknown("dtype", name, TAKEN)
    return str(name)


def _rounded(array: Array, name: str) -> Array:
    with np.errstate(over="ignore"):
        return np.array(array, find_dtype(name).storage, order="C")
