"""``crossgrad bench`` from its command line: what was asked for is done or refused, never left out unseen."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer

from crossgrad.bench import runner, session
from crossgrad.bench.compare import compare
from crossgrad.bench.lanes import Lanes
from crossgrad.bench.results import read_results
from crossgrad.bench.rules import parse_rule
from crossgrad.bench.saved import HOME
from crossgrad.cli.app import run
from crossgrad.cli.bench_results import Form, Outcome, finish

from .published import hold
from .test_bench import paced, paced_folder  # noqa: F401 - fixtures
from .test_bench_compare import SECONDS

SAVED = str(Path(__file__).parents[1] / "benchmarks" / "results" / "scaling.json")
FAST = ["--min-time", "0.02", "--rounds", "3", "--processes", "1"]
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
    gone = next(row for row in saved.rows if row.phase == "step" and row.backend != "numpy")
    assert f"not held to {gone.engine} step of {gone.network}" in capsys.readouterr().out
    assert run(["bench", "--compare", SAVED, str(file), "-q"]) == 0
    decides_nothing = compare(lone, saved, parse_rule("step:median>5%")).decides_nothing
    code = run(["bench", "--compare", str(file), SAVED, "--fail-if", "step:median>5%", "-q"])
    assert code == (3 if decides_nothing else 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--widths", "10,x"], "--widths '10,x': expected whole numbers"),
        (["--widths", "0"], "--widths '0'"),
        (["--batches", "-1"], "--batches '-1'"),
        (["3-2", "--depth", "4"], "goes with widths"),
        (["--widths", "8", "--depth", "1000000"], "depth 1,000,000"),
        (["--widths", "1000000"], "at most 65,536"),
        (["--widths", "60000", "--depth", "2", "--allow-large"], "are available"),
        (["3-2", "--batches", "1", "--batch-size", "2"], "give one of them"),
        (["3-2", "--dtype", "float8"], "float8"),
        (["no-such"], "unknown network 'no-such'"),
        (["3-2", "-b", "nonesuch"], "nonesuch"),
        (["3-2", "-d", "tpu"], "tpu"),
        (["3-2", "--fail-if", "median>5%"], "Add --baseline ENGINE, or --compare A B"),
        (["3-2", "--compare", "a", "b"], "leave out NETWORK"),
        (["3-2", "--load", "a"], "leave out NETWORK"),
        (["--load", "no-such-result"], "no-such-result"),
        (["--compare", "no-such-a", "no-such-b"], "no-such-a"),
        (["3-2", "--plot", "figure.pdf"], "figure.pdf"),
        (["3-2", "--save", "a/b"], "a/b"),
        (["3-2", "--plot", "a.svg", "-o", "./a.svg"], "--output is the same file"),
        (["3-2", "--compilation-cache", "/dev/null"], "--compilation-cache /dev/null: expected a folder"),
        (["3-2", "--min-time", "9", "--rounds", "3", "--timeout", "2"], "--rounds 9, or a longer --timeout"),
        (["3-2", "--min-time", "0"], "min-time"),
        (["3-2", "--batch-size", "0"], "batch size is 0"),
        (["3-2", "--widths", "8", "--widths", "9"], "--widths is given 2 times: this command takes one"),
        (["--fail-if", "median>5%", "--fail-if", "update:median>9%"], "--fail-if is given 2 times"),
        (["3-2", "--threads", "99999"], "--threads 99999: expected at most"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["bench", *arguments]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "arguments", [["--load", "mine.json"], ["--compare", "other.json", "mine.json"], ["mine.toml"]]
)
def test_an_output_is_not_written_over_what_is_read(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / arguments[-1]).write_text("mine")
    assert run(["bench", *arguments, "-o", f"./{arguments[-1]}"]) == 2
    assert f"{arguments[-1]} is what is read: name another one" in capsys.readouterr().err
    assert (tmp_path / arguments[-1]).read_text() == "mine"


def test_a_saved_name_and_an_output_that_are_one_file_are_refused_before_anything_runs(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    HOME.mkdir()
    monkeypatch.setattr("crossgrad.bench.lanes.Lanes", None)  # calling it would raise
    for output in (HOME / "night.json", tmp_path / HOME / "night.json"):
        assert run(["bench", "3-2", "--format", "json", "--save", "night", "-o", str(output)]) == 2
        assert "--save night: --output is the same file" in capsys.readouterr().err
    assert list(HOME.iterdir()) == []


def test_an_output_does_not_take_the_place_of_a_saved_benchmark(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    HOME.mkdir()
    (HOME / "night.json").write_text("mine")
    monkeypatch.setattr("crossgrad.bench.lanes.Lanes", None)  # calling it would raise
    for form in ("text", "json"):
        for arguments in (["3-2"], ["--load", "other"]):
            assert run(["bench", *arguments, "--format", form, "-o", str(HOME / "night.json")]) == 2
    assert "night.json: a saved benchmark is there already, name another file" in capsys.readouterr().err
    assert (HOME / "night.json").read_text() == "mine"


def test_what_is_finished_is_in_the_file_while_the_rest_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed leaves it."""
    file, seen = tmp_path / "out.json", []

    def measure(*arguments: Any) -> Any:
        seen.append(file.read_bytes() if file.exists() else None)
        return runner.measure(*arguments)

    monkeypatch.setattr(session, "measure", measure)
    command = ["bench", "1-1", "2-2", "-b", "numpy", *FAST, "--format", "json", "-o", str(file)]
    assert run(command) == 0
    before, between = seen
    assert before is None
    first, both = read_results(between, "out.json"), read_results(file.read_bytes(), "out.json")
    assert {row.network for row in first.rows} == {"1-1"}
    assert "not finished: 1 of 2 networks not measured" in first.notes
    assert {row.network for row in both.rows} == {"1-1", "2-2"}
    assert not any("not finished" in told for told in both.notes)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_written_in_place_is_written_once(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe would have it twice, and a file behind a link be half written by a process that is killed."""
    file, written = tmp_path / kind, []
    if kind == "pipe":
        os.mkfifo(file)
        reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    else:
        (tmp_path / "target").write_text("precious")
        file.symlink_to(tmp_path / "target")
        reader = os.open(tmp_path / "target", os.O_RDONLY)

    def measure(*arguments: Any) -> Any:
        with suppress(BlockingIOError):
            written.append(os.pread(reader, 99, 0) if kind == "link" else os.read(reader, 99))
        return runner.measure(*arguments)

    monkeypatch.setattr(session, "measure", measure)
    command = ["bench", "1-1", "2-2", "-b", "numpy", *FAST, "--format", "json", "-o", str(file)]
    assert run(command) == 0
    assert written == [b"precious" if kind == "link" else b""] * 2
    content = os.read(reader, 2**20) if kind == "pipe" else (tmp_path / "target").read_bytes()
    os.close(reader)
    assert len({row.network for row in read_results(content, kind).rows}) == 2


@pytest.mark.parametrize(
    "command",
    [["bench", "3-2"], ["check", "3-2"], ["trace", "3-2"], ["selftest"]],
    ids=lambda words: words[0],
)
def test_a_file_named_as_json_has_no_table_in_it(
    command: list[str], capsys: Captured, tmp_path: Path
) -> None:
    output = tmp_path / "found.json"
    assert run([*command, "-o", str(output)]) == 2
    assert f"-o {output}: the result would be text; add --format json" in capsys.readouterr().err.replace(
        "\n  ", " "
    )
    assert not output.exists()


def test_the_command_line_from_measuring_to_comparing(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(variable, os.environ[variable])  # the command sets them: as before in the end
    for name in ("before", "after"):
        options = ["--save", name, "--compilation-cache", "compiled"]
        assert run(["bench", "3-2", "-b", "numpy", "-d", "cpu", *FAST, *options]) == 0
    shown, said = capsys.readouterr()
    assert "--compilation-cache compiled: nothing was kept there, as jax did not run" in said
    assert "3-2 · batch 32 · float32" in shown
    assert "numpy:manual@cpu" in shown
    assert run(["bench", "--load", "before", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    hold(document, "bench")
    assert read_results(json.dumps(document), "here").rows
    for form in ("csv", "markdown", "text"):
        assert run(["bench", "--load", "before", "--format", form]) == 0
        shown = capsys.readouterr().out
        assert "numpy" in shown
        if form == "markdown":
            header, below = [line for line in shown.split("\n") if line.startswith("|")][:2]
            assert set(below) == set("| -:")
            assert below.count("|") == header.count("|")
    assert run(["bench", "--load", "before", "--plot", "figure.svg"]) == 0
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    assert run(["bench", "--compare", "before", "after"]) == 0
    steady = [one | {kind: [1e-3] * 9 for kind in SECONDS} for one in document["yardsticks"]]
    for name, factor in (("quiet", 1), ("slower", 2)):
        rows = [paced_row(row, factor) for row in document["rows"]]
        Path(f"{name}.json").write_text(json.dumps(document | {"rows": rows, "yardsticks": steady}))
    assert run(["bench", "--compare", "quiet.json", "slower.json", "--fail-if", "median>5%"]) == 4
    assert "step" in capsys.readouterr().out


def paced_row(row: dict[str, Any], factor: float) -> dict[str, Any]:
    """A row whose rounds all took its median, times a factor: what the machine did does not matter."""
    seconds = factor * row["median"]
    times = {key: seconds for key in ("median", "low", "high") if row[key] is not None}
    return row | times | {"samples": [seconds for _ in row["samples"]]}


@pytest.mark.parametrize(
    "form", [pytest.param(["--format", "csv"], marks=pytest.mark.slow), ["-q"]], ids=["csv", "quiet"]
)
@pytest.mark.usefixtures("paced")
def test_what_rows_do_not_say_is_said_beside_them(form: list[str], capsys: Captured) -> None:
    assert run(["bench", "3-2", "-b", "numpy,paced:wrong-step", *FAST, *form]) == 1
    assert "3-2 · batch 32 · float32: paced:wrong-step@cpu: mismatch: dW.1" in capsys.readouterr().err
    gate = ["--baseline", "numpy", "--fail-if", "step:median>1%"]
    run(["bench", "3-2", "-b", "numpy,jax", *FAST, *gate, *form])
    assert "rule step:median>1% over numpy:manual: " in capsys.readouterr().err


@pytest.mark.parametrize("form", [Form.text, Form.csv])
def test_results_that_cannot_be_saved_in_the_end_are_written(
    form: Form, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another process took the name meanwhile, or the disk is full: an hour of measuring is not lost."""
    monkeypatch.chdir(tmp_path)
    HOME.mkdir()
    (HOME / "night.json").write_text("another's")
    found = read_results(Path(SAVED).read_bytes(), SAVED)
    code = finish(Outcome(found), form=form, output=None, save="night", plot=None, quiet=True)
    shown = capsys.readouterr()
    assert code == 2
    assert read_results(shown.out[shown.out.index("{") :], "stdout") == found
    assert "night.json is there already" in shown.err
    assert shown.err.endswith("; the results are above instead, as JSON\n")


def test_what_cannot_be_saved_is_told_where_nobody_reads_the_output(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    HOME.mkdir()
    (HOME / "night.json").write_text("another's")
    monkeypatch.setattr("crossgrad.cli.bench_results.deliver", Mock(side_effect=typer.Exit(141)))
    found = read_results(Path(SAVED).read_bytes(), SAVED)
    with pytest.raises(typer.Exit):
        finish(Outcome(found), form=Form.json, output=None, save="night", plot=None, quiet=True)
    assert "night.json is there already" in capsys.readouterr().err


def test_json_on_the_screen_is_json_beside_a_saved_name(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "3-2", "-b", "numpy", *FAST, "--save", "one", "--format", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["rows"]
    assert shown.err.endswith("saved: crossgrad-benchmarks/one.json\n")


@pytest.mark.parametrize("kept", [["--save", "one"], ["--plot", "one.svg"]], ids=["save", "plot"])
def test_what_is_kept_is_kept_before_a_reader_that_has_gone(
    kept: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr("crossgrad.cli.bench_results.deliver", Mock(side_effect=typer.Exit(141)))
    assert run(["bench", "3-2", "-b", "numpy", *FAST, *kept, "--format", "json"]) == 141
    assert (HOME / "one.json").exists() or Path("one.svg").exists()


def test_a_name_of_a_file_is_told_its_ending(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.json").write_bytes(Path(SAVED).read_bytes())
    assert run(["bench", "--load", "here"]) == 2
    assert "nothing is saved as 'here'; a file is named with its ending, here.json" in capsys.readouterr().err


@pytest.mark.usefixtures("paced")
def test_what_a_wrong_engine_means_for_the_exit_code(capsys: Captured) -> None:
    assert run(["bench", "3-2", "-b", "paced:wrong-step", *FAST]) == 1
    assert "mismatch" in capsys.readouterr().out
    assert run(["bench", "3-2", "-b", "paced:late-crash", *FAST]) == 3


@pytest.mark.parametrize(
    "named", [["-b", "paced:late-crash"], ["-b", "torch"], ["-d", "cpu", "-d", "cuda"]], ids=" ".join
)
@pytest.mark.usefixtures("paced")
def test_what_was_named_and_did_not_run_is_in_the_exit_code(
    named: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    right = Lanes._see

    def see(self: Lanes, name: str) -> Any:
        found = right(self, name)
        if name == "torch" or "cuda" in found.devices:
            return replace(found, devices=("cpu",), problem="planted: not here" if name == "torch" else None)
        return found

    monkeypatch.setattr(Lanes, "_see", see)
    assert run(["bench", "3-2", "-b", "numpy", *named, *FAST]) == 3
    assert "numpy:manual@cpu" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("full", "code", "said"), [(False, 141, ""), (True, 2, "cannot write to stdout: No space left on device")]
)
def test_a_reader_that_has_gone_and_a_full_disk_are_no_faults_of_ours(
    full: bool, code: int, said: str, tmp_path: Path
) -> None:
    """What was finished is kept; and nothing is said to be missing where nothing is."""
    if full and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    reader, stdout = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "crossgrad", "bench", "3-2", "-b", "numpy", "--save", "kept", *FAST]
    with open("/dev/full" if full else stdout, "wb", buffering=0) as taken:
        done = subprocess.run(command, stdout=taken, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
    assert done.returncode == code
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("note: ")]
    assert lines == ["saved: crossgrad-benchmarks/kept.json", *([f"error: {said}"] if said else [])]
    if full:
        os.close(stdout)
