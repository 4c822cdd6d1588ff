"""A model as a specification and its numbers: the steps along the data's way, paired to layers.

Every reader ends here, so that what no specification can say is refused in one place.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..networks.parameters import DenseParameters, Parameters, check_parameters
from ..networks.rules import ACTIVATIONS
from ..networks.spec import Dense, Network

TAKEN = ("float16", "bfloat16", "float32", "float64")
"""dtypes of parameters."""

WAY_OUT = (
    "a specification is a chain of dense layers, each with an activation behind it "
    f"({', '.join(ACTIVATIONS)}); "
    "other models are compared as functions: crossgrad.compare_gradients(...)"
)


class Model(NamedTuple):
    """What a model of another library computes, and with which numbers.

    ``crossgrad.check(model.network, params=model.parameters)`` checks it. The
    numbers are a copy in the model's own dtype: training goes on without it.
    """

    network: Network
    parameters: Parameters


@dataclass(frozen=True)
class Affine:
    """``z = a_prev @ W.T + b``, as a reader met it.

    Parameters
    ----------
    where
        The path and the type in the model, for messages: ``"fc.2: Linear"``.
    W, b
        The library's own objects, or arrays, in the shapes ``(O, I)`` and ``(O,)``.
    keys
        What W and b are in the library: two of a kind are one parameter.
    """

    where: str
    W: Any
    b: Any
    keys: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class Elementwise:
    """``a = f(z)``, with the name of f in `networks.rules`."""

    where: str
    name: str


Step = Affine | Elementwise


def refused(where: str, problem: str) -> InvalidInput:
    """The error for a part of a model that no specification says: its path and type first."""
    return InvalidInput(f"{where} {problem}: {WAY_OUT}")


def model_of(steps: Iterable[Step], as_array: Callable[[Any], Array] = np.asarray) -> Model:
    """Pair the steps to layers, and copy their numbers.

    Parameters
    ----------
    as_array
        Turns the library's W and b into arrays of the same bits.

    Raises
    ------
    InvalidInput
        If the steps are no chain of dense layers with an activation each, a
        parameter is used twice, or its shape, dtype or numbers cannot be taken.
    """
    pairs = _pairs(steps)
    _require_own_parameters([affine for affine, _ in pairs])
    parameters = tuple(
        DenseParameters(
            _copied(affine, "W", as_array), None if affine.b is None else _copied(affine, "b", as_array)
        )
        for affine, _ in pairs
    )
    _require_one_dtype(pairs, parameters)
    layers = (
        Dense(len(W), function.name, b is not None)
        for (W, b), (_, function) in zip(parameters, pairs, strict=True)
    )
    network = Network(parameters[0].W.shape[1], tuple(layers))
    check_parameters(network, parameters)
    return Model(network, parameters)


def _pairs(steps: Iterable[Step]) -> list[tuple[Affine, Elementwise]]:
    pairs: list[tuple[Affine, Elementwise]] = []
    open_layer: Affine | None = None
    for step in steps:
        if isinstance(step, Affine):
            if open_layer is not None:
                raise refused(open_layer.where, f"has no activation behind it, but {step.where}")
            open_layer = step
        elif open_layer is None:
            raise refused(step.where, "has no dense layer of its own before it")
        else:
            pairs.append((open_layer, step))
            open_layer = None
    if open_layer is not None:
        raise refused(open_layer.where, "has no activation behind it")
    if not pairs:
        raise InvalidInput(f"the model has no dense layer: {WAY_OUT}")
    return pairs


def _require_own_parameters(layers: Sequence[Affine]) -> None:
    """Refuse tied parameters: their gradient is the sum over their uses, a specification's is each use's."""
    seen: dict[Hashable, str] = {}
    for layer in layers:
        for key in layer.keys:
            if key in seen:
                raise refused(layer.where, f"shares a parameter with {seen[key]}")
            seen[key] = layer.where


def _copied(layer: Affine, name: str, as_array: Callable[[Any], Array]) -> Array:
    values = as_array(getattr(layer, name))
    if values.dtype.name not in TAKEN:
        raise InvalidInput(
            f"{layer.where}: {name} has dtype {values.dtype.name}: expected one of {', '.join(TAKEN)}"
        )
    if values.ndim != (2 if name == "W" else 1):
        expected = "(O, I)" if name == "W" else "(O,)"
        raise InvalidInput(f"{layer.where}: {name} has the shape {values.shape}: expected {expected}")
    copied = np.array(values, order="C")
    copied.setflags(write=False)
    return copied


def _require_one_dtype(pairs: Sequence[tuple[Affine, Elementwise]], parameters: Parameters) -> None:
    found: dict[str, str] = {}
    for (affine, _), (W, b) in zip(pairs, parameters, strict=True):
        for array in (W,) if b is None else (W, b):
            found.setdefault(array.dtype.name, affine.where)
    if len(found) > 1:
        listed = ", ".join(f"{name} in {where}" for name, where in found.items())
        raise InvalidInput(f"the model mixes dtypes, {listed}: convert it to one")
