#!/usr/bin/env python3
"""How often the comparison of functions is wrong: faults missed or blamed on another, right ones rejected.

    python benchmarks/functions.py [--cases 5] [--correct 300] [--large 40] [--jax 4] [--seed 1000000]

The faults and random networks of ``crossgrad selftest --functions``: every mutant
that applies on `--cases` small networks a dtype, beside right functions; then right
functions beside each other, in torch and NumPy (JAX on the first `--jax`, and in
bfloat16, in which NumPy's products are float32), on `--correct` small networks and
`--large` ones of up to 12 layers and 1024 units. Writes ``benchmarks/results/functions.json``.
Seeds below 1,000,000 were used while the method was made.
"""

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path

from recorded import command_of, write

RESULT = Path(__file__).parent / "results" / "functions.json"
FEW = 20
"""Cases in bfloat16 beside right functions: JAX compiles most of a second for each."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=5)
    parser.add_argument("--correct", type=int, default=300)
    parser.add_argument("--large", type=int, default=40)
    parser.add_argument("--jax", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--dtype", action="append")
    parser.add_argument("--output", type=Path, default=RESULT)
    wanted = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # The libraries read these at import, so they are imported below.
    from crossgrad.environment import described, environment
    from crossgrad.functions.trials import summary, try_functions
    from crossgrad.selftest import DTYPES

    start, trials, correct = time.perf_counter(), [], []
    for dtype in wanted.dtype or DTYPES:
        found = try_functions(wanted.cases, wanted.seed, [dtype])
        more = min(wanted.correct, FEW) if dtype == "bfloat16" else wanted.correct
        right = {"mutants": [], "jax_cases": wanted.jax}
        _, small = try_functions(more, wanted.seed + wanted.cases, [dtype], **right)
        _, large = try_functions(min(wanted.large, more), wanted.seed, [dtype], small=False, **right)
        trials, correct = trials + found[0], [*correct, *found[1], *small, *large]
        spent = time.perf_counter() - start
        print(f"{dtype}: {len(trials)} trials, {len(correct)} right, {spent:.0f} s", flush=True)
    head = {
        "date": str(date.today()),
        "command": command_of(wanted),
        "seed": wanted.seed,
        "cases": wanted.cases,
        "environment": environment(described("torch", "jax")),
    }
    figures = summary(trials, correct)
    write(wanted.output, head | figures)
    for dtype, found in figures["dtypes"].items():
        print(dtype, json.dumps(found))
    print(f"missed: {figures['missed']}\nfalse alarms: {figures['false_alarms']}\nwritten to {wanted.output}")


if __name__ == "__main__":
    main()
