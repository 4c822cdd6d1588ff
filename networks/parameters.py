"""The numbers that a network learns: a weight matrix and a bias for each layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .dtypes import Array
from .errors import InvalidInput
from .spec import Network


class DenseParameters(NamedTuple):
    """``W (O, I)`` and ``b (O,)`` of one layer; `b` is None in a layer without bias."""

    W: Array
    b: Array | None


Parameters = tuple[DenseParameters, ...]


def by_name(parameters: Parameters) -> dict[str, Array]:
    """The arrays as ``W.1 b.1 W.2 ...``, layers from 1; a bias that is not there has no name."""
    named: dict[str, Array] = {}
    for number, (W, b) in enumerate(parameters, start=1):
        named |= {f"W.{number}": W} | ({} if b is None else {f"b.{number}": b})
    return named


def from_names(named: Mapping[str, Array], layers: int) -> Parameters:
    """What `by_name` was given, of the arrays by name, among which there may be others."""
    numbers = range(1, layers + 1)
    return tuple(DenseParameters(named[f"W.{n}"], named.get(f"b.{n}")) for n in numbers)


def draw_parameters(network: Network, seed: int) -> Parameters:
    """Draw float64 parameters: W from N(0, 1/I), b from N(0, 0.1**2).

    The variance 1/I keeps z of order one at any width (LeCun et al. 1998,
    Efficient BackProp, 4.6); the biases differ from zero so that a wrong db shows.
    """
    rng = np.random.default_rng([seed, 0])
    drawn = []
    for (o, i), layer in zip(network.shapes, network.layers, strict=True):
        W = rng.standard_normal((o, i)) / np.sqrt(i)
        b = 0.1 * rng.standard_normal(o)
        drawn.append(DenseParameters(W, b if layer.bias else None))
    return tuple(drawn)


def as_parameters(layers: Sequence[Any]) -> Parameters:
    """Read a caller's list of ``(W, b)`` pairs as arrays, values unchanged.

    Raises
    ------
    InvalidInput
        If `layers` is no list, or an entry is not a pair of numeric arrays.
    """
    if not isinstance(layers, Sequence):
        raise InvalidInput(
            f"params is a {type(layers).__name__}: expected a list of pairs (W, b), one a layer"
        )
    found = []
    for number, pair in enumerate(layers, start=1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidInput(f"params[{number - 1}] is a {type(pair).__name__}: expected a pair (W, b)")
        W, b = pair
        found.append(
            DenseParameters(
                numeric_array(f"W.{number}", W), None if b is None else numeric_array(f"b.{number}", b)
            )
        )
    return tuple(found)


def numeric_array(name: str, values: object) -> Array:
    """Return `values` as an array of real numbers; raise `InvalidInput` naming `name` if they are not."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors that NumPy cannot see into
        raise InvalidInput(f"{name} cannot be read as an array: {error}") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise InvalidInput(f"{name} has dtype {array.dtype}: expected real numbers")
    return array


def check_parameters(network: Network, parameters: Parameters) -> None:
    """Raise `InvalidInput` listing every field whose shape or values do not fit `network`."""
    if len(parameters) != len(network.layers):
        raise InvalidInput(
            f"params has {len(parameters)} layers, but network {network} has {len(network.layers)}: "
            "give one pair (W, b) a layer"
        )
    problems: list[str] = []
    for number, (given, layer, shape) in enumerate(
        zip(parameters, network.layers, network.shapes, strict=True), start=1
    ):
        problems += shape_problems(f"W.{number}", given.W, shape)
        problems += shape_problems(f"b.{number}", given.b, shape[:1] if layer.bias else None)
    raise_listed(f"the parameters do not fit network {network}", problems)


def shape_problems(name: str, array: Array | None, expected: tuple[int, ...] | None) -> list[str]:
    """Say what is wrong with one field's shape or values: no line if nothing is."""
    if array is None or expected is None:
        if array is None and expected is None:
            return []
        return [f"{name}: expected {_shape_text(expected)}, got {_shape_text(getattr(array, 'shape', None))}"]
    if array.shape != expected:
        turned = " (looks transposed: W is stored (outputs, inputs))" if array.shape == expected[::-1] else ""
        return [f"{name}: expected {_shape_text(expected)}, got {_shape_text(array.shape)}{turned}"]
    finite = np.isfinite(array)
    if not finite.all():
        worst = np.unravel_index(int(np.argmin(finite)), array.shape)
        index = ", ".join(str(i) for i in worst)
        return [f"{name}: expected finite numbers, got {array[worst]} at [{index}]"]
    return []


def raise_listed(title: str, problems: Iterable[str]) -> None:
    """Raise `InvalidInput` with one line a problem, if there is any."""
    lines = list(problems)
    if lines:
        raise InvalidInput("\n  ".join([f"{title}:", *lines]))


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else str(tuple(shape))
