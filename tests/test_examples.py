"""The examples run as the README says."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_find_a_bug_names_it() -> None:
    done = subprocess.run([sys.executable, str(EXAMPLES / "find_a_bug.py")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the error enters at dz.1: dz.1 misses the derivative of the activation of layer 1" in done.stdout
