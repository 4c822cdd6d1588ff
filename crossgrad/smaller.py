"""Smaller cases out of a case: layers, units and samples left out, numbers made simple.

Each function gives a valid case whose tensors are slices of the old ones, or
whose numbers need fewer bits; nothing is drawn anew. Along an axis lie the
units of a layer (0 is the input) or the samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from .networks.batches import Batch
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.parameters import DenseParameters, by_name, from_names
from .networks.spec import Network

SAMPLES = -1
"""The axis of the samples, beside the layers' numbers."""

Size = tuple[int, int, int]


def size(case: Case) -> Size:
    """What reduction makes smaller: layers, then units and samples, then bits of the numbers."""
    numbers = [np.ravel(array).astype(np.float64) for array in arrays(case).values()]
    return (*shape_size(case), bits(np.concatenate([*numbers, [case.learning_rate]])))


def shape_size(case: Case) -> tuple[int, int]:
    """The part of `size` that does not look at the numbers."""
    return len(case.network.layers), sum(case.network.widths) + case.batch_size


def bits(array: Array) -> int:
    """Bits that write the numbers down: 1 for 0 and 1, else those of significand, exponent and sign.

    A number is ``m * 2**e`` with m odd. As a count that every simplification
    lowers, it lets no search run in circles.
    """
    significand, exponent = np.frexp(np.asarray(array, np.float64))
    whole = np.abs(np.ldexp(significand, 53)).astype(np.int64)
    zeros = np.where(whole == 0, 52, np.log2(np.maximum(whole & -whole, 1))).astype(np.int64)
    length, last = 53 - zeros, exponent.astype(np.int64) - 53 + zeros
    return int(np.sum(np.where(whole == 0, 1, length + np.abs(last) + (significand < 0))))


def axes(case: Case) -> dict[int, int]:
    """How long each axis is: the samples, and the units of the input and of each layer."""
    return {SAMPLES: case.batch_size} | dict(enumerate(case.network.widths))


def arrays(case: Case) -> dict[str, Array]:
    """The case's numbers by name: ``x y W.1 b.1 ...``."""
    return {"x": case.batch.x, "y": case.batch.y, **by_name(case.parameters)}


def with_arrays(case: Case, changed: Mapping[str, Array]) -> Case:
    """The case with other numbers of the same shapes."""
    named = {**arrays(case), **changed}
    parameters = from_names(named, len(case.parameters))
    return replace(case, parameters=parameters, batch=Batch(named["x"], named["y"]))


def without_layers(case: Case, first: int, last: int) -> Case:
    """Take the layers `first` to `last` out, and join the ends at the narrower one's width.

    At the top the targets are cut to what is left, at the bottom the inputs.
    """
    joint = range(min(case.network.widths[first - 1], case.network.widths[last]))
    case = keeping(keeping(case, first - 1, joint), last, joint)
    layers, parameters = case.network.layers, case.parameters
    return replace(
        case,
        network=Network(case.network.inputs, layers[: first - 1] + layers[last:]),
        parameters=parameters[: first - 1] + parameters[last:],
    )


def keeping(case: Case, axis: int, kept: Sequence[int]) -> Case:
    """Only the units or samples `kept` of an axis, in every tensor that has it."""
    chosen = list(kept)
    (x, y), parameters, layers = case.batch, list(case.parameters), list(case.network.layers)
    if axis == SAMPLES:
        return replace(case, batch=Batch(x[chosen], y[chosen]))
    if axis == 0:
        x = x[:, chosen]
    else:
        W, b = parameters[axis - 1]
        parameters[axis - 1] = DenseParameters(W[chosen], None if b is None else b[chosen])
        layers[axis - 1] = replace(layers[axis - 1], units=len(chosen))
    if axis == len(layers):
        y = y[:, chosen]
    else:
        parameters[axis] = parameters[axis]._replace(W=parameters[axis].W[:, chosen])
    network = Network(len(chosen) if axis == 0 else case.network.inputs, tuple(layers))
    return replace(case, network=network, parameters=tuple(parameters), batch=Batch(x, y))


def rounded(array: Array, significant_bits: int) -> Array:
    """Each number to so many significant bits: few enough, every dtype holds the result exactly."""
    significand, exponent = np.frexp(np.asarray(array, np.float64))
    scale = 2.0**significant_bits
    found: Array = np.ldexp(np.rint(significand * scale) / scale, exponent)
    return found + 0.0  # no number comes out as -0


def whole(array: Array) -> Array:
    found: Array = np.rint(np.asarray(array, np.float64)) + 0.0
    return found


SIMPLER: dict[str, Callable[[Array], Array]] = {
    "ones": np.ones_like,
    "zeros": np.zeros_like,
    "plus or minus ones": np.sign,
    "whole numbers": whole,
    "numbers of 2 bits": partial(rounded, significant_bits=2),
    "numbers of 4 bits": partial(rounded, significant_bits=4),
    "numbers of 8 bits": partial(rounded, significant_bits=8),
}
"""Ways to make numbers simple, the simplest first."""
