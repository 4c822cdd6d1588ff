#!/usr/bin/env python3
"""Can the timings of ``crossgrad bench`` be believed?

    python benchmarks/honesty.py [--runs 20] [--network 784-100-10] [--threads 1]

- A/A: an engine against itself is not called slower.
- A/B: the same with 5 % of each step added is.
- The harness: what a call that does nothing takes, which is all that it adds to a step.

The engine is ``tests/paced``, NumPy's with a wait of a share of each step: its
variants ``slower-0``, ``again-0`` and ``slower-5``. Twice: as engines of one run,
round by round, as the column ``over fastest`` of ``crossgrad bench`` has them; and as
runs of their own, A B A B, each compared with the run of A before it by
``crossgrad bench --compare``'s own code and default rule, as results of two days
would be. Writes ``benchmarks/results/honesty.json``.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from recorded import command_of

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "honesty.json"
PLANTED = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--network", default="784-100-10")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--min-time", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plant_engine(Path(folder))
        found = measured(wanted)
    wanted.output.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({key: value for key, value in found.items() if key != "environment"}, indent=1))
    print(f"written to {wanted.output}")


def plant_engine(folder: Path) -> None:
    """Install ``tests/paced`` for this process and those that it starts."""
    source = ROOT / "tests" / "paced" / "crossgrad_paced.py"
    (folder / source.name).write_text(source.read_text())
    metadata = folder / "crossgrad_paced-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: crossgrad-paced\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[crossgrad.backends]\npaced = crossgrad_paced:PacedBackend\n")
    sys.path.insert(0, str(folder))


def measured(wanted: argparse.Namespace) -> dict[str, Any]:
    from crossgrad.environment import described, environment

    return {
        "date": str(date.today()),
        "command": command_of(wanted),
        "network": wanted.network,
        "batch_size": wanted.batch_size,
        "rounds": wanted.rounds,
        "processes": wanted.processes,
        "threads": wanted.threads,
        "min_time": wanted.min_time,
        "environment": environment(described("numpy")),
        "planted": PLANTED,
        "within_a_run": within_runs(wanted),
        "between_runs": between_runs(wanted),
        "empty_call_ns": round(1e9 * empty_call_seconds(), 1),
        "share_of_100_us": round(empty_call_seconds() / 100e-6, 6),
    }


def within_runs(wanted: argparse.Namespace) -> dict[str, Any]:
    """Three engines of one run, the first two of them equal."""
    from crossgrad.bench.paired import paired

    same, slower = [], []
    for _ in range(wanted.runs):
        found = results(wanted, "slower-0", "again-0", "slower-5")
        steps = {row.variant: row for row in found.rows if row.phase == "step"}
        for variant, kept in (("again-0", same), ("slower-5", slower)):
            ratio = paired(steps[variant], steps["slower-0"])
            kept.append({"ratio": ratio.ratio, "slower": ratio.verdict() == "slower"})
    return {"same": told(same), "slower": told(slower)}


def between_runs(wanted: argparse.Namespace) -> dict[str, Any]:
    """Runs of one engine each, compared with the one before."""
    before, same, slower = None, [], []
    for _ in range(wanted.runs):
        one = alone(wanted, "slower-0")
        if before is not None:
            same.append(compared(before, one))
        slower.append(compared(one, alone(wanted, "slower-5")))
        before = one
    same.append(compared(before, alone(wanted, "slower-0")))
    return {"same": told(same), "slower": told(slower)}


def told(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "runs": len(found),
        "median_ratio": round(median(entry["ratio"] for entry in found), 4),
        "ratios": [round(entry["ratio"], 4) for entry in found],
        "called_slower": sum(entry["slower"] for entry in found),
    }


def alone(wanted: argparse.Namespace, variant: str) -> Any:
    """One engine's results, under one name for all variants, so that their rows meet."""
    found = results(wanted, variant)
    rows = tuple(row.model_copy(update={"variant": "either"}) for row in found.rows)
    return found.model_copy(update={"rows": rows})


def results(wanted: argparse.Namespace, *variants: str) -> Any:
    """One benchmark of some variants."""
    from crossgrad.bench.lanes import Lanes
    from crossgrad.bench.plan import make_plan
    from crossgrad.bench.results import Settings
    from crossgrad.bench.session import Session
    from crossgrad.workers.limits import Limits

    plan = make_plan([wanted.network], batch_sizes=[wanted.batch_size])
    settings = Settings(
        min_time=wanted.min_time, rounds=wanted.rounds, processes=wanted.processes, threads=wanted.threads
    )
    with Lanes([f"paced:{variant}" for variant in variants], ["cpu"], Limits(), wanted.threads) as lanes:
        session = Session(plan, lanes, settings)
        for _ in session.run():
            pass
    return session.results


def compared(one: Any, other: Any) -> dict[str, Any]:
    """The ratio of the steps, and whether the step counts as slower."""
    from crossgrad.bench.compare import compare

    found = compare(one, other, None)
    (step,) = [row for row in found.rows if row.phase == "step"]
    return {"ratio": step.ratio, "slower": step.verdict == "slower"}


def empty_call_seconds(calls: int = 1_000_000) -> float:
    """What the harness's own loop takes for a call, the fastest of some."""
    from crossgrad.backends.base import Timed

    return min(Timed().seconds(lambda: None, calls) for _ in range(5)) / calls


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
