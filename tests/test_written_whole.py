"""Files are written whole or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossgrad.cli.app import run
from crossgrad.networks.errors import InvalidInput
from crossgrad.networks.files import written_whole
from crossgrad.networks.parameter_files import save_parameters
from crossgrad.networks.parameters import draw_parameters
from crossgrad.networks.spec import Dense, Network

QUICK = ["check", "3-2", "-b", "numpy", "-d", "cpu", "--dtype", "float32", "--no-isolate"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is written the first ten characters have room."""
    right: Callable[..., Any] = Path.write_text

    def half(self: Path, text: str, **options: Any) -> int:
        right(self, text[:10], **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", half)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "report.json"
    there.write_bytes(b"of yesterday")
    for file in (there, tmp_path / "new.json"):
        assert run([*QUICK, "--format", "json", "-o", str(file)]) == 2
        out, err = capsys.readouterr()
        assert out.startswith("{")
        assert f"cannot write {file}: No space left on device; the result is above instead" in err
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"report.json": b"of yesterday"}


def test_who_may_read_it_stays(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("old")
    file.chmod(0o640)
    with written_whole(file) as place:
        place.write_text("new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)


def test_several_writers_of_one_folder_keep_apart(tmp_path: Path) -> None:
    with written_whole(tmp_path / "one") as one, written_whole(tmp_path / "other") as other:
        one.write_text("1")
        other.write_text("2")
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["1", "2"]


def test_parameters_that_were_there_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy")
    network = Network(3, (Dense(2),))
    file, parameters = tmp_path / "p.safetensors", draw_parameters(network, seed=0)
    save_parameters(file, parameters)
    before = file.read_bytes()

    def half(tensors: Any, path: str) -> None:
        Path(path).write_bytes(before[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(numpy_files, "save_file", half)
    with pytest.raises(InvalidInput, match="No space left"):
        save_parameters(file, parameters)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {file.name: before}


def test_a_link_stays_one(tmp_path: Path) -> None:
    link, file = tmp_path / "latest", tmp_path / "first"
    file.write_text("old")
    link.symlink_to(file)
    with written_whole(link) as place:
        place.write_text("new")
    assert link.is_symlink()
    assert file.read_text() == "new"
