#!/usr/bin/env python3
"""How often intervals of a ratio cover it, and find 5 %: ``crossgrad bench``'s, and others in its place.

    python benchmarks/intervals.py [--pairs 5000]

Simulated processes of two engines, which noise sets apart; beside that, one in five by 9 %,
or none, as seen on machines. How often an interval covers is told at noise of a tenth, with
none astray; how often 5 % are found, by the verdict over a baseline, at a quiet machine's noise. The same
numbers are drawn each time. Writes ``benchmarks/results/intervals.json``.

ours      `crossgrad.bench.paired.surely`
farthest  without the farthest process in five, however near, and the plain variance of the rest
yuen      the mean without the least and the greatest in five, and its winsorised variance (Yuen 1974)
all       Student's interval of all processes
"""

import argparse
import math
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from statistics import fmean, median, stdev, variance

from recorded import command_of, write

from crossgrad.bench.paired import ASTRAY, Paired, surely
from crossgrad.bench.ratios import student
from crossgrad.environment import described, environment

RESULT = Path(__file__).parent / "results" / "intervals.json"
PROCESSES = (5, 10, 20)
WIDE, QUIET, OFF = 0.1, 0.007, 0.09
"""Of logarithms: noise to tell coverage at, a quiet machine's, and how far a process is astray."""

Interval = tuple[float, float]


def farthest(logs: Sequence[float]) -> Interval:
    middle = median(logs)
    kept = sorted(logs, key=lambda log: abs(log - middle))[: len(logs) - len(logs) // ASTRAY]
    return around(fmean(kept), len(kept), stdev(kept) / math.sqrt(len(kept)))


def yuen(logs: Sequence[float]) -> Interval:
    out, ordered = len(logs) // ASTRAY, sorted(logs)
    kept = ordered[out : len(logs) - out]
    drawn_in = [kept[0]] * out + kept + [kept[-1]] * out
    count = len(kept)
    return around(fmean(kept), count, math.sqrt((len(logs) - 1) * variance(drawn_in) / (count * (count - 1))))


def every(logs: Sequence[float]) -> Interval:
    return around(fmean(logs), len(logs), stdev(logs) / math.sqrt(len(logs)))


def around(center: float, count: int, error: float) -> Interval:
    spread = student(count - 1) * error
    return math.exp(center - spread), math.exp(center + spread)


RULES: dict[str, Callable[[Sequence[float]], Interval]] = {
    "ours": lambda logs: surely(logs, len(logs) // ASTRAY),
    "farthest": farthest,
    "yuen": yuen,
    "all": every,
}


def drawn(source: random.Random, processes: int, noise: float, astray: int) -> list[float]:
    side = source.choice([-OFF, OFF])
    return [source.gauss(0, noise) + side * (number < astray) for number in range(processes)]


def figures(rule: Callable[[Sequence[float]], Interval], processes: int, pairs: int) -> dict[str, float]:
    def share(found: Iterable[bool]) -> float:
        return round(sum(found) / pairs, 4)

    def slower(logs: Sequence[float]) -> bool:
        middle = math.exp(median(logs))
        return Paired(middle, middle, middle, *rule(logs)).verdict() == "slower"

    source = random.Random(processes)
    plain = [drawn(source, processes, WIDE, 0) for _ in range(pairs)]
    quiet = [drawn(source, processes, QUIET, 0) for _ in range(pairs)]
    one_off = [drawn(source, processes, QUIET, processes // ASTRAY) for _ in range(pairs)]
    planted = math.log(1.05)
    return {
        "covers": share(low <= 1 <= high for low, high in map(rule, plain)),
        "finds_5_percent": share(slower([log + planted for log in logs]) for logs in quiet),
        "finds_5_percent_beside_astray": share(slower([log + planted for log in logs]) for logs in one_off),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--output", type=Path, default=RESULT)
    wanted = parser.parse_args()
    found = {
        name: {str(processes): figures(rule, processes, wanted.pairs) for processes in PROCESSES}
        for name, rule in RULES.items()
    }
    for name, by_processes in found.items():
        for processes, shares in by_processes.items():
            print(
                f"{name:10}{processes:>4}", *(f"{key} {share:.2%}" for key, share in shares.items()), sep="  "
            )
    about = {
        "date": str(date.today()),
        "command": command_of(wanted),
        "environment": environment(described("numpy")),
    }
    write(wanted.output, {**about, "rules": found})
    print(f"written to {wanted.output}")


if __name__ == "__main__":
    main()
