"""Which mutants are right in their own way: the gradient is wrong, but the slope of a loss as wrong.

Dropout left on, inputs scaled, targets shuffled: such a function differentiates what it computes.
Beside one other, which of the two computes what was meant is not in the functions. Whether a
mutant is of that kind is measured, on one small network in which no unit is saturated, by
five-point differences: the arbiter of blame has no part in them.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..mutants import Mutant, run_hooked, run_mutant
from ..networks.cases import Case
from ..networks.catalogue import build_case, find_entry
from ..networks.dtypes import Array
from ..networks.parameters import DenseParameters
from .arguments import LOSS_NAME

STEP = 2.0**-9
"""The stencil's error is of the fourth order in it, and rounding's is 2**9 ulp of the loss."""

CLOSE = 1e-8
"""Of the gradient's length, which a slope may be off; arithmetic in float32 is further off than that."""

DIRECTIONS = 5


def differentiates_its_own_loss(mutant: Mutant) -> bool:
    """Whether a mutant's gradient differs from the right one, and is that of the loss that it returns.

    Held against slopes along random directions v,

        (L(-2h) - 8 L(-h) + 8 L(h) - L(2h)) / 12h = g . v + O(h**4),

    with L(h) the mutant's loss at ``parameters + h v`` (Abramowitz and Stegun 1964, 25.3.6).
    """
    case = build_case(find_entry("5-4-3"), dtype="float64", batch_size=6)
    if not mutant.applies(case):
        return False
    gradient = _gradient(run_mutant(mutant, case).quantities, case)
    allowed = CLOSE * float(np.linalg.norm(gradient))
    if not np.linalg.norm(gradient - _gradient(run_hooked(case).quantities, case)) > allowed:
        return False
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, gradient.size))
    return all(abs(_slope(case, mutant, v) - float(gradient @ v)) <= allowed for v in directions)


def _slope(case: Case, mutant: Mutant, v: Array) -> float:
    below2, below, above, above2 = (_loss(case, mutant, k * STEP * v) for k in (-2, -1, 1, 2))
    return (below2 - 8 * below + 8 * above - above2) / (12 * STEP)


def _loss(case: Case, mutant: Mutant, moved: Array) -> float:
    """The mutant's loss at parameters moved by a vector."""
    parameters: list[DenseParameters] = []
    for W, b in case.parameters:
        assert b is not None  # the network of the catalogue has all
        dW, db, moved = np.split(moved, [W.size, W.size + b.size])
        parameters.append(DenseParameters(W + dW.reshape(W.shape), b + db))
    return float(run_mutant(mutant, replace(case, parameters=tuple(parameters))).quantities[LOSS_NAME])


def _gradient(quantities: Mapping[str, Array], case: Case) -> Array:
    names = [f"{kind}.{number}" for number in range(1, len(case.parameters) + 1) for kind in ("dW", "db")]
    return np.concatenate([np.ravel(quantities[name]) for name in names])
