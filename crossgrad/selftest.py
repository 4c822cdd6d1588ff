"""crossgrad tests itself: planted faults must be found, correct runs must pass, on this machine.

A mutant (``crossgrad/mutants``) is a training step with one fault. It counts
in a case if its exact values, run in float64, are further from the truth than
the floor of the dtype. Elements do not add to that distance whose delivered
value differs by less than one standard deviation of noise from what the step
without the fault delivers: the dtype swallowed the fault there, by saturation
or underflow, and left nothing to be found. Which mutants count is computed for
each case, never declared; how many were swallowed whole is in the figures.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import sqrt
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from .backends.base import Trace
from .compare import blame, compare_runs
from .diagnosis import BROADER
from .engines import Engine, EngineId
from .floor import Floor, rounding_floor
from .mutants import MUTANTS, Mutant, random_case, run_hooked, run_mutant
from .networks.cases import Case
from .networks.dtypes import Array, find_dtype
from .oracle import Oracle, consult, with_outcomes
from .report import plain_number
from .run import OK, UNSUPPORTED, Run, run_engine
from .verdict import UNDECIDABLE, WRONG, over_floor

SCHEMA = "crossgrad.selftest/1"
BANDS = (1.0, 1.25, 2.0, 10.0, float("inf"))
"""Shifts, over the floor, for which detection is told apart."""

DTYPES = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Trial:
    """One mutant in one case.

    Parameters
    ----------
    exact_shift, shift
        How far the fault moves the exact values, over the floor: all of them, and
        those alone that it moves in the dtype too. It counts if `shift` is above 1.
    place, true_place
        Where the error was said to enter, and the first quantity that the exact values show moved.
    recognised
        Whether the first diagnosis names the mutant's cause; None for a mutant without one.
    """

    seed: int
    dtype: str
    mutant: str
    stage: str
    exact_shift: float
    shift: float
    detected: bool
    place: str | None = None
    true_place: str | None = None
    recognised: bool | None = None

    @property
    def counts(self) -> bool:
        return not self.shift <= 1

    @property
    def swallowed(self) -> bool:
        return not self.exact_shift <= 1 and not self.counts


@dataclass(frozen=True)
class Ground:
    """What all mutants of a case are held against: the step without a fault, and two floors."""

    case: Case
    oracle: Oracle
    right: Mapping[str, Array]
    wide: Floor
    narrow: Floor

    @classmethod
    def of(cls, case: Case, oracle: Oracle | None = None) -> Self:
        right = run_hooked(case).quantities
        return cls(case, oracle or consult(case), right, rounding_floor(case.widened()), rounding_floor(case))

    @cached_property
    def undecidable(self) -> Mapping[str, Array]:
        """Elements that right arithmetic may overflow or not, or that are made of such."""
        expected = with_outcomes(self.oracle, self.case).expectations
        possible = {name: e.outcomes for name, e in expected.items() if e.outcomes is not None}
        return {name: p.several | ~p.known for name, p in possible.items()}


@dataclass(frozen=True)
class CorrectRun:
    """One engine on one case without a fault: what was called wrong, and what undecidable."""

    seed: int
    dtype: str
    engine: str
    wrong: tuple[str, ...]
    undecidable: int
    drowned: int
    """Those of the undecidable quantities whose largest error is no smaller than their largest element."""
    quantities: int
    largest_share: float


def try_mutants(case: Case, oracle: Oracle, mutants: Iterable[Mutant]) -> list[Trial]:
    """Run every mutant that applies to a case, and see what the verdict makes of it."""
    ground = Ground.of(case, oracle)
    return [_try(ground, mutant) for mutant in mutants if mutant.applies(case)]


def try_correct(case: Case, oracle: Oracle, engines: Iterable[Engine]) -> list[CorrectRun]:
    """Run engines that are right on a case: whatever is called wrong is a false alarm.

    Engines that do not support the case are left out.
    """
    found = []
    for engine in engines:
        run = run_engine(case, engine)
        if run.status == UNSUPPORTED:
            continue
        comparisons = compare_runs(case, [run], oracle)
        shares = [c.judgement.over_floor for c in comparisons if c.judgement.over_floor is not None]
        undecidable = [c.judgement for c in comparisons if c.verdict == UNDECIDABLE]
        wrong = tuple(c.quantity for c in comparisons if c.verdict in WRONG)
        found.append(
            CorrectRun(
                case.seed,
                case.dtype,
                str(engine.id),
                wrong if run.status == OK else (f"{run.status}: {run.message}",),
                len(undecidable),
                sum((j.max_abs_error or 0.0) >= (j.scale or 0.0) for j in undecidable),
                len(comparisons),
                max(shares, default=0.0),
            )
        )
    return found


def selftest(
    cases: int,
    seed: int,
    dtypes: Sequence[str],
    engines: Sequence[Engine],
    *,
    small: bool = True,
    mutants: Sequence[Mutant] = MUTANTS,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[Trial], list[CorrectRun]]:
    """Try every mutant and every engine on `cases` random cases a dtype, drawn from `seed` on."""
    trials: list[Trial] = []
    correct: list[CorrectRun] = []
    dtypes = [find_dtype(dtype).name for dtype in dtypes]  # an unknown one is refused before anything runs
    for number, (dtype, offset) in enumerate((d, n) for d in dtypes for n in range(cases)):
        if progress is not None:
            progress(f"{dtype} seed {seed + offset}", number, cases * len(dtypes))
        case = random_case(seed + offset, dtype, small=small)
        oracle = consult(case)
        trials += try_mutants(case, oracle, mutants)
        correct += try_correct(case, oracle, engines)
    return trials, correct


def share_with_interval(hits: int, total: int) -> tuple[float, float, float]:
    """A share and its 95 % confidence interval (Wilson 1927), as fractions; NaN if there is nothing."""
    if not total:
        return float("nan"), 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    p, spread = hits / total, z * sqrt(hits * (total - hits) / total + z * z / 4)
    return p, (hits + z * z / 2 - spread) / (total + z * z), (hits + z * z / 2 + spread) / (total + z * z)


def summary(trials: Sequence[Trial], correct: Sequence[CorrectRun]) -> dict[str, Any]:
    """The figures by dtype, each with its interval, and every trial that went wrong."""
    by_dtype = {dtype: _figures(trials, correct, dtype) for dtype in dtypes_of(trials, correct)}
    alarms = [({"engine": c.engine}, c) for c in correct]
    return {"schema": SCHEMA, "dtypes": by_dtype, **went_wrong(trials, alarms)}


def dtypes_of(*tried: Sequence[Any]) -> list[str]:
    """Those of trials and of correct runs, in their order."""
    return list(dict.fromkeys(one.dtype for some in tried for one in some))


def went_wrong(trials: Iterable[Any], correct: Iterable[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """The trials that were missed, and the correct runs that were called wrong, each beside who it was."""
    return {
        "missed": [
            {"mutant": t.mutant, "dtype": t.dtype, "seed": t.seed, "shift": plain_number(t.shift)}
            for t in trials
            if t.counts and not t.detected
        ],
        "false_alarms": [
            {**who, "dtype": c.dtype, "seed": c.seed, "wrong": list(c.wrong)} for who, c in correct if c.wrong
        ],
    }


def _figures(trials: Sequence[Trial], correct: Sequence[CorrectRun], dtype: str) -> dict[str, Any]:
    counted = [t for t in trials if t.dtype == dtype and t.counts]
    seen = [t for t in counted if t.detected]
    bands = {f"{low:g} to {high:g}": (low, high) for low, high in pairwise(BANDS)}
    told = [t for t in seen if t.recognised is not None]
    runs = [c for c in correct if c.dtype == dtype]
    return {
        "mutants": sum(t.dtype == dtype for t in trials),
        "swallowed": sum(t.dtype == dtype and t.swallowed for t in trials),
        "counted": len(counted),
        "detected": share(len(seen), len(counted)),
        "detected_by_shift": {
            name: share(sum(_within(t, band) for t in seen), sum(_within(t, band) for t in counted))
            for name, band in bands.items()
        },
        "placed": share(sum(t.place == t.true_place for t in seen), len(seen)),
        "recognised": share(sum(bool(t.recognised) for t in told), len(told)),
        "correct_runs": len(runs),
        "false_alarms": share(sum(bool(c.wrong) for c in runs), len(runs)),
        "undecidable": share(sum(c.undecidable for c in runs), sum(c.quantities for c in runs)),
        "drowned": share(sum(c.drowned for c in runs), sum(c.undecidable for c in runs)),
        "largest_share_of_floor": max((c.largest_share for c in runs), default=0.0),
    }


def _within(trial: Trial, band: tuple[float, float]) -> bool:
    """Whether the shift is in the band; NaN, of a fault that made NaN, is in the last."""
    low, high = band
    return low <= trial.shift < high or (high == float("inf") and not trial.shift < low)


def share(hits: int, total: int) -> dict[str, float | int | None]:
    """A share and its interval, as results hold them."""
    p, low, high = share_with_interval(hits, total)
    return {"hits": hits, "of": total, "share": p if total else None, "low": low, "high": high}


def _try(ground: Ground, mutant: Mutant) -> Trial:
    case = ground.case
    exact, trace = _run_both(case, mutant)
    moved = {name: exact[name] - value for name, value in ground.wide.value.items()}
    exact_shift, shift = _shifts(ground, trace, moved)
    trial = Trial(case.seed, case.dtype, mutant.name, mutant.stage, exact_shift, shift, detected=False)
    run = Run(EngineId("mutant", mutant.name, "cpu"), OK, {}, trace)
    comparisons = compare_runs(case, [run], ground.oracle)
    if not any(c.verdict in WRONG for c in comparisons):
        return trial
    (found,) = blame(case, [run], comparisons)
    sigma = ground.wide.sigma
    true_place = next((q.name for q in case.quantities if _over(moved[q.name], sigma[q.name]) > 1), None)
    cause = found.diagnoses[0].cause
    recognised = None if mutant.cause is None else mutant.cause in (cause, BROADER.get(cause))
    return replace(trial, detected=True, place=found.enters_at, true_place=true_place, recognised=recognised)


def shift_of(ground: Ground, mutant: Mutant, quantities: Collection[str]) -> tuple[float, float]:
    """`Trial.exact_shift` and `Trial.shift` of a mutant, in these quantities alone."""
    exact, trace = _run_both(ground.case, mutant)
    moved = {name: exact[name] - value for name, value in ground.wide.value.items() if name in quantities}
    return _shifts(ground, trace, moved)


def _run_both(case: Case, mutant: Mutant) -> tuple[Mapping[str, Array], Trace]:
    """A mutant's exact values, and what it delivers in the case's dtype."""
    with np.errstate(all="ignore"):
        return run_mutant(mutant, case.widened()).quantities, run_mutant(mutant, case)


def _shifts(ground: Ground, trace: Trace, moved: Mapping[str, Array]) -> tuple[float, float]:
    if not _all_finite(trace):
        moved = {name: np.where(ground.undecidable[name], 0.0, part) for name, part in moved.items()}
    sigma = ground.narrow.sigma
    exact = max((_over(part, sigma[name]) for name, part in moved.items()), default=0.0)
    seen = [_over(_visible(ground, trace, name, part), sigma[name]) for name, part in moved.items()]
    return exact, max(seen, default=0.0)


def _visible(ground: Ground, trace: Trace, name: str, moved: Array) -> Array:
    """How far the fault moves a quantity exactly, without the elements that it does not move in the dtype."""
    got, right = (np.asarray(q[name], np.float64) for q in (trace.quantities, ground.right))
    with np.errstate(invalid="ignore"):
        hidden = (got == right) | (np.abs(got - right) < ground.narrow.sigma[name])
    return np.where(hidden, 0.0, moved)


def _all_finite(trace: Trace) -> bool:
    return all(np.isfinite(np.asarray(a, np.float64)).all() for a in trace.quantities.values())


def _over(error: np.ndarray, sigma: np.ndarray) -> float:
    """Error over floor; infinite where the fault made NaN or infinity of a number."""
    return over_floor(error, sigma) if np.isfinite(error).all() else float("inf")
