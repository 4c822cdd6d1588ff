"""The examples run as the README says, and say what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

SAYS = {
    "find_a_bug": [
        "the error enters at dz.1: dz.1 misses the derivative of the activation of layer 1",
        "mended: agree",
    ],
    "port_a_model": [
        "verdict: disagree (torch, flax;",
        "hidden/kernel does not hold the numbers of 0.weight transposed: it holds them as they are",
        "verdict: agree (torch, flax;",
    ],
    "custom_function": ["custom is wrong in args[0]: its gradient is not the slope of its own loss"],
    "loss_averages": [
        "jax is 10 times the other everywhere (10 is the length of axis 1 of args[2]): a loss that ",
        "verdict: agree (jax, torch;",
    ],
    "convolution": ["verdict: agree (torch, jax;"],
    "transformer": ["verdict: agree (torch, jax;"],
}
SLOW = {"convolution", "transformer"}
"""What `port_a_model` shows too: PyTorch and JAX agree on a model."""

NEEDS = {"find_a_bug": [], "custom_function": ["torch"], "port_a_model": ["torch", "jax", "flax"]}


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SAYS]
)
def test_examples(example: str) -> None:
    for package in NEEDS.get(example, ["torch", "jax"]):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, str(EXAMPLES / f"{example}.py")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for line in SAYS[example]:
        assert line in done.stdout


def test_the_example_for_pytest() -> None:
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_mine.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SAYS, "test_mine"}
