#!/usr/bin/env python3
"""What a sweep of random cases costs beyond what its engines take, and whether its memory stays flat.

    python benchmarks/sweeps.py [--cases 1000] [--jobs 1] [-b NAME ...]

Runs ``crossgrad sweep`` with widths up to 256, depth up to 6, in float32, on
NumPy, PyTorch and JAX, and watches its processes. ``engines``: the sum of what
the records say that JAX took for `prepare` and `trace`, where it compiles, and
every engine for `put` and `step`.
``overhead``: processor time of the parent's process, a case, that is not spent
in drawing it or judging it; what a sweep of a few cases takes, its start, is
told apart. Memory is resident memory, of the parent and of each engine, the most
in the first fifth of the cases and the most in all of them. Writes ``benchmarks/results/sweeps.json``.
Linux only: memory is read in /proc.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from recorded import write

from crossgrad.environment import described, environment

RESULTS = Path(__file__).parent / "results" / "sweeps.json"
PLAN = ["--depth", "1..6", "--width", "1..256", "--dtype", "float32"]
FEW = 10
"""Cases of the sweep that shows what the start takes."""

EVERY = 0.5
"""Seconds between two looks at memory."""

TIMED = """
import json, sys, time
from crossgrad import judging
from crossgrad.sweep import ids
from crossgrad.workers import pool

spent, watching = 0.0, 0.0
run_pool = pool.Pool._run

def timed_pool(self):
    global watching
    run_pool(self)
    watching += time.thread_time()

pool.Pool._run = timed_pool

def timed(owner, name):
    right = getattr(owner, name)
    def wrapped(*arguments, **more):
        global spent
        start = time.thread_time()
        try:
            return right(*arguments, **more)
        finally:
            spent += time.thread_time() - start
    setattr(owner, name, wrapped)

timed(judging, "consult")
timed(judging, "judge_case")
timed(ids.CaseId, "case")
from crossgrad.cli.app import run
before = time.thread_time()
code = run(sys.argv[1:])
took = {"main": time.thread_time() - before, "workers' thread": watching, "drawing and judging": spent}
print(json.dumps(took))
sys.exit(code)
"""
"""Runs the command line, and says what processor time its two threads took, and for what.

Threads of the matrix library work for the judge alone and are left out.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-b", "--backend", action="append", default=[])
    parser.add_argument("--output", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    engines = wanted.backend or ["numpy", "torch", "jax"]
    _, start, _, _ = swept(FEW, wanted.jobs, engines)
    seconds, processor, memory, records = swept(wanted.cases, wanted.jobs, engines)
    found = figures(records)
    result = {
        "date": str(date.today()),
        "command": "crossgrad " + " ".join(sweep_command(wanted.cases, wanted.jobs, engines, "RUN")),
        "environment": environment(described(*engines)),
        "wall_seconds": round(seconds, 1),
        **found,
        "wall_over_engines": round(seconds / found["engines_seconds"], 3),
        "parent_processor_seconds": {name: round(value, 2) for name, value in processor.items()},
        f"parent_processor_seconds_of_{FEW}_cases": {name: round(value, 2) for name, value in start.items()},
        "parent_overhead_ms_a_case": round(1000 * (busy(processor) - busy(start)) / (wanted.cases - FEW), 2),
        "memory_mib": memory,
    }
    write(wanted.output, result)
    print(json.dumps({key: value for key, value in result.items() if key != "environment"}, indent=1))
    print(f"written to {wanted.output}")


def sweep_command(cases: int, jobs: int, engines: list[str], run: str) -> list[str]:
    command = ["sweep", *PLAN, "--cases", str(cases), "--jobs", str(jobs), "-o", run, "-q"]
    return command + [word for engine in engines for word in ("-b", engine)]


def swept(
    cases: int, jobs: int, engines: list[str]
) -> tuple[float, dict[str, float], dict[str, Any], list[dict[str, Any]]]:
    """Run a sweep; return its seconds, its processor seconds, its memory, and its records."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        command = [sys.executable, "-c", TIMED, *sweep_command(cases, jobs, engines, str(run))]
        seconds, processor, memory = watched(command, run, cases)
        lines = (run / "records.jsonl").read_text().splitlines()
    return seconds, processor, memory, [json.loads(line)["record"] for line in lines]


def busy(processor: dict[str, float]) -> float:
    """Processor seconds of the parent that are its own: beyond drawing and judging."""
    return processor["main"] + processor["workers' thread"] - processor["drawing and judging"]


def watched(command: list[str], run: Path, cases: int) -> tuple[float, dict[str, float], dict[str, Any]]:
    """Run a sweep; return its seconds, its processor seconds, and memory early on and in all."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    early: dict[str, float] = {}
    most: dict[str, float] = {}
    while process.poll() is None:
        time.sleep(EVERY)
        for name, size in resident(process.pid).items():
            most[name] = max(size, most.get(name, 0.0))
        if lines(run / "records.jsonl") < cases / 5:
            early = dict(most)
    seconds = time.perf_counter() - start
    if process.returncode or process.stdout is None:
        raise SystemExit(f"the sweep ended with {process.returncode}")
    told = json.loads(process.stdout.read().splitlines()[-1])
    growth = {name: round(most[name] / early[name] - 1, 4) for name in early}
    return seconds, told, {"most_in_a_fifth": early, "most_in_all": most, "growth": growth}


def figures(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the time of a sweep went, in seconds, from its records."""
    rows = [row for record in records for row in record["engines"]]

    def total(phases: tuple[str, ...], backend: str = "") -> float:
        chosen = [row["seconds"] for row in rows if row["engine"].startswith(backend)]
        return sum(seconds.get(phase, 0.0) for seconds in chosen for phase in phases)

    compiling = total(("prepare", "trace"), "jax")
    stepping = total(("put", "step"))
    return {
        "cases": len(records),
        "in_order": sum(row["state"] == "ok" for row in rows),
        "rows": len(rows),
        "jax_compile_seconds": round(compiling, 1),
        "steps_seconds": round(stepping, 1),
        "engines_seconds": round(compiling + stepping, 1),
        "drawing_seconds": round(sum(record["seconds"].get("draw", 0.0) for record in records), 2),
        "judging_seconds": round(sum(record["seconds"].get("judge", 0.0) for record in records), 2),
    }


def resident(parent: int) -> dict[str, float]:
    """MiB of the parent and of its workers, largest first; guards, which only wait, are left out."""
    found = {"parent": mib(parent)}
    children = sorted(filter(None, map(mib, worker_pids(parent))), reverse=True)
    return found | {f"worker {number}": size for number, size in enumerate(children, start=1)}


def worker_pids(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(folder.name))
    return found


def mib(pid: int) -> float:
    try:
        return round(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1
        )
    except (OSError, IndexError):
        return 0.0


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


if __name__ == "__main__":
    main()
