"""``crossgrad bench`` on saved results: what was asked for is done or refused, never left out unseen."""

from pathlib import Path

import pytest

from crossgrad.bench.results import read_results
from crossgrad.cli.app import run

SAVED = str(Path(__file__).parents[1] / "benchmarks" / "results" / "scaling.json")
Captured = pytest.CaptureFixture[str]


def test_saved_results_are_drawn_and_written(tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    picture, file = tmp_path / "figure.svg", tmp_path / "out.json"
    assert run(["bench", "--load", SAVED, "--plot", str(picture), "--format", "json", "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert picture.read_text().startswith("<?xml")
    assert read_results(file.read_bytes(), "out.json").rows


@pytest.mark.parametrize("action", [["--load", SAVED], ["--compare", SAVED, SAVED]], ids=["load", "compare"])
@pytest.mark.parametrize(
    "option",
    [
        "--min-time=5",
        "--min-time=1",
        "--rounds=9",
        "--threads=1",
        "--depth=4",
        "--processes=2",
        "--timeout=3",
        "--allow-large",
    ],
)
def test_what_only_a_measurement_takes_is_refused(action: list[str], option: str, capsys: Captured) -> None:
    assert run(["bench", *action, option]) == 2
    name = option.partition("=")[0]
    assert f"{action[0]} measures nothing: leave out {name}" in capsys.readouterr().err


def test_quiet_leaves_the_closing_line_of_a_comparison(capsys: Captured) -> None:
    assert run(["bench", "--compare", SAVED, SAVED, "-q"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "rows of both" in line
    assert run(["bench", "--load", SAVED, "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_a_gate_says_where_nothing_is_left_to_hold(tmp_path: Path, capsys: Captured) -> None:
    """An engine that is gone from B is no pass of a rule that covers its rows."""
    saved = read_results(Path(SAVED).read_bytes(), SAVED)
    lone = saved.model_copy(update={"rows": tuple(row for row in saved.rows if row.backend == "numpy")})
    file = tmp_path / "lone.json"
    file.write_text(lone.to_json())
    assert run(["bench", "--compare", SAVED, str(file), "--fail-if", "step:median>5%", "-q"]) == 3
    assert "not held to torch:eager@cpu step of 64-64-64-64" in capsys.readouterr().out
    assert run(["bench", "--compare", SAVED, str(file), "-q"]) == 0
    assert run(["bench", "--compare", str(file), SAVED, "--fail-if", "step:median>5%", "-q"]) == 0
