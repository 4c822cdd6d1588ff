#!/usr/bin/env python3
"""How long a cold crossgrad takes, beside the bare import of the frameworks that it runs.

    python benchmarks/startup.py [--rounds 5]

Every command runs in a process of its own, in turns (A B C A B C), so that
drift of the machine hits all alike. Prints a table and writes
``benchmarks/results/startup.json``; seconds are medians of wall-clock time.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from recorded import write

COMMANDS = {
    "import numpy, torch, jax": ["-c", "import numpy, torch, jax"],
    "crossgrad check article": ["-m", "crossgrad", "check", "article"],
    "crossgrad --help": ["-m", "crossgrad", "--help"],
    "crossgrad doctor": ["-m", "crossgrad", "doctor"],
}
BASELINE = "import numpy, torch, jax"
RESULTS = Path(__file__).parent / "results" / "startup.json"


def seconds_of(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            spent = seconds_of(arguments)
            if number:  # the first round fills the disk cache
                samples[name].append(spent)

    from crossgrad.environment import described, environment

    ratios = {
        name: statistics.median(ours / base for ours, base in zip(values, samples[BASELINE], strict=True))
        for name, values in samples.items()
    }
    result = {
        "rounds": rounds,
        "environment": environment(described("numpy", "torch", "jax")),
        "seconds": {name: round(statistics.median(values), 3) for name, values in samples.items()},
        "ratio_to_import": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }
    write(RESULTS, result)
    for name in COMMANDS:
        print(f"{name:<26} {result['seconds'][name]:6.2f} s   {ratios[name]:5.2f} x import")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
