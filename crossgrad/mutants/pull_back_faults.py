"""Faults where da goes down through a layer: the wrong matrix, the wrong moment, or nothing at all."""

import numpy as np

from ..diagnosis.record import DETACHED, PERMUTATION, SIGN, TRANSPOSE, UPDATED_WEIGHTS
from ..networks.dtypes import Array
from .hooks import Layer, Seen, pull_back, weight_gradient
from .mutant import Mutant, everywhere, in_every_layer, in_one_layer
from .where import above_first, both, deeper_than, inputs_over, oblong, square

BACKWARD = "backward"


def _with_updated_weights(at: Layer, seen: Seen, dz: Array) -> Array:
    """The layer was updated as soon as its gradient was known."""
    dW = at.round(weight_gradient(at, seen, dz))
    return at.product(dz, at.round(at.W - at.learning_rate * dW))


def _nothing(at: Layer, seen: Seen, dz: Array) -> Array:
    return np.zeros_like(seen.a_prev)


PULL_BACK_MUTANTS: tuple[Mutant, ...] = (
    in_one_layer(
        "W-transposed-in-da",
        BACKWARD,
        "dz @ W.T in place of dz @ W",
        TRANSPOSE,
        both(square, above_first),
        pull_back=lambda at, seen, dz: at.product(dz, at.W.T),
    ),
    in_one_layer(
        "W-in-column-order-in-da",
        BACKWARD,
        "W read in the wrong memory order: only layers that are not square",
        PERMUTATION,
        both(oblong, above_first),
        pull_back=lambda at, seen, dz: at.product(dz, at.W.T.reshape(at.W.shape)),
    ),
    in_one_layer(
        "units-permuted-in-da",
        BACKWARD,
        "the units of the layer below in reverse order",
        PERMUTATION,
        both(above_first, inputs_over(1)),
        pull_back=lambda at, seen, dz: pull_back(at, seen, dz)[:, ::-1],
    ),
    in_one_layer(
        "da-negated",
        BACKWARD,
        "-da for the layer below",
        SIGN,
        above_first,
        pull_back=lambda at, seen, dz: -pull_back(at, seen, dz),
    ),
    in_one_layer(
        "da-times-weights-magnitude",
        BACKWARD,
        "dz @ |W|",
        None,
        above_first,
        pull_back=lambda at, seen, dz: at.product(dz, np.abs(at.W)),
    ),
    everywhere(
        "updated-weights-in-da",
        BACKWARD,
        "every layer is updated before da goes down through it",
        UPDATED_WEIGHTS,
        deeper_than(1),
        pull_back=_with_updated_weights,
    ),
    in_one_layer(
        "updated-weights-in-da-of-one-layer",
        BACKWARD,
        "one layer is updated before da goes down through it",
        UPDATED_WEIGHTS,
        above_first,
        pull_back=_with_updated_weights,
    ),
    in_one_layer(
        "da-detached", BACKWARD, "no da for the layers below", DETACHED, above_first, pull_back=_nothing
    ),
    in_every_layer(
        "da-detached-in-deep-networks",
        BACKWARD,
        "da reaches the uppermost 8 layers only",
        DETACHED,
        lambda case, number: 1 < number == len(case.parameters) - 7,
        pull_back=_nothing,
    ),
)
