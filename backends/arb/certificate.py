"""From a case to its certificate: the precision is raised until every enclosure is sharp.

Ball arithmetic cannot be wrong, only vague: each result comes with a bound of
its own error. So the precision is found by trying. A pass reports by how many
bits its vaguest ball misses the criterion, and the next pass has that many
more; bits lost to cancellation or saturation stay the same number at any
precision, so the second pass is nearly always enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isfinite, log2
from types import MappingProxyType

import numpy as np
from flint import ctx

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array
from ...networks.parameters import DenseParameters, Parameters
from ..base import require_rules
from .activations import ACTIVATIONS
from .cost import predicted_seconds
from .enclosures import SHARPNESS, Enclosure
from .losses import LOSSES
from .step import Problem, Step

LEAST_BITS = 113
"""106 bits for mid and mid_low, and some for rounding; a ball in two machine words holds 128."""

MOST_FIRST_BITS = 400
"""The guess is not trusted further: weights may be large only to be cancelled or saturated away."""

GUARD_BITS = 8
LARGEST_BITS = 1 << 15
"""Far past anything that doubles can ask for: an exact zero among the largest float64 numbers takes 2,200."""


class TooCostly(RuntimeError):
    """The certificate would take more time, or more precision, than allowed; the message says which."""


@dataclass(frozen=True)
class Certified:
    """Rigorous enclosures of every quantity of a case.

    Parameters
    ----------
    quantities
        By name, in data-flow order.
    bits
        The precision that sufficed.
    passes
        How often the step was computed until it did.
    """

    quantities: Mapping[str, Enclosure]
    bits: int
    passes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", MappingProxyType(dict(self.quantities)))


def certify(case: Case, *, max_seconds: float | None = None) -> Certified:
    """Enclose every quantity of `case` to within 2**-10 ulp of its dtype.

    The truth that is enclosed is that of exact arithmetic on the case's
    rounded numbers: parameters, batch and the learning rate as the double that
    it is; nothing on the way is rounded to the dtype.

    Parameters
    ----------
    max_seconds
        Give up when the passes made and the next one are foreseen to take longer.
        Predictions decide, not clocks: whether a case is certified never depends
        on how busy the machine is.

    Raises
    ------
    Unsupported
        If this oracle has no rule for an activation or the loss.
    TooCostly
        If it would take longer than `max_seconds`, or absurdly many bits.
    """
    require_rules("the oracle arb", case.network, case.loss, ACTIVATIONS, LOSSES)
    exact = exactly(case.parameters, case.batch)
    problem = Problem(case.network, case.loss, case.learning_rate, case.format, *exact)
    return certify_problem(problem, max_seconds=max_seconds)


def exactly(parameters: Parameters, batch: Batch) -> tuple[Parameters, Batch]:
    """The same numbers as float64, which holds every dtype's numbers exactly."""

    def wide(array: Array) -> Array:
        return np.asarray(array, np.float64)

    layers = tuple(DenseParameters(wide(W), None if b is None else wide(b)) for W, b in parameters)
    return layers, Batch(wide(batch.x), wide(batch.y))


def first_bits(problem: Problem) -> int:
    """A precision that suffices for most cases: a guess, and harmless if wrong.

    A ball knows nothing of the signs of other balls' errors. A layer therefore
    multiplies the errors of its inputs by sums of ``|W|``, the values themselves
    only by what is left of sums of W; and the backward pass does it again.
    """
    with np.errstate(over="ignore"):
        growth = sum(log2(max(1.0, float(np.abs(W).sum() / len(W)))) for W, _ in problem.parameters)
    guess = problem.dtype.precision + SHARPNESS + GUARD_BITS + 2 * growth
    return max(LEAST_BITS, ceil(min(guess, MOST_FIRST_BITS)))


def certify_problem(problem: Problem, *, max_seconds: float | None = None) -> Certified:
    """`certify` for numbers that are not a case's own."""
    samples = len(problem.batch.x)
    bits, passes, foreseen = first_bits(problem), 0, 0.0
    while True:
        foreseen += predicted_seconds(problem.network, samples, bits)
        if max_seconds is not None and foreseen > max_seconds:
            raise TooCostly(
                f"the certificate would take about {foreseen:.3g} s, {max_seconds:.3g} s are allowed"
            )
        passes += 1
        with ctx.workprec(bits), np.errstate(all="ignore"):  # of what FLINT computes on the way
            step = Step(problem)
        if step.shortfall <= 0:
            found = {q.name: step.found[q.name].freeze() for q in problem.network.quantities(samples)}
            return Certified(found, bits, passes)
        bits += ceil(step.shortfall) + GUARD_BITS if isfinite(step.shortfall) else bits
        if bits > LARGEST_BITS:
            raise TooCostly(f"the certificate needs more than {LARGEST_BITS:,} bits")
