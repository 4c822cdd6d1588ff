#!/usr/bin/env python3
"""The engines' timed core beside what a user would write, and beside the matrix products alone.

    python benchmarks/cores.py [--only 784-100-10@1024] [--dtype float32] [--device cuda]

Every subject has a process of its own, kept warm, and only one works at a
time: the engines of crossgrad in their default variants, and ``torch:onednn`` where
there is one, raw code in each framework (``peers/raw``), and the pure matrix products
in NumPy, PyTorch and JAX.
A round gives each subject one turn, of as many calls as it was calibrated to;
in rounds each comes right after every other equally often. What stays with a process, as where its
arrays lie, no round shows: so there are five processes of each, one after the other. A
ratio is the median over the processes of the median over their rounds of the ratio
within a round; its interval is that of the median of five processes, which are the
extremes. ``over raw`` holds an engine against raw code of the same framework, ``over
products`` against the fastest of the pure products, ``over own products`` against those
of the same framework, whose matrix library may be the slower one, and ``memory over
raw`` the peak of a step (Linux), where it is 16 MiB or more.
On CUDA, NumPy stays out, and there is no memory: the process's own is the host's. The clock is
the host's on CUDA too, read when the device has nothing left to do.
Prints a table and writes ``benchmarks/results/cores.json``, anew after each case.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from peers.raw.subject import ENGINES, subjects_on
from recorded import command_of, write

from crossgrad.bench.results import framework_of
from crossgrad.bench.turns import turn_order

RESULT = Path(__file__).parent / "results" / "cores.json"
SHAPES = {
    f"{network}@{batch_size}": (network, batch_size)
    for network, batch_size in [
        ("1-1-1", 1),
        ("784-100-10", 10),
        ("784-100-10", 1024),
        ("1024-1024-1024-1024", 512),
        ("2048-2048-2048", 512),
    ]
}
DTYPES = ("float32", "float64")
TURN = 0.08
"""Seconds that a turn takes at least."""

PAUSE = 0.05
"""Seconds between turns: waiting threads of BLAS and OpenMP spin for a while before they sleep."""

SMALL = 2**24
"""Bytes below which resident memory tells of what compilers and allocators keep, not of a step."""


class Subject:
    """The process of one subject on one case."""

    def __init__(self, name: str, shape: str, dtype: str, device: str) -> None:
        network, batch_size = SHAPES[shape]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peers.raw.subject", name, network, str(batch_size), dtype, device],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name, self.calls = name, 1

    def read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with exit code {self._process.wait()}")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.read()

    def calibrate(self) -> None:
        """Double the calls until a turn is long enough."""
        while self.ask(calls=self.calls)["seconds"] < TURN:
            self.calls *= 2

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Ratio:
    """A median of ratios, and the interval of the median."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=SHAPES, help="NETWORK@BATCH, repeatable")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="repeatable")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--processes", type=int, default=5, help="of each subject, one after the other")
    parser.add_argument("--rounds", type=int, default=5, help="of each process")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    load_before, start, cases = os.getloadavg()[0], time.perf_counter(), []

    from crossgrad.environment import described, environment

    about = {
        "date": str(date.today()),
        "command": command_of(options),
        "device": options.device,
        "processes": options.processes,
        "rounds": options.rounds,
        "load_before": round(load_before, 2),
        "environment": environment(described(*frameworks_on(options.device))),
    }
    for shape, dtype in product(options.only or SHAPES, options.dtype or DTYPES):
        cases.append(measure(shape, dtype, options.device, options.processes, options.rounds))
        print("\n".join(lines_of(cases[-1])), flush=True)
        write(options.output, about | {"seconds": round(time.perf_counter() - start), "cases": cases})
    print(f"written to {options.output}")


def frameworks_on(device: str) -> list[str]:
    engines = [name for name in subjects_on(device, "float32") if name in ENGINES]
    return list(dict.fromkeys(map(framework_of, engines)))


def measure(shape: str, dtype: str, device: str, processes: int, rounds: int) -> dict[str, Any]:
    """Time every subject on one case, in rounds that take turns, in several processes."""
    found = [measure_once(shape, dtype, device, rounds) for _ in range(processes)]
    names = subjects_on(device, dtype)
    samples = {name: [times[name] for times, _ in found] for name in names}
    peaks = {name: typical([held[name] for _, held in found]) for name in names}
    return compared(samples, peaks) | {"shape": shape, "dtype": dtype}


def measure_once(
    shape: str, dtype: str, device: str, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int | None]]:
    """Seconds of a call in each round, and the peak of a step in bytes, by subject."""
    subjects = [Subject(name, shape, dtype, device) for name in subjects_on(device, dtype)]
    try:
        for subject in subjects:
            subject.read()
        for subject in subjects:
            subject.calibrate()
        samples: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for number in range(rounds):
            for place in turn_order(number, len(subjects)):
                subject = subjects[place]
                time.sleep(PAUSE)
                samples[subject.name].append(subject.ask(calls=subject.calls)["seconds"] / subject.calls)
        peaks = {subject.name: subject.ask(memory=True)["peak"] for subject in subjects}
    finally:
        for subject in subjects:
            subject.close()
    return samples, peaks


def typical(peaks: list[int | None]) -> int | None:
    known = [peak for peak in peaks if peak is not None]
    return round(median(known)) if known else None


def compared(samples: dict[str, list[list[float]]], peaks: dict[str, int | None]) -> dict[str, Any]:
    """Ratios of each engine to the raw code and to the fastest pure products."""
    seconds = {name: median(map(median, processes)) for name, processes in samples.items()}
    fastest = min((name for name in samples if name.startswith("products")), key=lambda name: seconds[name])
    engines: dict[str, Any] = {}
    for name in [name for name in samples if name in ENGINES]:
        own, raw = samples.get(f"products {framework_of(name)}"), f"raw {framework_of(name)}"
        ours_peak, raw_peak = peaks[name], peaks[raw]
        engines[name] = {
            "over_raw": vars(ratio(samples[name], samples[raw])),
            "over_products": vars(ratio(samples[name], samples[fastest])),
            "raw_over_products": vars(ratio(samples[raw], samples[fastest])),
            "over_own_products": own and vars(ratio(samples[name], own)),
            "memory_over_raw": ours_peak / raw_peak if ours_peak and raw_peak and raw_peak >= SMALL else None,
        }
    return {
        "seconds": seconds,
        "peak_bytes": peaks,
        "fastest_products": fastest,
        "engines": engines,
    }


def ratio(ours: list[list[float]], theirs: list[list[float]]) -> Ratio:
    """The median over processes of their rounds' median ratio, and the interval of such a median."""
    from crossgrad.bench.statistics import median_interval

    middles = [
        median(a / b for a, b in zip(mine, other, strict=True))
        for mine, other in zip(ours, theirs, strict=True)
    ]
    return Ratio(median(middles), *median_interval(middles))


def lines_of(found: dict[str, Any]) -> list[str]:
    """One case as a table in plain text."""
    seconds, fastest = found["seconds"], found["fastest_products"]
    lines = [
        f"{found['shape']} {found['dtype']}, {fastest} {seconds[fastest] * 1e6:,.1f} µs",
        f"  {'engine':<12} {'µs':>11}   {'over raw':<22} {'over products':<22} "
        f"{'over own products':<22} memory over raw",
    ]
    for name, row in found["engines"].items():
        memory, own = row["memory_over_raw"], row["over_own_products"]
        cells = [Ratio(**row["over_raw"]), Ratio(**row["over_products"]), Ratio(**own) if own else "-"]
        ratios = " ".join(f"{cell!s:<22}" for cell in cells)
        shown = "-" if memory is None else format(memory, ".3f")
        lines.append(f"  {name:<12} {seconds[name] * 1e6:11,.1f}   {ratios} {shown}")
    return lines


if __name__ == "__main__":
    main()
