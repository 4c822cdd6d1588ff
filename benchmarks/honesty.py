#!/usr/bin/env python3
"""Can the timings of ``crossgrad bench`` be believed?

    python benchmarks/honesty.py [--runs 20] [--network 784-100-10] [--threads 1] [--keep DIR]

- A/A: an engine against itself is not called slower.
- A/B: the same with 5 % of each step added is.
- The harness: what a call that does nothing takes, which is all that it adds to a step.

The engine is ``tests/paced``, NumPy's with a wait of a share of each step: its
variants ``slower-0``, ``again-0`` and ``slower-5``. Twice: as engines of one run,
round by round, as the column ``over fastest`` of ``crossgrad bench`` has them; and as
runs of their own, A B A B, each compared with the run of A before it by
``crossgrad bench --compare``'s own code and default rule, as results of two days
would be. There the forward passes, updates and transfers are equal whatever the step is,
and are counted too. Writes ``benchmarks/results/honesty.json``; with ``--keep DIR`` also every
run's own results, which ``crossgrad bench --compare`` reads.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from recorded import command_of, write

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "honesty.json"
PLANTED = 0.05

Judged = tuple[float | None, str]
"""A ratio, and the verdict on it; None, and ``unsure``, where rounds are missing."""


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
    parser.add_argument("--keep", type=Path, metavar="DIR")
    wanted = parser.parse_args()
    if wanted.keep is not None:
        wanted.keep.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        plant_engine(Path(folder))
        found = measured(wanted)
    write(wanted.output, found)
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

    empty = empty_call_seconds()
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
        "empty_call_ns": round(1e9 * empty, 1),
        "share_of_100_us": round(empty / 100e-6, 6),
    }


def within_runs(wanted: argparse.Namespace) -> dict[str, Any]:
    """Three engines of one run, the first two of them equal."""
    from crossgrad.bench.paired import paired

    found: dict[str, list[Judged]] = {"again-0": [], "slower-5": []}
    for _ in range(wanted.runs):
        rows = results(wanted, "slower-0", *found).rows
        steps = {row.variant: row for row in rows if row.phase == "step"}
        for variant, judged in found.items():
            ratio = paired(steps[variant], steps["slower-0"])
            judged.append((ratio.ratio, ratio.verdict()) if ratio else (None, "unsure"))
    return {"same": told(found["again-0"]), "slower": told(found["slower-5"])}


def between_runs(wanted: argparse.Namespace) -> dict[str, Any]:
    """Runs of one engine each, each compared with the run of A before it."""
    same, slower = [], []
    equal_phases: Counter[str] = Counter()
    before = alone(wanted, "slower-0")
    for _ in range(wanted.runs):
        planted, after = alone(wanted, "slower-5"), alone(wanted, "slower-0")
        for judged, other in ((slower, planted), (same, after)):
            changes = compared(before, other)
            step = changes.pop("step")
            judged.append((step.ratio, step.verdict))
            equal_phases.update(change.verdict for change in changes.values() if change.verdict != "once")
        before = after
    return {"same": told(same), "slower": told(slower), "equal_phases": dict(equal_phases)}


def told(judged: Sequence[Judged]) -> dict[str, Any]:
    known = [ratio for ratio, _ in judged if ratio is not None]
    return {
        "runs": len(judged),
        "median_ratio": round(median(known), 4) if known else None,
        "ratios": [round(ratio, 4) for ratio in known],
        "verdicts": dict(Counter(verdict for _, verdict in judged)),
    }


def alone(wanted: argparse.Namespace, variant: str) -> Any:
    """One engine's results, under one name for all variants, so that their rows meet."""
    found = results(wanted, variant)
    rows = tuple(row.model_copy(update={"variant": "either"}) for row in found.rows)
    found = found.model_copy(update={"rows": rows})
    if wanted.keep is not None:
        number = len(list(wanted.keep.iterdir()))
        (wanted.keep / f"{number:03}-{variant}.json").write_text(found.to_json())
    return found


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
    """What became of each phase."""
    from crossgrad.bench.compare import compare

    return {change.phase: change for change in compare(one, other).rows}


def empty_call_seconds(calls: int = 1_000_000) -> float:
    """What the harness's own loop takes for a call, the fastest of some."""
    from crossgrad.backends.base import Timed

    return min(Timed().seconds(lambda: None, calls) for _ in range(5)) / calls


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
