"""The file of a benchmark's figures: how it is written, and the command in it that repeats the run."""

import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from crossgrad.networks.files import written_whole


def command_of(wanted: Namespace) -> str:
    """Every option as it was taken, but for where the figures and results go."""
    words = ["python", f"benchmarks/{Path(sys.argv[0]).name}"]
    for name, value in vars(wanted).items():
        if name not in ("output", "keep") and value is not None:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def write(file: Path, document: dict[str, Any]) -> None:
    """Whole or not at all: whoever ends this script half-way keeps what was found until then."""
    with written_whole(file) as part:
        part.write_text(json.dumps(document, indent=1) + "\n")
