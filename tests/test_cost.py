"""What would run for hours is refused before anything is read, drawn or compiled, unless it is meant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad import checking
from crossgrad.cli.app import run
from crossgrad.networks import cost, memory
from crossgrad.networks.catalogue import CATALOGUE
from crossgrad.networks.spec import Network

AT_THE_LIMIT = {
    "layers": (["1"] * (cost.MOST_LAYERS + 1), 1),
    "width": ([str(cost.LARGEST_WIDTH), "1"], 1),
    "parameters": (["9999", "10000"], 1),
    "FLOPs": (["1599", "1000"], 10_416),
}
TOO_MUCH = {
    "layers": (["1"] * (cost.MOST_LAYERS + 2), 1, "513 layers, at most 512"),
    "width": (["1", str(cost.LARGEST_WIDTH + 1)], 1, "65,537 units in its widest layer, at most 65,536"),
    "parameters": (["10000", "10000"], 1, "100,010,000 parameters, at most 100,000,000"),
    "FLOPs": (
        ["1599", "1000"],
        10_417,
        "100,003,200,000 FLOPs a step at batch 10,417, at most 100,000,000,000",
    ),
}


@pytest.fixture(autouse=True)
def nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that was taken is not made, and memory is no hindrance."""

    def taken(*_: Any, **__: Any) -> Any:
        raise crossgrad.InvalidInput("taken")

    monkeypatch.setattr(checking, "build_case", taken)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)


@pytest.mark.parametrize(("widths", "batch_size"), AT_THE_LIMIT.values(), ids=AT_THE_LIMIT)
def test_what_is_at_the_limit_is_taken(widths: list[str], batch_size: int) -> None:
    cost.require_affordable(Network.from_widths("-".join(widths)), batch_size)


@pytest.mark.parametrize(("widths", "batch_size", "said"), TOO_MUCH.values(), ids=TOO_MUCH)
@pytest.mark.parametrize("command", ["check", "trace", "reduce"])
def test_what_is_beyond_is_refused_unless_it_is_meant(
    capsys: pytest.CaptureFixture[str], command: str, widths: list[str], batch_size: int, said: str
) -> None:
    arguments = [command, "-".join(widths), "-b", "numpy", "--batch-size", str(batch_size)]
    assert run(arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "--allow-large" in message
    assert len(message) < 300
    assert run([*arguments, "--allow-large"]) == 2
    assert capsys.readouterr().err == "error: taken\n"


def test_python_has_the_keyword() -> None:
    with pytest.raises(crossgrad.InvalidInput, match="allow_large=True"):
        crossgrad.check("10000-10000", backends=["numpy"])
    with pytest.raises(crossgrad.InvalidInput, match="taken"):
        crossgrad.check("10000-10000", backends=["numpy"], allow_large=True)


def test_a_batch_that_is_given_counts() -> None:
    batch = np.zeros((10_417, 1599), np.float16), np.zeros((10_417, 1000), np.float16)
    with pytest.raises(crossgrad.InvalidInput, match="at batch 10,417"):
        crossgrad.check("1599-1000", batch=batch, backends=["numpy"])


def test_missing_memory_stays_refused(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**30)
    assert run(["check", "10000-10000", "-b", "numpy", "--allow-large"]) == 2
    assert "1.0 GiB are available" in capsys.readouterr().err


def test_a_parameter_file_of_too_large_a_network_is_not_opened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["trace", "10000-10000", "--params", str(tmp_path / "missing")]
    assert run(arguments) == 2
    assert "at most 100,000,000" in capsys.readouterr().err
    assert run([*arguments, "--allow-large"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_the_catalogue_is_far_from_the_limits() -> None:
    for entry in CATALOGUE.values():
        cost.require_affordable(entry.network, 100 * entry.batch_size)
