"""``crossgrad sweep``: its options, its plan, its progress, and a full disk."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrad.cli.app import run

from .sweeps import PLAN, QUICK, Capture, records_of


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cases", "0"], "cases: input should be greater than or equal to 1"),
        (["--depth", "3..1"], "depth: expected a whole number or a range"),
        (["--width", "1000000"], "--allow-large"),
        (["--dtype", "float33"], "unknown dtype 'float33'"),
        (["--shard", "3/2"], "shard 3/2: expected I/N"),
        (["--oracle", "delphi"], "unknown oracle 'delphi'"),
        (["--oracle", "float64", "--dtype", "float64"], "cannot judge float64"),
        (["-b", "nunpy"], "did you mean numpy"),
        (["missing.toml"], "cannot read missing.toml"),
        (["--resume", "missing"], "missing is no run"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_input_makes_no_run(
    arguments: list[str], said: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["sweep", "--no-isolate", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_default_directory_is_dated(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run([*QUICK, *PLAN, "--cases", "1"]) == 0
    capsys.readouterr()
    assert run(["runs"]) == 0
    assert capsys.readouterr().out.count("1/1") == 2


def test_what_mixes_versions_says_so(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed after an upgrade, and merged of parts that were run with unlike ones."""
    first, second, merged = (str(tmp_path / name) for name in ("first", "second", "merged"))
    run([*QUICK, *PLAN, "--cases", "4", "--shard", "1/2", "-o", first])
    capsys.readouterr()
    assert run(["sweep", "--resume", first, "--no-isolate", "--cases", "5"]) == 0
    assert "unlike versions" not in capsys.readouterr().err
    before = platform.python_version()
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    assert run(["sweep", "--resume", first, "--no-isolate", "--cases", "8"]) == 0
    said = f"run with unlike versions: python {before} and 3.99.0"
    assert said in capsys.readouterr().err
    run([*QUICK, *PLAN, "--cases", "8", "--shard", "2/2", "-o", second])
    assert run(["merge", second, first, "-o", merged]) == 0
    assert f"run with unlike versions: python 3.99.0 and {before}" in capsys.readouterr().err
    assert run(["show", merged]) == 0
    assert "unlike versions" in capsys.readouterr().err


def test_resume_keeps_to_what_was_begun(tmp_path: Path, capsys: Capture) -> None:
    path = str(tmp_path / "run")
    run([*QUICK, *PLAN, "--cases", "4", "-o", path])
    for more, said in (
        (["-b", "numpy", "--depth", "3"], "leave out -b, --depth"),
        (["--cases", "2"], "has 4 already"),
        (["--candidate", f"{__file__}"], "was begun with no candidate"),
    ):
        assert run(["sweep", "--resume", path, "--no-isolate", *more]) == 2
        assert said in capsys.readouterr().err


def test_file_is_a_plan(tmp_path: Path, capsys: Capture) -> None:
    plan = tmp_path / "sweep.toml"
    plan.write_text('networks = ["3-2", "2-2-1"]\nbatch = [1, 4]\nseeds-per-shape = 2')
    assert run([*QUICK, str(plan), "-o", str(tmp_path / "run")]) == 0
    assert "8 of 8 cases" in capsys.readouterr().out


def test_progress_in_a_pipe_is_a_line_now_and_then(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossgrad.cli.progress.PLAIN_INTERVAL", 0.0)
    assert run([*QUICK[:-1], *PLAN, "-o", str(tmp_path / "run")]) == 0
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == f"{tmp_path / 'run'}: 24 cases to run on numpy:manual@cpu"
    assert lines[-1].startswith("24 of 24 cases, ")
    assert lines[-1].endswith(" a second, 0 s left, 0 failures")


def test_a_sweep_goes_on_where_nothing_can_be_said(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    path = tmp_path / "run"
    program = (
        "import sys\n"
        "from crossgrad.cli import progress\n"
        "from crossgrad.cli.app import run\n"
        "progress.PLAIN_INTERVAL = 0.0\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, *QUICK[:-1], *PLAN, "-o", str(path)],
            stderr=full,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 0
    assert len(records_of(path)) == 24


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system with resource limits")
def test_full_disk_stops_the_sweep_with_a_usable_run(tmp_path: Path) -> None:
    """A file size limit makes every write beyond it fail, as a full disk does."""
    path = tmp_path / "run"
    words = [*QUICK, "--cases", "400", "--width", "1..3", "--depth", "1", "--batch", "1", "-o", str(path)]
    program = (
        "import resource, signal, sys\n"
        "from crossgrad.cli.app import run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "File too large" in done.stderr
    assert f"crossgrad sweep --resume {path}" in done.stderr
    assert (path / "records.jsonl").stat().st_size <= 5000
    assert len(records_of(path)) > 5


def test_isolated_engines_give_the_same_records(tmp_path: Path) -> None:
    for name, how in (("here", ["--no-isolate"]), ("there", [])):
        assert run(["sweep", "-b", "numpy", "-q", *how, *PLAN, "-o", str(tmp_path / name)]) == 0
    assert records_of(tmp_path / "here") == records_of(tmp_path / "there")
