"""The command that repeats a run of a benchmark, defaults said: for the file that holds its figures."""

import shlex
import sys
from argparse import Namespace
from pathlib import Path


def command_of(wanted: Namespace) -> str:
    """Every option as it was taken, but for where the figures and results go."""
    words = ["python", f"benchmarks/{Path(sys.argv[0]).name}"]
    for name, value in vars(wanted).items():
        if name not in ("output", "keep") and value is not None:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)
