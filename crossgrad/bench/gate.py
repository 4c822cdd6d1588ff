"""No timing for what was not checked: each engine's step, forward pass and update before the judge."""

from dataclasses import dataclass, replace
from functools import partial
from math import sqrt

import numpy as np

from ..backends.base import Trace
from ..compare import blame, compare_runs, judged, with_conventions
from ..computed import Computed
from ..floor import rounding_floor
from ..networks.cases import Case
from ..networks.cost import step_flops
from ..networks.dtypes import Array
from ..networks.spec import Network
from ..oracle import Oracle, consult, with_outcomes
from ..run import CANDIDATE_KINDS, Run
from ..verdict import DISAGREE, SEVERITY, WRONG, Expectation, Judgement, judge

WORTH_THE_BEST_JUDGE = 10**9
"""Floating-point operations of a float64 step up to which it is held before a wider oracle, some seconds."""


@dataclass(frozen=True)
class Passed:
    """The worst verdict of an engine's quantities, and what is wrong if anything is."""

    verdict: str
    wrong: str | None = None


def oracle_for(case: Case) -> Oracle:
    """Who judges a case before it is timed.

    For a float64 case that is large, the hand-derived float64 pass of the
    rounding floor, a tenth of the cost: it has rounding errors of its own, of
    the floor's size and independent of the engine's, so that their difference
    has the floor's standard deviation times sqrt(2).
    """
    if case.dtype != "float64" or has_wide_oracle(case.network, case.batch_size, case.dtype):
        return consult(case)
    floor = rounding_floor(case)
    expected = {quantity.name: Expectation(*floor.expected(quantity.name)) for quantity in case.quantities}
    return Oracle("float64", case, floor, {name: _doubted(found) for name, found in expected.items()})


def has_wide_oracle(network: Network, batch_size: int, dtype: str) -> bool:
    """Whether a case is held before an oracle wider than float64, which takes more time and memory."""
    return dtype == "float64" and step_flops(network, batch_size) <= WORTH_THE_BEST_JUDGE


def hold_before(judge_of_case: Oracle, case: Case, run: Run, forward_loss: float | None) -> Passed:
    """Judge a run that is to be timed, and the loss of its forward pass.

    A partial run is one of what is timed alone: beside the loss and gradients it may have updated parameters.
    """
    run, updated = _apart(run)
    comparisons = compare_runs(case, [run], judge_of_case)
    if not comparisons:
        return Passed("failed", f"nobody here can judge {case.dtype}: pip install 'crossgrad[oracle]'")
    blames = blame(case, [run], comparisons)
    comparisons = with_conventions(comparisons, blames)
    verdicts = [comparison.verdict for comparison in comparisons]
    wrong = [comparison.quantity for comparison in comparisons if comparison.verdict in WRONG]
    if wrong:
        cause = blames[0].diagnoses[0].text if blames else comparisons[0].judgement.reason
        where = f"; the error enters at {blames[0].enters_at}" if blames else ""
        return Passed(max(verdicts, key=SEVERITY.index), f"{', '.join(wrong[:3])} wrong{where}: {cause}")
    if wrong := _wrong_updates(judge_of_case, updated):
        return Passed(DISAGREE, f"{', '.join(wrong[:3])} wrong, of gradients that are right")
    if forward_loss is not None:
        found = judged(judge_of_case, partial(_forward, forward_loss=forward_loss))[0]
        if found.verdict in WRONG:
            right = float(np.asarray(judge_of_case.expectations["loss"].value))
            return Passed(found.verdict, f"forward gives the loss {forward_loss:.9g}, not {right:.9g}")
    return Passed(max(verdicts, key=SEVERITY.index))


def _apart(run: Run) -> tuple[Run, dict[str, Array]]:
    """A partial run as a comparison takes it, and the quantities that it has besides."""
    if not run.partial or run.trace is None:
        return run, {}
    told, besides = dict[str, Array](), dict[str, Array]()
    for name, array in run.trace.quantities.items():
        (told if name.partition(".")[0] in CANDIDATE_KINDS else besides)[name] = array
    return replace(run, trace=Trace(told)), besides


def _forward(oracle: Oracle, forward_loss: float) -> list[Judgement]:
    return [judge(np.asarray(forward_loss), oracle.expectations["loss"], oracle.case.format)]


def _wrong_updates(oracle: Oracle, updated: dict[str, Array]) -> list[str]:
    """Names of updated parameters that are wrong; none of an engine without an update."""
    if not updated:
        return []
    if not all(np.isfinite(array).all() for array in updated.values()):
        oracle = with_outcomes(oracle, oracle.case)
    names = [q.name for q in oracle.case.quantities if q.kind in ("W_new", "b_new")]

    def held(oracle: Oracle) -> list[Judgement]:
        return [_held(updated.get(name), oracle.expectations[name], oracle.case) for name in names]

    return [name for name, found in zip(names, judged(oracle, held), strict=True) if found.verdict in WRONG]


def _held(array: Array | None, expected: Expectation, case: Case) -> Judgement:
    if array is None or array.shape != expected.value.shape:
        return Judgement(DISAGREE, "missing, or of another shape")
    return judge(array, expected, case.format)


def _doubted(expected: Expectation) -> Expectation:
    """The same, with the deviation of a difference of two; tensors' are computed as they are read."""
    sigma = expected.sigma
    if not sigma.shape:
        return replace(expected, sigma=sqrt(2) * np.asarray(sigma))
    return replace(
        expected, sigma=Computed(sigma.shape, lambda start, stop: sqrt(2) * sigma.ravel()[start:stop])
    )
