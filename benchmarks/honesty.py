#!/usr/bin/env python3
"""Can the timings of ``crossgrad bench`` be believed?

    python benchmarks/honesty.py [--runs 20] [--network 784-100-10] [--min-time 1]

- A/A: an engine against itself, each run in processes of its own, is no regression.
- A/B: the same with 5 % of each step added is found.
- The harness: what a call that does nothing takes, which is all that it adds to a step.

The engine is ``tests/paced``, NumPy's with a wait of a share of each step: its
variants ``slower-0`` and ``slower-5``. Runs alternate A B A B, so that the
machine's drift hits both; each is compared with the run of A before it, by
``crossgrad bench --compare``'s own code and default rule. Writes
``benchmarks/results/honesty.json``.
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
    parser.add_argument("--rounds", type=int, default=15)
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

    before, same, slower = None, [], []
    for _ in range(wanted.runs):
        one = results(wanted, "slower-0")
        if before is not None:
            same.append(compared(before, one))
        slower.append(compared(one, results(wanted, "slower-5")))
        before = one
    same.append(compared(before, results(wanted, "slower-0")))
    return {
        "date": str(date.today()),
        "network": wanted.network,
        "batch_size": wanted.batch_size,
        "rounds": wanted.rounds,
        "min_time": wanted.min_time,
        "environment": environment(described("numpy")),
        "same": {
            "runs": len(same),
            "median_ratio": round(median(entry["ratio"] for entry in same), 4),
            "largest_ratio": round(max(entry["ratio"] for entry in same), 4),
            "regressions": sum(entry["slower"] for entry in same),
        },
        "planted": {
            "runs": len(slower),
            "slowdown": PLANTED,
            "median_ratio": round(median(entry["ratio"] for entry in slower), 4),
            "found": sum(entry["slower"] for entry in slower),
        },
        "empty_call_ns": round(1e9 * empty_call_seconds(), 1),
        "share_of_100_us": round(empty_call_seconds() / 100e-6, 6),
    }


def results(wanted: argparse.Namespace, variant: str) -> Any:
    """One benchmark's results, under one name for both variants, so that their rows meet."""
    from crossgrad.bench.lanes import Lanes
    from crossgrad.bench.plan import make_plan
    from crossgrad.bench.results import Settings
    from crossgrad.bench.session import Session
    from crossgrad.workers.limits import Limits

    plan = make_plan([wanted.network], batch_sizes=[wanted.batch_size])
    settings = Settings(min_time=wanted.min_time, rounds=wanted.rounds)
    with Lanes([f"paced:{variant}"], ["cpu"], Limits()) as lanes:
        session = Session(plan, lanes, settings)
        for _ in session.run():
            pass
    found = session.results
    rows = tuple(row.model_copy(update={"variant": "either"}) for row in found.rows)
    return found.model_copy(update={"rows": rows})


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
