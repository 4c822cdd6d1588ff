"""Results kept by name: whole or not at all, never over others, and clear about what is no name."""

import json
from pathlib import Path
from typing import Any

import pytest

from crossgrad import InvalidInput
from crossgrad.bench import saved
from crossgrad.bench.results import MOST, SCHEMA, Results, Row, Settings, read_results
from crossgrad.bench.saved import HOME, load_results, require_free, save_results
from crossgrad.cli.app import run

ROW = Row(
    network="784-100-10", batch_size=32, dtype="float32", backend="numpy", variant="manual", device="cpu",
    phase="step", median=1.0, rounds=3, samples=(1.0, 1.0, 1.25),
)  # fmt: skip


def results(*rows: Row) -> Results:
    return Results(
        began="2026-01-01T00:00:00+00:00",
        environment={"cpu": "one"},
        settings=Settings(min_time=1, rounds=3),
        rows=rows,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_saved_is_what_is_loaded(folder: Path) -> None:
    found = results(ROW)
    path = save_results(found, "night-1.5")
    assert path == HOME / "night-1.5.json"
    assert load_results("night-1.5") == load_results(str(path)) == load_results(str(folder / path)) == found
    assert [file.name for file in (folder / HOME).iterdir()] == ["night-1.5.json"]


@pytest.mark.parametrize("rows", [(), (ROW,)], ids=["none", "one"])
def test_a_result_without_rows_says_so(
    rows: tuple[Row, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_results(results(*rows), "night")
    assert run(["bench", "--load", "night"]) == 0
    said = capsys.readouterr()
    assert said.err == ("" if rows else "note: night has no row: nothing was measured\n")
    assert bool(said.out.strip()) == bool(rows)


def test_a_taken_name_is_refused_before_and_at_the_end(folder: Path) -> None:
    save_results(results(), "night")
    before = (folder / HOME / "night.json").read_bytes()
    for again in (lambda: require_free("night"), lambda: save_results(results(ROW), "night")):
        with pytest.raises(InvalidInput, match="is there already: give another name, or delete the file"):
            again()
    assert (folder / HOME / "night.json").read_bytes() == before


def test_another_process_that_was_faster_is_not_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / HOME / "night.json"
    path.parent.mkdir()
    path.write_text("theirs")
    monkeypatch.setattr(saved, "require_free", lambda name: HOME / f"{name}.json")
    with pytest.raises(InvalidInput, match="is there already"):
        save_results(results(), "night")
    assert path.read_text() == "theirs"
    assert list(path.parent.iterdir()) == [path]


def test_without_links_results_are_saved_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*paths: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(saved.os, "link", no_links)
    path = save_results(results(), "night")
    assert load_results("night") == results()
    path.write_text("theirs")
    monkeypatch.setattr(saved, "require_free", lambda name: path)
    with pytest.raises(InvalidInput, match="is there already"):
        save_results(results(), "night")
    assert path.read_text() == "theirs"


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved.os, "fsync", full)
    with pytest.raises(InvalidInput, match=r"cannot write .*No space left"):
        save_results(results(), "night")
    assert list((folder / HOME).iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "/a", "a\0b", "a\n", "a b", "-q", "n" * 101, "\x1b"],
)
def test_other_names_are_refused(folder: Path, name: str) -> None:
    for use in (require_free, load_results, lambda name: save_results(results(), name)):
        with pytest.raises(InvalidInput, match="expected at most 100 letters"):
            use(name)
    assert list(folder.iterdir()) == []


def test_a_name_is_not_saved_with_the_suffix(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"leave out \.json"):
        save_results(results(), "night.json")


def test_a_missing_name_lists_those_that_there_are(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="crossgrad bench --save night makes them"):
        load_results("night")
    for name in ("night1", "day"):
        save_results(results(), name)
    with pytest.raises(InvalidInput, match=r"did you mean night1\? known are day, night1"):
        load_results("night")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "does not describe a benchmark"),
        (b"{", "does not describe a benchmark"),
        (b"[]", "does not describe a benchmark"),
        (b'{"schema": "crossgrad.report/1"}', "schema: "),
        (b"\xff\xfe", "does not describe a benchmark"),
    ],
)
def test_foreign_files_are_refused(folder: Path, content: bytes, problem: str) -> None:
    (folder / "foreign.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        load_results("foreign.json")


def test_files_that_cannot_be_read_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "folder.json").mkdir()
    with pytest.raises(InvalidInput, match="is no regular file"):
        load_results("folder.json")
    with pytest.raises(InvalidInput, match=r"cannot read missing\.json"):
        load_results("missing.json")
    monkeypatch.setattr(saved, "SIZE_LIMIT", 100)
    save_results(results(), "night")
    with pytest.raises(InvalidInput, match="at most 100 bytes"):
        load_results("night")


YARDSTICK = {
    "network": "3-2", "batch_size": 1, "dtype": "float32", "device": "cpu", "engine": "numpy:manual@cpu",
    "forward": [1.0], "step": [1.0], "copied": [1.0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"schema": None}, r'expected "schema": "crossgrad\.bench/1"'),
        ({"yardsticks": [YARDSTICK | {"step": []}]}, r"copied are \[1, 0, 1\]: expected as many of each"),
        ({"yardsticks": [YARDSTICK | {"processes": 2}]}, "as many in each of 2 processes"),
        (
            {"baseline": {"engine": "torch", "rule": "nonsense", "rows": []}},
            "baseline.rule: rule 'nonsense': expected as in",
        ),
    ],
    ids=["schema", "rounds", "processes", "rule"],
)
def test_edited_files_are_refused(changed: dict[str, Any], problem: str) -> None:
    document = json.loads(results(ROW).to_json()) | changed
    document = {key: value for key, value in document.items() if value is not None}
    with pytest.raises(InvalidInput, match=problem):
        read_results(json.dumps(document), "mine")


def test_a_mistyped_key_below_the_baseline_names_those_of_its_rows() -> None:
    ratio = {"network": "3-2", "batch_size": 1, "dtype": "float32", "backend": "jax", "variant": "jit"}
    ratio |= {"device": "cpu", "phase": "step", "verdict": "same"}
    document = json.loads(results(ROW).to_json())
    for extra, near in (({"ratoi": 1.0}, "did you mean ratio"), ({"pase": 1}, "did you mean phase")):
        document["baseline"] = {"engine": "numpy:manual", "rows": [ratio | extra]}
        (key,) = extra
        with pytest.raises(InvalidInput, match=rf"baseline.rows\[0\].{key}: unknown key, {near}\? known"):
            read_results(json.dumps(document), "a file")
    document["baseline"] = {"engine": "numpy:manual", "rows": [ratio], "rul": "x"}
    with pytest.raises(InvalidInput, match="did you mean rule"):
        read_results(json.dumps(document), "a file")
    document["baseline"]["rows"] = [3]
    with pytest.raises(InvalidInput, match=r"expected a table of .*one_process"):
        read_results(json.dumps(document), "a file")


def test_an_unknown_key_names_those_that_are_known() -> None:
    document = json.loads(results(ROW).to_json())
    document["rows"][0]["speed"] = 3
    with pytest.raises(InvalidInput, match=r"rows\[0\].speed: unknown key, known are .*median"):
        read_results(json.dumps(document), "a file")
    assert SCHEMA in results().to_json()


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ("rows", "batch_size"), ("rows", "memory"), ("rows", "device_memory"), ("rows", "rounds"),
        ("rows", "processes"), ("rows", "calls"), ("settings", "rounds"), ("settings", "processes"),
        ("settings", "threads"),
    ],
)  # fmt: skip
def test_numbers_beyond_all_bounds_are_refused_by_name(
    table: str, field: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No float holds ten to the 400th: the table would end in an overflow."""
    document = json.loads(results(ROW).to_json())
    (document["rows"][0] if table == "rows" else document[table])[field] = 10**400
    (folder / "foreign.json").write_text(json.dumps(document))
    assert run(["bench", "--load", "foreign.json"]) == 2
    told = capsys.readouterr().err
    assert f"{'rows[0]' if table == 'rows' else table}.{field}: input should be less than or equal to" in told
    assert len(told) < 500


def test_the_largest_numbers_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    most = {"batch_size": MOST, "memory": MOST, "device_memory": MOST, "calls": MOST}
    save_results(results(ROW.model_copy(update=most)), "most")
    assert run(["bench", "--load", "most"]) == 0
    assert str(MOST) in capsys.readouterr().out


def test_a_dash_is_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "night.json").write_text(results(ROW).to_json())
    assert run(["bench", "--load", "night.json", "--format", "csv", "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("network,batch_size")
    assert [file.name for file in folder.iterdir()] == ["night.json"]


def test_two_rows_of_the_same_are_refused() -> None:
    """A comparison would take the last, and a table show it, without a word."""
    document = json.loads(results(ROW, ROW.model_copy(update={"phase": "update"})).to_json())
    assert len(read_results(json.dumps(document), "a file").rows) == 2
    document["rows"].append(document["rows"][0])
    told = r"rows: row 2 is the second of numpy:manual@cpu step of 784-100-10 \(batch 32, float32\)"
    with pytest.raises(InvalidInput, match=told):
        read_results(json.dumps(document), "a file")
