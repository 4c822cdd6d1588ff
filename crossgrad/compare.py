"""Every quantity of every engine before the judge; where there is none, the engines before each other."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TypeVar

import numpy as np

from .diagnosis import Diagnosis, diagnose
from .diagnosis.record import LOSS_CONVENTION, UNRECOGNISED
from .engines import EngineId
from .floor import rounding_floor
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Quantity
from .oracle import Oracle, WiderFloors, with_outcomes
from .place import place_of_error, wrong_steps
from .run import CANDIDATE_KINDS, OK, Run
from .verdict import CONVENTION, DISAGREE, UNDECIDABLE, WRONG, Expectation, Judgement, judge

BEYOND_DOUBT = 100.0
"""Share of the floor from which a run is wrong whatever errors add up to: the root of 10,000 of them."""

CLOSE = 2 / 3
"""Share of the floor from which a second look is taken: correct runs hardly come that close."""


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


def badness(comparison: Comparison) -> tuple[bool, float]:
    """To sort by: what is wrong comes last, in it what has no figure; NaN counts as infinite."""
    wrong, over = comparison.verdict in WRONG, comparison.judgement.over_floor
    if over is None:
        return wrong, float("inf") if wrong else -1.0
    return wrong, over if over == over else float("inf")


T = TypeVar("T", Comparison, Judgement)


@dataclass(frozen=True)
class Blame:
    """An engine that the oracle found wrong: where its error enters, and its likeliest causes."""

    engine: EngineId
    enters_at: str
    diagnoses: tuple[Diagnosis, ...]


def compare_runs(case: Case, runs: Sequence[Run], oracle: Oracle) -> tuple[Comparison, ...]:
    """Judge every successful run."""
    finished = [run for run in runs if run.status == OK]
    wider = WiderFloors(case)
    if not all(np.isfinite(array).all() for run in finished for array in _delivered(run).values()):
        oracle = with_outcomes(oracle, case)
    found: list[Comparison] = []
    if oracle.name == "none":
        for one, other in combinations(finished, 2):
            found += judged(oracle, partial(_judge_pair, case, one, other, wider=wider))
        return tuple(found)
    for run in finished:
        by = partial(_judge_run, case, run, against=f"oracle:{oracle.name}", wider=wider)
        found += _second_look(case, run, judged(oracle, by))
    return tuple(found)


def judged(oracle: Oracle, by: Callable[[Oracle], Iterable[T]]) -> Sequence[T]:
    """What is found by an oracle; where it may be errors that add up, by one that has followed them."""
    found = list(by(oracle))
    wrong = [c if isinstance(c, Judgement) else c.judgement for c in found if c.verdict in WRONG]
    if not wrong or any(one.over_floor is None or not one.over_floor <= BEYOND_DOUBT for one in wrong):
        return found
    return list(by(oracle.reconsidered))


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
            found.append(Blame(run.engine, *_place_and_causes(case, run, wrong)))
    return tuple(found)


def _place_and_causes(case: Case, run: Run, wrong: Sequence[str]) -> tuple[str, tuple[Diagnosis, ...]]:
    """Where the error enters, and what it looks like; should that fail, the verdict still stands."""
    given = _widened(run)
    told = {q.name: _misfit(case, run, q.name, given.get(q.name)) for q in _expected_of(case, run.partial)}
    misfits = {name: problem for name, problem in told.items() if problem is not None}
    fitting = {name: array for name, array in given.items() if name not in misfits}
    place = place_of_error(case, fitting, wrong, run.apart)
    shapes = {name: array.shape for name, array in given.items()}
    try:
        causes = diagnose(case, fitting, wrong, place, rounding_floor(case), shapes, misfits)
    except Exception as error:
        text = f"not recognised, because the diagnosis failed: {type(error).__name__}: {error}"
        return place, (Diagnosis(UNRECOGNISED, text, place, None, 0.0),)
    likeliest = causes[0]
    if run.partial and likeliest.confidence > 0:
        return likeliest.quantity, causes  # it explains what is not seen; the place was only inferred
    return place, causes


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
    oracle: Oracle,
    *,
    against: str,
    wider: WiderFloors,
    leave_out: Collection[str] = (),
) -> Iterator[Comparison]:
    for quantity in _expected_of(case, run.partial):
        if quantity.name in leave_out:
            continue
        array = _delivered(run).get(quantity.name)
        problem = _misfit(case, run, quantity.name, array)
        if array is None or problem is not None:
            yield Comparison(quantity.name, run.engine, against, Judgement(DISAGREE, problem))
            continue
        found = judge(array, oracle.expectations[quantity.name], case.format)
        if found.verdict == UNDECIDABLE and found.floor is not None:
            found = replace(found, decidable_in=wider.narrowest_deciding(quantity.name))
        yield Comparison(quantity.name, run.engine, against, found)


def _second_look(case: Case, run: Run, comparisons: Sequence[Comparison]) -> Sequence[Comparison]:
    """Replay the steps of a run that comes close to the floor: local noise is smaller than inherited noise.

    A fault not far above the floor can fall below it, the run's own noise being
    on the other side. Not done to runs that are well within the floor: a compiler
    may use other values than it delivers, so that right ones too can be off from their replay.
    Nor to what the timed core gave and the trace did not, as it was made of other values.
    """
    close = any((c.judgement.over_floor or 0.0) > CLOSE for c in comparisons)
    if not close or run.partial or any(c.verdict in WRONG for c in comparisons):
        return comparisons
    wrong = wrong_steps(case, _widened(run), run.apart)
    return [
        replace(
            c,
            judgement=replace(wrong[c.quantity], verdict=DISAGREE, reason=_step_is_wrong(wrong[c.quantity])),
        )
        if c.quantity in wrong
        else c
        for c in comparisons
    ]


def _step_is_wrong(found: Judgement) -> str:
    return (
        f"within the floor, but {found.over_floor:.3g} times the noise of this step on the run's own inputs"
    )


def _judge_pair(
    case: Case,
    one: Run,
    other: Run,
    oracle: Oracle,
    *,
    wider: WiderFloors,
) -> Iterator[Comparison]:
    """Both sides make rounding errors: their difference has twice the variance of one."""
    theirs = _widened(other)
    expectations = {
        name: Expectation(
            widened, np.asarray(expected.sigma) * np.sqrt(2), stored=widened, outcomes=expected.outcomes
        )
        for name, expected in oracle.expectations.items()
        if (widened := theirs.get(name)) is not None
    }
    missing = {
        q.name: problem
        for q in _expected_of(case, other.partial)
        if (problem := _misfit(case, other, q.name, theirs.get(q.name))) is not None
    }
    mine = replace(one, partial=one.partial or other.partial)
    for name, problem in missing.items():
        yield Comparison(name, one.engine, str(other.engine), Judgement(DISAGREE, problem))
    between = replace(oracle, expectations=expectations)
    yield from _judge_run(case, mine, between, against=str(other.engine), wider=wider, leave_out=missing)


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


def _delivered(run: Run) -> Mapping[str, Array]:
    return {} if run.trace is None else run.trace.quantities


def _widened(run: Run) -> dict[str, Array]:
    return {name: np.asarray(array, np.float64) for name, array in _delivered(run).items()}
