"""What is said of sweeps that were run: summaries, tables, files and lists, and nothing raw from a file."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from crossgrad.cli.app import run
from crossgrad.sweep.records import EngineRecord
from crossgrad.sweep.store import RunWriter

from .published import hold
from .sweeps import INFO, PLAN, QUICK, Capture, record


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A run with something of everything, and texts as an enemy would choose them."""
    path = tmp_path / "run"
    failed = EngineRecord(engine="=cmd()@cpu", state="crashed", message="\x1b[2J\n=1+1")
    infinite = EngineRecord(engine="numpy:manual@cpu", state="mismatch", over_floor="Infinity", worst="dW.1")
    with RunWriter.create(path, INFO) as store:
        store.append(record(0))
        store.append(record(1, verdict="failed", engines=(failed,), problems=("=cmd()@cpu: \x1b[2J\n=1+1",)))
        store.append(record(2, verdict="disagree", engines=(infinite,)))
        store.append(record(3, verdict="failed", engines=(), problems=("no memory \x1b[31m",)))
    return path


def test_show_says_what_the_sweep_said(tmp_path: Path, capsys: Capture) -> None:
    run([*QUICK[:-1], *PLAN, "-o", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert run(["show", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == said


def test_nothing_from_a_file_reaches_the_terminal_raw(mixed: Path, capsys: Capture) -> None:
    hostile = mixed.rename(mixed.with_name("run\x1b[31m\n"))
    for words in (["show", str(hostile)], ["show", str(hostile), "--failed"], ["runs", str(hostile.parent)]):
        assert run(words) == 0
        shown = capsys.readouterr()
        assert "\x1b" not in shown.out + shown.err
        assert "\\x1b" in shown.out


def test_failed_shows_all_that_is_not_in_order(mixed: Path, capsys: Capture) -> None:
    assert run(["show", str(mixed), "--failed"]) == 0
    shown = capsys.readouterr().out
    assert "inf times the noise allowed" in shown
    assert "no memory" in shown
    assert run(["show", str(mixed), "--failed", "--format", "json"]) == 0
    assert [r["id"][-1] for r in json.loads(capsys.readouterr().out)["records"]] == ["1", "2", "3"]


def test_json_holds_every_record(mixed: Path, capsys: Capture) -> None:
    assert run(["show", str(mixed), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["records"]) == 4
    hold(document, "records")


def test_csv_has_a_row_an_engine_and_no_formula(mixed: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["show", str(mixed), "--format", "csv", "-o", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["ok", "crashed", "mismatch", ""]
    assert rows[1]["engine"] == "'=cmd()@cpu"
    assert (rows[2]["over_floor"], rows[2]["network"], rows[2]["seed"]) == ("inf", "3-2", "2")
    assert run(["show", str(mixed), "--format", "csv"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_parquet_has_the_same_rows(mixed: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(["show", str(mixed), "--format", "parquet", "-o", str(tmp_path / "out.parquet")]) == 0
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["state"] for row in rows] == ["ok", "crashed", "mismatch", None]
    assert rows[0]["over_floor"] == 0.1
    assert rows[2]["over_floor"] == float("inf")


def test_parquet_without_pyarrow_names_the_extra(
    mixed: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(["show", str(mixed), "--format", "parquet", "-o", str(tmp_path / "out")]) == 2
    assert 'pip install "crossgrad[parquet]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(["show", str(mixed), "--format", "parquet"]) == 2
    assert "name a file by -o" in capsys.readouterr().err


def test_runs_lists_what_can_be_read(mixed: Path, tmp_path: Path, capsys: Capture) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    (tmp_path / "file").touch()
    with open(mixed / "records.jsonl", "ab") as file:
        file.write(b"torn")
    assert run(["runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "4/100" in shown
    assert "1 damaged line" in shown
    assert "broken/run.json describes no run" in shown.replace("\n", "")


def test_runs_of_nowhere(tmp_path: Path, capsys: Capture) -> None:
    assert run(["runs", str(tmp_path)]) == 0
    assert "no runs in" in capsys.readouterr().out
    assert run(["runs", str(tmp_path / "missing")]) == 2
