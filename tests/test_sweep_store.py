"""A run's directory survives what happens to files: torn and corrupt lines, full disks, two writers."""

import errno
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import InvalidInput
from crossgrad.sweep import lines as lines_module
from crossgrad.sweep.info import RUN_FILE, read_info
from crossgrad.sweep.lines import encode
from crossgrad.sweep.store import RECORDS_FILE, RunWriter, read_records

from .sweeps import INFO, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


def written(path: Path, count: int) -> Path:
    with RunWriter.create(path, INFO) as run:
        for number in range(count):
            run.append(record(number))
    return path / RECORDS_FILE


def read(path: Path) -> tuple[list[int], list[str]]:
    """Seeds of the records of a run, and the warnings."""
    warnings: list[str] = []
    found = [int(r.id.rpartition("_s")[2]) for r in read_records(path, warnings.append)]
    return found, warnings


def resumed(path: Path, *more: int) -> list[str]:
    """Open a run, add records, and return the warnings."""
    warnings: list[str] = []
    with RunWriter.resume(path, warnings.append) as run:
        for number in more:
            run.append(record(number))
    return warnings


def test_record_of_another_form_is_damage(path: Path) -> None:
    file = written(path, 1)
    for body in (
        b"{}",
        b'{"id":"x"}',
        b"[]",
        b"1e999",
        encode(record(5))[29:-2].replace(b"agree", b"agreed"),
    ):
        with open(file, "ab") as opened:
            opened.write(b'{"crc32":"%08x","record":%s}\n' % (zlib.crc32(body), body))
    found, warnings = read(path)
    assert found == [0]
    assert len(warnings) == 5
    assert all("is no record of this version" in warning for warning in warnings)


def test_endless_line_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 1000)
    file = written(path, 1)
    with open(file, "ab") as opened:
        opened.write(5000 * b"x" + b"\n" + encode(record(1)))
    found, warnings = read(path)
    assert (found, len(warnings)) == ([0, 1], 1)
    assert "has 5,001 bytes" in warnings[0]


# Torn, corrupt, twice


def test_line_torn_at_every_byte_is_set_aside(path: Path) -> None:
    file = written(path, 3)
    whole = file.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start + 1, len(whole)):
        file.write_bytes(whole[:end])
        assert read(path)[0] == [0, 1]
        (warning,) = resumed(path)
        (aside,) = path.glob("torn-*.txt")
        assert aside.name in warning
        assert aside.read_bytes() == whole[start:end]
        assert file.read_bytes() == whole[:start]
        aside.unlink()
    assert resumed(path, 2) == []
    assert file.read_bytes() == whole


def test_whole_file_is_torn_line(path: Path) -> None:
    file = written(path, 0)
    file.write_bytes(b"\0" * 5000)
    assert len(resumed(path, 0)) == 1
    assert read(path) == ([0], [])


def test_torn_lines_do_not_overwrite_each_other(path: Path) -> None:
    file = written(path, 1)
    for number in range(3):
        with open(file, "ab") as opened:
            opened.write(b"%d" % number)
        resumed(path)
    assert [(path / f"torn-{n + 1}.txt").read_text() for n in range(3)] == ["0", "1", "2"]


def test_corrupt_byte_costs_its_own_case_only(path: Path) -> None:
    file = written(path, 3)
    whole = file.read_bytes()
    first, second = whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1)
    for at in range(first, second, 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        found, warnings = read(path)
        assert (found, len(warnings)) == ([0, 2], 1)
        assert f"{RECORDS_FILE}, line 2" in warnings[0]
    (warning,) = resumed(path, 1)
    assert "line 2" in warning
    assert sorted(read(path)[0]) == [0, 1, 2]


def test_case_counts_once(path: Path) -> None:
    file = written(path, 2)
    file.write_bytes(2 * file.read_bytes())
    assert read(path) == ([0, 1], [])


# Writers


def test_second_writer_is_refused(path: Path) -> None:
    written(path, 1)
    with RunWriter.resume(path, print):
        with pytest.raises(InvalidInput, match="another process is writing"):
            RunWriter.resume(path, print)
        assert read(path) == ([0], [])
    assert resumed(path) == []


def test_lock_ends_with_the_process_that_holds_it(path: Path) -> None:
    written(path, 1)
    program = (
        "import sys, time; from pathlib import Path; from crossgrad.sweep.store import RunWriter\n"
        "run = RunWriter.resume(Path(sys.argv[1]), print); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(InvalidInput, match="another process"):
            RunWriter.resume(path, print)
        holder.kill()
    assert resumed(path) == []


@contextmanager
def failing(name: str, code: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a call of the system fail; a write, after half of it is done."""
    real = getattr(os, name)

    def fail(descriptor: int, *data: Any) -> None:
        for half in data:
            real(descriptor, bytes(half)[: len(half) // 2])
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, name, fail)
        yield


@pytest.mark.parametrize("name", ["write", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_full_disk_leaves_whole_records(
    path: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(path, 2)
    before = file.read_bytes()
    with RunWriter.resume(path, print) as run:
        with failing(name, code, monkeypatch), pytest.raises(InvalidInput) as caught:
            run.append(record(2))
        for part in (os.strerror(code), "2 records are whole", f"--resume {path}"):
            assert part in str(caught.value)
        assert file.read_bytes() == before
        with pytest.raises(InvalidInput, match="takes no more records"):
            run.append(record(2))
    assert resumed(path, 2) == []
    assert read(path) == ([0, 1, 2], [])


def test_short_writes_are_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, 0)
    real = os.write
    with RunWriter.resume(path, print) as run, monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:7]))
        run.append(record(0))
    assert read(path) == ([0], [])


def test_interrupt_while_writing_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, 1)

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    with RunWriter.resume(path, print) as run, monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.append(record(1))
    assert resumed(path) == []
    assert read(path) == ([0], [])


def test_every_record_and_directory_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", noted)
    written(path, 2)
    assert {"runs", "one", f"{RUN_FILE}.new"} <= set(synced)
    assert synced.count(RECORDS_FILE) == 2
    assert synced[-2:] == [RECORDS_FILE, RECORDS_FILE]


# Directories


def test_directory_in_use_is_refused(path: Path) -> None:
    written(path, 1)
    with pytest.raises(InvalidInput, match="is a run already: go on with it by sweep --resume"):
        RunWriter.create(path, INFO)
    assert read(path) == ([0], [])
    (path / RUN_FILE).rename(path / "other")
    with pytest.raises(InvalidInput, match="holds other files"):
        RunWriter.create(path, INFO)


def test_a_directory_of_other_files_is_left_as_it_was(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "thesis.txt").touch()
    with pytest.raises(InvalidInput, match="holds other files"):
        RunWriter.create(path, INFO)
    assert [file.name for file in path.iterdir()] == ["thesis.txt"]


def test_what_a_crash_left_of_making_a_run_is_no_matter(path: Path) -> None:
    path.mkdir(parents=True)
    (path / RECORDS_FILE).touch()
    (path / f"{RUN_FILE}.new").write_text("{")
    written(path, 1)
    assert read_info(path) == INFO


def test_records_without_a_description_are_not_adopted(path: Path) -> None:
    written(path, 1)
    (path / RUN_FILE).unlink()
    with pytest.raises(InvalidInput, match=r"holds records of a run whose run\.json is missing"):
        RunWriter.create(path, INFO)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="Permission denied"):
        RunWriter.create(tmp_path / "run", INFO)


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot make"):
        RunWriter.create(tmp_path / "file" / "run", INFO)
    with pytest.raises(InvalidInput, match="cannot make"):
        RunWriter.create(tmp_path / "file", INFO)


def test_records_that_are_no_file_are_refused(path: Path) -> None:
    written(path, 0).unlink()
    os.mkfifo(path / RECORDS_FILE)
    for attempt in (lambda: read(path), lambda: resumed(path)):
        with pytest.raises(InvalidInput, match="is no regular file"):
            attempt()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "describes no run"),
        ("{}", "describes no run: schema|describes no run: created"),
        ('{"schema":"crossgrad.run/99"}', "describes no run: schema"),
        (INFO.model_dump_json().replace('"1/1"', '"1 of 1"'), "describes no run: shards"),
        (INFO.model_dump_json().replace('"seed":0', '"seed":"0"'), "describes no run: plan"),
    ],
)
def test_damaged_description_is_refused(path: Path, content: str, said: str) -> None:
    written(path, 1)
    (path / RUN_FILE).write_text(content)
    with pytest.raises(InvalidInput, match=said):
        read_info(path)


@given(content=st.binary(max_size=300))
def test_any_description_is_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any-run"
    path.mkdir(exist_ok=True)
    (path / RUN_FILE).write_bytes(content)
    with pytest.raises(InvalidInput):
        read_info(path)


def test_no_run_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "missing", Path("\0")):
        with pytest.raises(InvalidInput, match="is no run: expected a directory with"):
            read_info(missing)
