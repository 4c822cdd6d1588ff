#!/usr/bin/env python3
"""What is lost when things go wrong: engines with every vice, kills at any moment, disks that are full.

    python benchmarks/faults.py [--repeats 3] [--kills 200] [--cases 2000]

``vices``: the rogue engine of the tests, each vice `--repeats` times, beside
NumPy's; its row must have the status that the rogue's own table expects. ``kills``:
a sweep killed `--kills` times at random moments and resumed. ``storing``: death and
a full disk at each write and sync of the store. Writes
``benchmarks/results/faults.json``; exit code 1 if a status was not expected.
Linux only: processes are found in /proc.
"""

import argparse
import sys
import tempfile
from datetime import date
from pathlib import Path

from faulting.kills import kill_sweeps
from faulting.storing import storing
from faulting.vices import LIMIT, try_vices, unexpected
from recorded import write

from crossgrad.environment import described, environment

RESULTS = Path(__file__).parent / "results" / "faults.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vices = try_vices(folder / "rogue", wanted.repeats)
        for vice, row in vices.items():
            print(f"{vice:<28} {row}")
        stored = storing(folder)
        print(f"storing {stored}")
        killed = kill_sweeps(folder, wanted.kills, wanted.cases)
        print(f"\nkills {killed}")
    result = {
        "date": str(date.today()),
        "environment": environment(described("numpy", "torch")),
        "limit_seconds": LIMIT,
        "repeats": wanted.repeats,
        "vices": vices,
        "worst_seconds_past_deadline": max(row["seconds_past_deadline"] for row in vices.values()),
        "unexpected": unexpected(vices),
        "orphans": sum(row["orphans"] for row in vices.values()) + killed["orphans"],
        "other_rows_spoilt": sum(row["other_rows_spoilt"] for row in vices.values()),
        "storing": stored,
        "kills": killed,
    }
    write(wanted.output, result)
    print(f"written to {wanted.output}")
    if result["unexpected"]:
        sys.exit(f"not of the status expected: {', '.join(result['unexpected'])}")


if __name__ == "__main__":
    main()
