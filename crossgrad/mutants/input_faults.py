"""Faults in which x is overwritten between the forward pass and dW of the first layer."""

from collections.abc import Callable

import numpy as np

from ..diagnosis.record import INPUT_CHANGED
from ..networks.dtypes import Array
from .mutant import Mutant, Where, in_one_layer
from .where import both, first, inputs_over, many_samples

BACKWARD = "backward"


def _centred(x: Array) -> Array:
    """Each feature with mean 0."""
    centred: Array = x - x.mean(axis=0)
    return centred


def _rows_to_one(x: Array) -> Array:
    """Each sample divided by its largest magnitude; a sample of zeros stays."""
    largest = np.abs(x).max(axis=1, keepdims=True)
    normal: Array = x / np.where(largest > 0, largest, 1)
    return normal


def _clipped(x: Array) -> Array:
    """To the root mean square: about a third of normal numbers are larger."""
    bound = np.sqrt(np.mean(np.square(x.astype(np.float64)))).astype(x.dtype)
    return np.clip(x, -bound, bound)


def _overwritten(
    name: str, description: str, change: Callable[[Array], Array], where: Where = first
) -> Mutant:
    return in_one_layer(
        name,
        BACKWARD,
        description,
        INPUT_CHANGED,
        where,
        weight_gradient=lambda at, seen, dz: at.product(dz.T, at.round(change(seen.a_prev))),
    )


INPUT_MUTANTS: tuple[Mutant, ...] = (
    _overwritten(
        "x-centred-before-dW", "x minus its mean over the samples", _centred, both(first, many_samples)
    ),
    _overwritten(
        "x-normalised-before-dW",
        "each sample divided by its largest value",
        _rows_to_one,
        both(first, many_samples, inputs_over(1)),
    ),
    _overwritten("x-clipped-before-dW", "x clipped at its root mean square", _clipped),
)
