#!/usr/bin/env python3
"""crossgrad on code that nobody here wrote: gradients of other packages, on their own models.

    pip install autograd optax
    python benchmarks/wild.py [--only autograd --only keras:torch ...]

HIPS autograd, Flax, Equinox, Keras on JAX and on torch, and Optax, each in a process of its
own. Sigmoid networks, which crossgrad reads, are checked against its engines;
what a specification cannot say (convolutions, attention, recurrence, linear
algebra ...) is compared with the same by hand in PyTorch. Where defaults or
conventions differ, crossgrad must say so: those rows are expected to disagree.
Prints a table, and all runs together write ``benchmarks/results/wild.json``.
Exit code 1 if anything was not as expected.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from recorded import write

RESULT = Path(__file__).parent / "results" / "wild.json"
GROUPS = {
    "autograd": "autograd_functions",
    "flax": "flax_models",
    "equinox": "equinox_models",
    "optax": "optax_training",
    "keras:jax": "keras_models",
    "keras:torch": "keras_models",
}
AT_ONCE = 2
VERSIONS = ("autograd", "equinox", "flax", "keras", "optax")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=GROUPS, help="repeatable; nothing is written")
    parser.add_argument("--rows", choices=GROUPS, help=argparse.SUPPRESS)  # what the processes are asked
    options = parser.parse_args()
    if options.rows:
        print(json.dumps(rows_of(options.rows)))
        return
    from wild.table import summary, table

    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = [row for found in pool.map(run_group, options.only or GROUPS) for row in found]
    print(table(rows), summary(rows), sep="\n\n")
    if not options.only:
        write(RESULT, document(rows))
        print(f"written to {RESULT}")
    sys.exit(any(not row["as_expected"] for row in rows))


def run_group(group: str) -> list[dict[str, Any]]:
    """A package's rows, by a process of its own: Keras has one backend a process."""
    print(f"{group} ...", file=sys.stderr)
    variables = os.environ | {"KERAS_BACKEND": group.partition(":")[2] or "torch"}
    if group == "keras:jax":
        variables["JAX_ENABLE_X64"] = "1"  # or else Keras computes float64 in float32
    done = subprocess.run(
        [sys.executable, __file__, "--rows", group],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows_of(group: str) -> list[dict[str, Any]]:
    from importlib import import_module

    scenarios = import_module(f"wild.{GROUPS[group]}").SCENARIOS
    return [row(scenario, dtype) for scenario in scenarios for dtype in scenario.dtypes]


def row(scenario: Any, dtype: str) -> dict[str, Any]:
    """One comparison, as it is written."""
    from wild.scenario import Judged

    start = time.perf_counter()
    try:
        judged = scenario.run(dtype)
    except Exception as error:  # of a package: it costs its own row
        judged = Judged("failed", None, "-", said=f"{type(error).__name__}: {error}")
    as_expected = scenario.is_met_by(judged.verdict)
    return {
        "package": scenario.package,
        "model": scenario.model,
        "dtype": dtype,
        "expected": scenario.expected,
        "verdict": judged.verdict,
        "as_expected": as_expected,
        "over_floor": judged.over_floor,
        "worst": judged.worst,
        "blamed": list(judged.blamed),
        "explanation": (scenario.differs or scenario.vanishes) if as_expected else judged.said,
        "seconds": round(time.perf_counter() - start, 3),
    }


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    from crossgrad.environment import described, environment
    from crossgrad.versions import package_version

    versions = {name: package_version(name) for name in VERSIONS}
    return {
        "date": str(date.today()),
        "environment": environment(described("numpy", "torch", "jax")) | {"packages": versions},
        "rows": rows,
    }


if __name__ == "__main__":
    main()
