"""Every quantity of every engine before the judge; where there is none, the engines before each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from .diagnosis import Diagnosis, diagnose
from .diagnosis.record import LOSS_CONVENTION, UNRECOGNISED
from .engines import EngineId
from .floor import rounding_floor
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Quantity
from .oracle import Oracle, WiderFloors, with_overflow
from .place import place_of_error
from .run import CANDIDATE_KINDS, OK, Run
from .verdict import CONVENTION, DISAGREE, UNDECIDABLE, WRONG, Expectation, Judgement, judge


@dataclass(frozen=True)
class Comparison:
    """One quantity of one engine, judged against the oracle or another engine."""

    quantity: str
    engine: EngineId
    against: str
    judgement: Judgement

    @property
    def verdict(self) -> str:
        return self.judgement.verdict


@dataclass(frozen=True)
class Blame:
    """An engine that the oracle found wrong: where its error enters, and its likeliest causes."""

    engine: EngineId
    enters_at: str
    diagnoses: tuple[Diagnosis, ...]


def compare_runs(case: Case, runs: Sequence[Run], oracle: Oracle) -> tuple[Comparison, ...]:
    """Judge every successful run."""
    delivered = {run.engine: _widened(run) for run in runs if run.status == OK}
    wider = WiderFloors(case)
    finished = [run for run in runs if run.engine in delivered]
    if not all(np.isfinite(a).all() for quantities in delivered.values() for a in quantities.values()):
        oracle = with_overflow(oracle, case)
    if oracle.name == "none":
        return tuple(
            comparison
            for one, other in combinations(finished, 2)
            for comparison in _judge_pair(case, one, other, delivered, oracle, wider)
        )
    return tuple(
        comparison
        for run in finished
        for comparison in _judge_run(
            case, run, delivered[run.engine], oracle.expectations, f"oracle:{oracle.name}", wider
        )
    )


def blame(case: Case, runs: Sequence[Run], comparisons: Sequence[Comparison]) -> tuple[Blame, ...]:
    """Name each engine that the oracle found wrong, with the place where its error enters."""
    found: list[Blame] = []
    for run in runs:
        wrong = [
            c.quantity
            for c in comparisons
            if c.engine == run.engine and c.verdict in WRONG and c.against.startswith("oracle:")
        ]
        if wrong:
            fitting = {
                name: array
                for name, array in _widened(run).items()
                if _misfit(case, run, name, array) is None
            }
            place = place_of_error(case, fitting, wrong)
            found.append(Blame(run.engine, place, _diagnoses(case, fitting, wrong, place)))
    return tuple(found)


def _diagnoses(
    case: Case, got: Mapping[str, Array], wrong: Sequence[str], place: str
) -> tuple[Diagnosis, ...]:
    """What the error looks like; should the diagnosis itself fail, the verdict still stands."""
    try:
        return diagnose(case, got, wrong, place, rounding_floor(case))
    except Exception as error:
        text = f"not recognised, because the diagnosis failed: {type(error).__name__}: {error}"
        return (Diagnosis(UNRECOGNISED, text, place, None, 0.0),)


def with_conventions(comparisons: Sequence[Comparison], blames: Sequence[Blame]) -> tuple[Comparison, ...]:
    """Call `convention` what is wrong only because an engine computed another named loss."""
    other_loss = {b.engine for b in blames if b.diagnoses[0].cause == LOSS_CONVENTION}
    return tuple(
        replace(c, judgement=replace(c.judgement, verdict=CONVENTION))
        if c.engine in other_loss and c.verdict == DISAGREE
        else c
        for c in comparisons
    )


def _judge_run(
    case: Case,
    run: Run,
    got: Mapping[str, Array],
    expectations: Mapping[str, Expectation],
    against: str,
    wider: WiderFloors,
) -> Iterator[Comparison]:
    for quantity in _expected_of(case, run.partial):
        array = got.get(quantity.name)
        problem = _misfit(case, run, quantity.name, array)
        if array is None or problem is not None:
            yield Comparison(quantity.name, run.engine, against, Judgement(DISAGREE, problem))
            continue
        found = judge(array, expectations[quantity.name], case.format)
        if found.verdict == UNDECIDABLE:
            found = replace(found, decidable_in=wider.narrowest_deciding(quantity.name))
        yield Comparison(quantity.name, run.engine, against, found)


def _judge_pair(
    case: Case,
    one: Run,
    other: Run,
    delivered: Mapping[EngineId, Mapping[str, Array]],
    oracle: Oracle,
    wider: WiderFloors,
) -> Iterator[Comparison]:
    """Both sides make rounding errors: their difference has twice the variance of one."""
    theirs = delivered[other.engine]
    expectations = {
        name: Expectation(theirs[name], expected.sigma * np.sqrt(2), stored=theirs[name])
        for name, expected in oracle.expectations.items()
        if name in theirs
    }
    missing = {
        q.name: problem
        for q in _expected_of(case, other.partial)
        if (problem := _misfit(case, other, q.name, theirs.get(q.name))) is not None
    }
    partial = replace(one, partial=one.partial or other.partial)
    for name, problem in missing.items():
        yield Comparison(name, one.engine, str(other.engine), Judgement(DISAGREE, problem))
    judged = _judge_run(case, partial, delivered[one.engine], expectations, str(other.engine), wider)
    yield from (comparison for comparison in judged if comparison.quantity not in missing)


def _expected_of(case: Case, partial: bool) -> list[Quantity]:
    return [q for q in case.quantities if not partial or q.kind in CANDIDATE_KINDS]


def _misfit(case: Case, run: Run, name: str, array: Array | None) -> str | None:
    """Why a quantity cannot be measured, or None if it can."""
    if array is None or run.trace is None:
        return f"{run.engine} did not deliver it"
    shape = next(q.shape for q in case.quantities if q.name == name)
    if array.shape != shape:
        return f"{run.engine} gave shape {array.shape}, expected {shape}"
    dtype = run.trace.quantities[name].dtype
    if not run.partial and dtype != case.format.storage:
        return f"{run.engine} gave {dtype}, expected {case.format.storage}"
    return None


def _widened(run: Run) -> dict[str, Array]:
    quantities = {} if run.trace is None else run.trace.quantities
    return {name: np.asarray(array, np.float64) for name, array in quantities.items()}
