"""Do two tensors agree? The rule stands in `judge`, and nowhere else.

Interim rule, scale-aware per tensor: they agree if

    max|got - expected| <= min(256 eps, sqrt(eps)) * max(|got|, |expected|) + subnormal

with eps and the smallest subnormal number of the case's dtype. 256 eps is the
best fixed constant found on 400 random float32 networks with planted bugs; the
cap keeps it below half of the digits, where 256 eps would forgive anything
(bfloat16: 256 eps = 2). The subnormal is one rounding of a tensor that underflows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np

from .backends.base import Trace
from .engines import EngineId
from .networks.cases import Case
from .networks.dtypes import Array, DType
from .networks.spec import Quantity
from .run import CANDIDATE_KINDS, OK, Run

AGREE, DISAGREE = "agree", "disagree"
REFERENCE = "reference"


@dataclass(frozen=True)
class Judgement:
    """What comparing two tensors gave.

    Parameters
    ----------
    reason
        Why nothing could be measured (missing, shape, dtype, not finite), or None.
    max_abs_error, max_ulp
        Largest ``|got - expected|``, and the same in ulp of each expected element.
    scale, bound
        Largest magnitude in either tensor, and the error that the rule allows at it.
    index, got, expected
        The element of the largest error, and what stood there.
    """

    verdict: str
    reason: str | None = None
    max_abs_error: float | None = None
    max_ulp: float | None = None
    scale: float | None = None
    bound: float | None = None
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None

    @property
    def bound_share(self) -> float:
        """Error over allowed error: above 1 disagrees; infinite where nothing could be measured."""
        if self.max_abs_error is None or not self.bound:
            return float("inf") if self.verdict != AGREE else 0.0
        return self.max_abs_error / self.bound


@dataclass(frozen=True)
class Comparison:
    """One quantity of one engine, judged against the reference or another engine."""

    quantity: str
    engine: EngineId
    against: str
    judgement: Judgement

    @property
    def verdict(self) -> str:
        return self.judgement.verdict


def judge(got: Array, expected: Array, dtype: DType) -> Judgement:
    """Judge one float64 tensor against another of the same shape; see the module for the rule."""
    for name, values in (("got", got), ("expected", expected)):
        finite = np.isfinite(values)
        if not finite.all():
            index = _index(np.argmin(finite), values.shape)
            return Judgement(
                DISAGREE,
                f"{name} is not finite",
                index=index,
                got=float(got[index]),
                expected=float(expected[index]),
            )
    with np.errstate(over="ignore"):
        error = np.abs(got - expected)
        in_ulp = error / dtype.ulp(expected)
    index = _index(np.argmax(error), error.shape)
    scale = float(max(np.max(np.abs(got)), np.max(np.abs(expected))))
    bound = min(256 * dtype.eps, sqrt(dtype.eps)) * scale + dtype.smallest_subnormal
    largest = float(error[index])
    return Judgement(
        AGREE if largest <= bound else DISAGREE,
        max_abs_error=largest,
        max_ulp=float(np.max(in_ulp)),
        scale=scale,
        bound=bound,
        index=index,
        got=float(got[index]),
        expected=float(expected[index]),
    )


def compare_runs(case: Case, runs: Sequence[Run], reference: Trace) -> list[Comparison]:
    """Compare every successful run with the reference, and all of them with each other.

    NumPy in float64 is not compared with the float64 NumPy reference: that is
    the same computation, and the check could not fail.
    """
    finished = [run for run in runs if run.status == OK and run.trace is not None]
    widened = {run.engine: _widened(run.trace) for run in finished if run.trace is not None}
    expected = _widened(reference)
    found: list[Comparison] = []
    for run in finished:
        if (run.engine.backend, case.dtype) != ("numpy", "float64"):
            against_reference = _compare(case, run, None, widened[run.engine], expected, REFERENCE)
            found += against_reference
    for one, other in combinations(finished, 2):
        found += _compare(case, one, other, widened[one.engine], widened[other.engine], str(other.engine))
    return found


def _compare(
    case: Case,
    one: Run,
    other: Run | None,
    got: Mapping[str, Array],
    expected: Mapping[str, Array],
    against: str,
) -> Iterator[Comparison]:
    partial = one.partial or (other is not None and other.partial)
    for quantity in case.quantities:
        if partial and quantity.kind not in CANDIDATE_KINDS:
            continue
        problem = _misfit(case, quantity, one)
        if other is not None and problem is None:
            problem = _misfit(case, quantity, other)
        judgement = (
            judge(got[quantity.name], expected[quantity.name], case.format)
            if problem is None
            else Judgement(DISAGREE, problem)
        )
        yield Comparison(quantity.name, one.engine, against, judgement)


def _misfit(case: Case, quantity: Quantity, run: Run) -> str | None:
    array = None if run.trace is None else run.trace.quantities.get(quantity.name)
    if array is None:
        return f"{run.engine} did not deliver it"
    if array.shape != quantity.shape:
        return f"{run.engine} gave shape {array.shape}, expected {quantity.shape}"
    if not run.partial and array.dtype != case.format.storage:
        return f"{run.engine} gave {array.dtype}, expected {case.format.storage}"
    return None


def _widened(trace: Trace) -> dict[str, Array]:
    return {name: np.asarray(array, np.float64) for name, array in trace.quantities.items()}


def _index(flat: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), shape))
