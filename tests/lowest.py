"""Puts the lowest versions in the place of the usual ones: one list of constraints for pip.

python tests/lowest.py constraints.txt constraints-oldest.txt
"""

import re
import sys
from pathlib import Path


def pins(file: Path) -> dict[str, str]:
    """Each line of a file of constraints by the name of its package, as pip compares names."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", re.split("[=<>]", line)[0]).lower(): line for line in lines}


if __name__ == "__main__":
    usual, lowest = (pins(Path(name)) for name in sys.argv[1:])
    print("\n".join((usual | lowest).values()))
