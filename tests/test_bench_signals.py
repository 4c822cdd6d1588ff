"""``crossgrad bench`` that is interrupted from outside: what was finished is kept."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossgrad.bench.results import read_results
from crossgrad.cli.bench_results import Outcome

from .conftest import HEEDING
from .test_bench_cli import SAVED


def test_ctrl_c_before_anything_was_finished_keeps_the_name_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEEDING, "bench", "3-2", "-b", "numpy", "--min-time", "100"]
    (tmp_path / "last-week.json").write_text("precious")
    command += ["--save", "part", "--format", "json", "-o", "last-week.json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"interrupted" in said
    assert not list(tmp_path.rglob("part.json"))
    assert (tmp_path / "last-week.json").read_text() == "precious"


@pytest.mark.parametrize("gap", [0.005, 0.01, 0.015, 0.05])
def test_ctrl_c_twice_keeps_it_too(tmp_path: Path, gap: float) -> None:
    command = [sys.executable, "-c", HEEDING, "bench", "3-2", "8-8", "-b", "numpy", "-d", "cpu"]
    command += ["--min-time", "0.5", "--rounds", "3", "--save", "part"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        while b"limit on cpu" not in process.stdout.readline():
            pass
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(gap)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"saved: crossgrad-benchmarks/part.json" in said
    assert b"interrupted, not finished: 1 of 2 networks not measured" in said


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_ctrl_c_keeps_what_was_finished(tmp_path: Path, number: signal.Signals) -> None:
    """So do a job that is cancelled and a terminal that is closed."""
    command = [sys.executable, "-c", HEEDING, "bench", "3-2", "8-8", "-b", "numpy", "-d", "cpu"]
    command += ["--min-time", "0.2", "--rounds", "20", "--save", "part"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        shown = b""
        while b"limit on cpu" not in shown:  # the end of the first network's tables
            shown += process.stdout.readline()
        process.send_signal(number)
        rest, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "3-2 · batch".encode() in shown
    assert b"interrupted" in said
    (file,) = tmp_path.rglob("part.json")
    found = read_results(file.read_text(), "the file")
    assert "3-2" in {row.network for row in found.rows}
    assert any("not finished" in line for line in found.notes)
    in_part = any("8-8 (batch 32, float32): interrupted" in line for line in found.notes)
    assert ("8-8" in {row.network for row in found.rows}) == in_part == ("8-8 · batch".encode() in rest)


def test_ctrl_c_after_the_last_network_misses_nothing() -> None:
    kept = read_results(Path(SAVED).read_bytes(), SAVED).model_copy(update={"notes": ("a note",)})
    assert Outcome(kept, KeyboardInterrupt()).ended == "interrupted"
    part = Outcome(kept, KeyboardInterrupt(), "not finished: 1 of 2")
    assert part.ended == "interrupted, not finished: 1 of 2"
