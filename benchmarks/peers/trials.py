"""Every checker on the same mutants and the same correct runs of the same random cases."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossgrad.backends.registry import load
from crossgrad.engines import Engine, EngineId
from crossgrad.floor import Floor, rounding_floor
from crossgrad.mutants import MUTANTS, Mutant, random_case, run_hooked, run_mutant
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.run import OK, run_engine
from crossgrad.verdict import over_floor

from .checker import OTHER_RIGHT_ENGINE, RIGHT_ENGINE, Accepts, Checker, Quantities

CORRECT = (("numpy", "manual"), ("torch", "eager"), ("torch", "func"), ("jax", "jit"))
"""Engines whose runs are right. The last is tried in one case in `JAX_ONE_IN`: it compiles for each."""

JAX_ONE_IN = 4

LARGER_FROM = 100_000
"""Seeds of the larger cases lie this far above those of the small ones."""

LARGER_ONE_IN = 8
"""There is one larger case for so many small ones, with one mutant in `MUTANT_ONE_IN` tried on it."""

LARGER_PARAMETERS = (3_000, 60_000)
LARGER_PRODUCTS = 1e7
MUTANT_ONE_IN = 4


NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trial:
    """One checker on one run.

    Parameters
    ----------
    run
        The mutant's name, or the engine of a correct run.
    stage
        The mutant's, None for a correct run.
    moved
        Kinds of quantities that the fault moves by more than the floor.
    differs
        Kinds of quantities that differ from the right step's in some bit: in a narrow dtype a
        fault may vanish by underflow or saturation, and no checker can find it.
    preparing, judging
        Seconds: for the case, shared by its runs, and for this run.
    small
        Whether the case is one that every checker of its dtype took, so that times compare.
    """

    checker: str
    dtype: str
    seed: int
    run: str
    stage: str | None
    moved: frozenset[str]
    differs: frozenset[str]
    accepted: bool
    preparing: float
    judging: float
    small: bool


@dataclass(frozen=True)
class _Judge:
    checker: Checker
    accepts: Accepts
    seconds: float


def larger_cases(seed: int, count: int, dtype: str) -> Iterator[Case]:
    """The first `count` of the unlimited random cases that are larger than most small ones."""
    found = 0
    while found < count:
        case = random_case(seed, dtype)
        seed += 1
        parameters = case.network.parameter_count
        low, high = LARGER_PARAMETERS
        if low <= parameters <= high and parameters * case.batch_size <= LARGER_PRODUCTS:
            found += 1
            yield case


def run_trials(
    cases: int,
    seed: int,
    dtypes: Sequence[str],
    checkers: Sequence[Checker],
    *,
    smallest: float,
    mutants: Sequence[Mutant] = MUTANTS,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[list[Trial], list[str]]:
    """Judge `cases` small random cases a dtype, and one larger one for each `LARGER_ONE_IN`.

    Parameters
    ----------
    smallest
        Most parameters of a case that every checker takes.

    Returns
    -------
    The trials, and what the engines that should be right failed to run.
    """
    trials: list[Trial] = []
    failures: list[str] = []
    for dtype in dtypes:
        for number in range(cases):
            case = random_case(seed + number, dtype, small=True)
            progress(f"{dtype} {number + 1}/{cases}: {case.name} {case.network}")
            engines = CORRECT if number % JAX_ONE_IN == 0 else CORRECT[:-1]
            trials += _judge_case(case, checkers, mutants, engines, smallest, failures)
        larger = -(-cases // LARGER_ONE_IN) if cases >= LARGER_ONE_IN else 0
        for number, case in enumerate(larger_cases(seed + LARGER_FROM, larger, dtype)):
            progress(f"{dtype} larger {number + 1}/{larger}: {case.name} {case.network}")
            some = [m for n, m in enumerate(mutants) if (n + case.seed) % MUTANT_ONE_IN == 0]
            trials += _judge_case(case, checkers, some, CORRECT[:-1], smallest, failures)
    return trials, failures


def _judge_case(
    case: Case,
    checkers: Sequence[Checker],
    mutants: Sequence[Mutant],
    engines: Sequence[tuple[str, str]],
    smallest: float,
    failures: list[str],
) -> Iterator[Trial]:
    taking = [checker for checker in checkers if checker.takes(case)]
    judges = {against: _prepared(taking, case, against) for against in (RIGHT_ENGINE, OTHER_RIGHT_ENGINE)}
    small = case.network.parameter_count <= smallest
    for backend, variant in engines:
        run = run_engine(case, Engine(EngineId(backend, variant, "cpu"), load(backend)))
        if run.status != OK or run.trace is None:
            failures.append(f"{backend}:{variant} {case.dtype} {case.name}: {run.status}: {run.message}")
            continue
        against = OTHER_RIGHT_ENGINE if backend == RIGHT_ENGINE[0] else RIGHT_ENGINE
        for judge in judges[against]:
            yield _trial(judge, case, run.trace.quantities, f"{backend}:{variant}", None, NONE, NONE, small)
    wide, narrow, right = rounding_floor(case.widened()), rounding_floor(case), run_hooked(case).quantities
    for number, mutant in enumerate(mutants):
        if not mutant.applies(case):
            continue
        with np.errstate(all="ignore"):
            got = run_mutant(mutant, case).quantities
            moved = moved_kinds(run_mutant(mutant, case.widened()).quantities, wide, narrow)
        if not moved:
            continue
        differs = _kinds(name for name in right if got[name].tobytes() != right[name].tobytes())
        for judge in judges[RIGHT_ENGINE]:
            if (number + case.seed) % judge.checker.one_in:
                continue
            yield _trial(judge, case, got, mutant.name, mutant.stage, moved, differs, small)


def moved_kinds(exact: Quantities, wide: Floor, narrow: Floor) -> frozenset[str]:
    """Kinds of quantities whose exact values are off by more than the floor of the case's dtype."""
    return _kinds(
        name for name, right in wide.value.items() if not _over(exact[name] - right, narrow.sigma[name]) <= 1
    )


def _kinds(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in names)


def _over(error: Array, sigma: Array) -> float:
    return over_floor(error, sigma) if np.isfinite(error).all() else float("inf")


def _prepared(checkers: Sequence[Checker], case: Case, against: tuple[str, str]) -> list[_Judge]:
    judges = []
    for checker in checkers:
        start = time.perf_counter()
        accepts = checker.prepare(case, against)
        judges.append(_Judge(checker, accepts, time.perf_counter() - start))
    return judges


def _trial(
    judge: _Judge,
    case: Case,
    got: Quantities,
    run: str,
    stage: str | None,
    moved: frozenset[str],
    differs: frozenset[str],
    small: bool,
) -> Trial:
    start = time.perf_counter()
    with np.errstate(all="ignore"):
        accepted = judge.accepts(got)
    judging = time.perf_counter() - start
    return Trial(
        judge.checker.name,
        case.dtype,
        case.seed,
        run,
        stage,
        moved,
        differs,
        accepted,
        judge.seconds,
        judging,
        small,
    )
