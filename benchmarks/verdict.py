#!/usr/bin/env python3
"""How often the verdict is wrong: planted faults that it misses, correct runs that it rejects.

    python benchmarks/verdict.py [--cases 12] [--correct 250] [--jax 12] [--seed 1000000] [--threads 1]

`--cases` random networks a dtype with every mutant that applies; `--correct`
more with NumPy's and PyTorch's engines, and on the first `--jax` of them JAX's
(its compilation takes most of a second a network). The networks are those of
``crossgrad selftest --large``. Writes ``benchmarks/results/verdict-threads-N.json``.
Seeds below 1,000,000 were used while the limits were set; the published run is
on seeds from there on.
"""

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ENGINES = ["numpy", "torch", "torch:func"]
JAX = ["jax"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--correct", type=int, default=250)
    parser.add_argument("--jax", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", action="append")
    return parser.parse_args()


def main() -> None:
    wanted = arguments()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(wanted.threads)
    # The libraries read these at import, so they are imported below.
    from crossgrad.backends.registry import load
    from crossgrad.engines import select_engines
    from crossgrad.environment import environment
    from crossgrad.mutants import MUTANTS, random_case
    from crossgrad.oracle import consult
    from crossgrad.selftest import DTYPES, summary, try_correct, try_mutants

    start, trials, correct = time.perf_counter(), [], []
    fast, slow = (select_engines(names, ["cpu"]).engines for names in (ENGINES, JAX))
    for dtype in wanted.dtype or DTYPES:
        for number in range(max(wanted.cases, wanted.correct)):
            case = random_case(wanted.seed + number, dtype)
            oracle = consult(case)
            if number < wanted.cases:
                trials += try_mutants(case, oracle, MUTANTS)
            if number < wanted.correct:
                correct += try_correct(case, oracle, fast + slow if number < wanted.jax else fast)
        print(
            f"{dtype}: {len(trials)} trials, {len(correct)} correct runs, {time.perf_counter() - start:.0f} s"
        )

    figures = summary(trials, correct)
    file = RESULTS / f"verdict-threads-{wanted.threads}.json"
    environments = environment([load(name) for name in ("numpy", "torch", "jax")])
    head = {"date": str(date.today()), "arguments": vars(wanted), "environment": environments}
    file.write_text(json.dumps(head | figures, indent=1) + "\n")
    for dtype, found in figures["dtypes"].items():
        print(dtype, json.dumps(found))
    print(
        f"missed: {figures['missed'][:10]}\nfalse alarms: {figures['false_alarms'][:10]}\nwritten to {file}"
    )


if __name__ == "__main__":
    main()
