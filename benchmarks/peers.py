#!/usr/bin/env python3
"""crossgrad beside other ways to check gradients: the same wrong and right training steps, judged by each.

    python benchmarks/peers.py [--cases 30] [--seed 500000] [--dtype float32 --dtype float64 ...]

Prints the matrix and writes ``peers.json``, ``peers.md`` and ``peers.svg``
(if matplotlib is installed) to ``benchmarks/results``. Everything runs in one
thread: the cases are small, and threads that wait for each other would be
timed instead of the checkers.

A mutant counts in a case if its exact values, run in float64, move by more
than the rounding floor of the dtype, as in ``crossgrad selftest``. A checker
is held to the mutants that move something which it looks at.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from recorded import write

DTYPES = ("float64", "float32", "bfloat16", "float16")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=30, help="small random cases a dtype")
    parser.add_argument(
        "--seed", type=int, default=500_000, help="of the first case; below 500000 limits were tuned"
    )
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="repeatable; all by default")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder that the files go to")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # read when numpy and torch are imported

    from peers.checkers import installed_checkers
    from peers.figures import document, markdown, text
    from peers.finite_differences import GRADCHECK_LIMIT
    from peers.plot import draw
    from peers.trials import run_trials

    def progress(line: str) -> None:
        print(f"{time.perf_counter() - start:6.0f} s  {line}", file=sys.stderr)

    dtypes, checkers, start = options.dtype or list(DTYPES), installed_checkers(), time.perf_counter()
    run_trials(1, 0, ["float64"], checkers, smallest=0)  # first calls import and compile
    trials, failures = run_trials(
        options.cases, options.seed, dtypes, checkers, smallest=GRADCHECK_LIMIT, progress=progress
    )
    settings = {
        "seconds": round(time.perf_counter() - start),
        "cases": options.cases,
        "seed": options.seed,
        "dtypes": dtypes,
    }
    result = document(trials, checkers, dtypes, settings, failures)
    options.results.mkdir(parents=True, exist_ok=True)
    write(options.results / "peers.json", result)
    (options.results / "peers.md").write_text(markdown(result))
    drawn = draw(result, options.results / "peers.svg")
    print(text(result))
    print(f"written to {options.results}: peers.json, peers.md" + ", peers.svg" * drawn)


if __name__ == "__main__":
    main()
