"""Faults of single elements and edges: what an index off by one in a blocked loop leaves wrong."""

from collections.abc import Callable, Sequence

import numpy as np

from ..diagnosis.record import ELEMENTS
from ..networks.dtypes import Array
from ..networks.parameters import DenseParameters
from .hooks import (
    Gradient,
    Layer,
    Seen,
    bias_gradient,
    derivative,
    pull_back,
    update,
    weight_gradient,
)
from .mutant import Mutant, any_layer, everywhere, in_one_layer
from .where import above_first, both, inputs_over, outputs_over, with_bias

ELEMENT = "element"
Index = int | tuple[int | slice, ...]
Change = Callable[[Array], Array]
Formula = Callable[[Layer, Seen, Array], Array]


def spoilt(array: Array, index: Index, change: Change) -> Array:
    """A copy in which `change` is made to what stands at `index`."""
    copy = np.array(array)
    copy[index] = change(copy[index])
    return copy


def missed(value: Array) -> Array:
    """Never written."""
    return np.zeros_like(value)


def doubled(value: Array) -> Array:
    """Written by two blocks, which add."""
    return 2 * value


def _spoils(formula: Formula, index: Index, change: Change) -> Formula:
    return lambda at, seen, operand: spoilt(formula(at, seen, operand), index, change)


def _dW(place: str, index: tuple[int, int], change: Change) -> Mutant:
    row, column = index
    return in_one_layer(
        f"dW-wrong-at-{place}",
        ELEMENT,
        f"dW[{row}, {column}] {change.__name__}",
        ELEMENTS,
        both(outputs_over(max(row, 0)), inputs_over(max(column, 0))),
        weight_gradient=_spoils(weight_gradient, index, change),
    )


def _db(place: str, index: int, change: Change) -> Mutant:
    return in_one_layer(
        f"db-wrong-at-{place}",
        ELEMENT,
        f"db[{index}] {change.__name__}",
        ELEMENTS,
        both(with_bias, outputs_over(max(index, 0))),
        bias_gradient=_spoils(bias_gradient, index, change),
    )


def _da(place: str, index: tuple[int, int], change: Change) -> Mutant:
    sample, unit = index
    return in_one_layer(
        f"da-wrong-at-{place}",
        ELEMENT,
        f"da[{sample}, {unit}] {change.__name__}",
        ELEMENTS,
        both(above_first, inputs_over(max(unit, 0))),
        pull_back=_spoils(pull_back, index, change),
    )


def _partial_tile(dW: Array) -> Array:
    """The rows after the last whole tile of 16 are not written."""
    return spoilt(dW, (slice(len(dW) // 16 * 16, None),), missed)


def _two_swapped(dW: Array) -> Array:
    swapped = dW.copy()
    swapped[0, 0], swapped[-1, -1] = dW[-1, -1], dW[0, 0]
    return swapped


def _one_weight_not_updated(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
    W_new, b_new = update(at, gradients)
    W_new[-1, -1] = at.W[-1, -1]
    return DenseParameters(W_new, b_new)


ELEMENT_MUTANTS: tuple[Mutant, ...] = (
    _dW("first", (0, 0), missed),
    _dW("last", (-1, -1), missed),
    _dW("15", (0, 15), missed),
    _dW("16", (0, 16), doubled),
    _dW("31", (-1, 31), missed),
    _dW("32", (-1, 32), doubled),
    _dW("63", (63, 0), missed),
    _dW("64", (64, -1), doubled),
    _db("first", 0, missed),
    _db("last", -1, missed),
    _db("15", 15, missed),
    _db("16", 16, doubled),
    _db("64", 64, doubled),
    _da("first", (0, 0), missed),
    _da("last", (-1, -1), missed),
    _da("16", (-1, 16), doubled),
    _da("32", (0, 32), doubled),
    everywhere(
        "dz-wrong-at-last",
        ELEMENT,
        "dz[-1, -1] missed in every layer",
        ELEMENTS,
        derivative=_spoils(derivative, (-1, -1), missed),
    ),
    in_one_layer(
        "dW-last-row-missing",
        ELEMENT,
        "the last row of dW is not written",
        ELEMENTS,
        outputs_over(1),
        weight_gradient=_spoils(weight_gradient, (-1,), missed),
    ),
    in_one_layer(
        "dW-last-column-missing",
        ELEMENT,
        "the last column of dW is not written",
        ELEMENTS,
        inputs_over(1),
        weight_gradient=_spoils(weight_gradient, (slice(None), -1), missed),
    ),
    in_one_layer(
        "dW-partial-tile-missing",
        ELEMENT,
        "the rows of dW after the last whole tile of 16 are not written",
        ELEMENTS,
        lambda case, number: outputs_over(16)(case, number) and case.network.widths[number] % 16 > 0,
        weight_gradient=lambda at, seen, dz: _partial_tile(weight_gradient(at, seen, dz)),
    ),
    in_one_layer(
        "dW-elements-swapped",
        ELEMENT,
        "the first and the last element of dW in each other's place",
        ELEMENTS,
        lambda case, number: outputs_over(1)(case, number) or inputs_over(1)(case, number),
        weight_gradient=lambda at, seen, dz: _two_swapped(weight_gradient(at, seen, dz)),
    ),
    in_one_layer(
        "one-weight-not-updated",
        ELEMENT,
        "W_new[-1, -1] is W[-1, -1]",
        ELEMENTS,
        any_layer,
        update=_one_weight_not_updated,
    ),
)
