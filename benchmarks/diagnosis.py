#!/usr/bin/env python3
"""How often the first diagnosis names the planted fault.

    python benchmarks/diagnosis.py [--cases 20] [--seed 5000] [--dtype float32 float64] [--show NAME]

Every mutant of ``crossgrad/mutants`` runs on random small cases. Where the
verdict calls a quantity wrong, the mutant is diagnosed twice: as an engine,
with every quantity, and as a candidate, of which only the loss, dW and db are
known. A mutant without a cause of its own (``cause`` is None) is counted apart:
how often a diagnosis describes it by one of the other causes.

Many mutants make the mistakes that the diagnosis looks for by their formula:
for those this measures the machinery, not what it would do with a new mistake.
It was tuned on seeds 0 to 39; the default seeds were not looked at meanwhile.
Some misses are none: a db of one element that is missing is a db that is zero,
and where inputs saturate the units, an earlier gradient equals the present one.

Prints a table and writes ``benchmarks/results/diagnosis.json``.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from recorded import write

from crossgrad.diagnosis import BROADER, diagnose
from crossgrad.environment import environment
from crossgrad.floor import rounding_floor
from crossgrad.mutants import MUTANTS, Mutant, random_case, run_mutant
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.oracle import Oracle, consult, with_outcomes
from crossgrad.place import place_of_error
from crossgrad.run import CANDIDATE_KINDS
from crossgrad.verdict import WRONG, judge

RESULTS = Path(__file__).parent / "results" / "diagnosis.json"
VIEWS = ("engine", "candidate")

Table = dict[str, dict[str, dict[str, float]]]
"""By view and cause: counts and shares."""


class Outcome(NamedTuple):
    """One mutant in one case, seen as an engine or as a candidate."""

    view: str
    dtype: str
    seed: int
    mutant: str
    planted: str | None
    named: str
    confidence: float
    listed: tuple[str, ...]
    text: str
    seconds: float

    @property
    def right(self) -> bool:
        return self.planted in (self.named, BROADER.get(self.named, self.named))

    @property
    def among(self) -> bool:
        return any(self.planted in (cause, BROADER.get(cause)) for cause in self.listed)


def outcomes_of(seed: int, dtype: str) -> list[Outcome]:
    """Every mutant in one case."""
    case = random_case(seed, dtype, small=True)
    oracle = consult(case)
    return [o for mutant in MUTANTS if mutant.applies(case) for o in _outcomes(case, oracle, mutant)]


def _outcomes(case: Case, oracle: Oracle, mutant: Mutant) -> Iterator[Outcome]:
    quantities = run_mutant(mutant, case).quantities
    got = {name: np.asarray(array, np.float64) for name, array in quantities.items()}
    for view in VIEWS:
        seen = {n: a for n, a in got.items() if view == "engine" or n.partition(".")[0] in CANDIDATE_KINDS}
        wrong = _wrong(case, oracle, seen)
        if wrong:
            start = time.perf_counter()
            found = diagnose(case, seen, wrong, place_of_error(case, seen, wrong), rounding_floor(case))
            spent = time.perf_counter() - start
            first, causes = found[0], tuple(d.cause for d in found)
            yield Outcome(
                view,
                case.dtype,
                case.seed,
                mutant.name,
                mutant.cause,
                first.cause,
                first.confidence,
                causes,
                first.text,
                spent,
            )


def _wrong(case: Case, oracle: Oracle, got: dict[str, Array]) -> list[str]:
    if not all(np.isfinite(array).all() for array in got.values()):
        oracle = with_outcomes(oracle, case)
    names = [quantity.name for quantity in case.quantities if quantity.name in got]
    return [n for n in names if judge(got[n], oracle.expectations[n], case.format).verdict in WRONG]


def table(outcomes: Sequence[Outcome]) -> Table:
    """By view and cause: how many, how often first, how often listed, how often unrecognised."""
    found: Table = {}
    for view in VIEWS:
        rows = defaultdict(list)
        for outcome in outcomes:
            if outcome.view == view and outcome.planted:
                rows[outcome.planted].append(outcome)
                rows["all"].append(outcome)
        found[view] = {cause: _row(rows[cause]) for cause in sorted(rows)}
        unplanned = [o for o in outcomes if o.view == view and not o.planted]
        claims = [o for o in unplanned if o.named != "unrecognised"]
        found[view]["none"] = {"count": len(unplanned), "claims": len(claims)}
    return found


def _row(outcomes: Sequence[Outcome]) -> dict[str, float]:
    count = len(outcomes)
    return {
        "count": count,
        "first": round(sum(o.right for o in outcomes) / count, 4),
        "listed": round(sum(o.among for o in outcomes) / count, 4),
        "unrecognised": round(sum(o.named == "unrecognised" for o in outcomes) / count, 4),
    }


def _print(result: Table, outcomes: Sequence[Outcome], show: str) -> None:
    for view, rows in result.items():
        print(f"{view:<26} {'runs':>6} {'first':>7} {'listed':>7} {'unrecognised':>13}")
        for cause, row in rows.items():
            if cause == "none":
                print(
                    f"  of {row['count']} without a cause of their own, {row['claims']} are given another's"
                )
            else:
                print(
                    f"  {cause:<24} {row['count']:>6} {row['first']:>7.1%} {row['listed']:>7.1%} "
                    f"{row['unrecognised']:>13.1%}"
                )
    misses = Counter((o.view, o.mutant, o.planted, o.named) for o in outcomes if o.planted and not o.right)
    print("most frequent misses: view, mutant, planted, named")
    for (view, mutant, planted, named), count in misses.most_common(25):
        print(f"  {count:>4} {view:<10} {mutant:<36} {planted:<24} {named}")
    for o in outcomes:
        if show in (o.mutant, str(o.planted)) and not o.right:
            print(o)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5000, help="of the first case")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--show", default="", help="print every miss of this mutant or cause, or None")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    jobs = [(s, d) for d in options.dtype for s in range(options.seed, options.seed + options.cases)]
    with ProcessPoolExecutor() as pool:
        outcomes = [o for some in pool.map(outcomes_of, *zip(*jobs, strict=True)) for o in some]
    result = table(outcomes)
    _print(result, outcomes, options.show)
    seconds = sorted(o.seconds for o in outcomes)
    print(f"a diagnosis takes {np.median(seconds):.3f} s in the median, {seconds[-1]:.2f} s at most")
    if options.dry:
        return
    document = {
        "environment": environment({}),
        "seeds": [options.seed, options.seed + options.cases - 1],
        "dtypes": options.dtype,
        "seconds": {"median": round(float(np.median(seconds)), 4), "largest": round(seconds[-1], 3)},
        "recognition": result,
    }
    write(RESULTS, document)
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
