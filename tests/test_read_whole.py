"""Files are read up to a limit, and what is no file is not waited for."""

import os
from pathlib import Path

import pytest

from crossgrad.networks import files
from crossgrad.networks.errors import InvalidInput
from crossgrad.networks.files import read_whole


@pytest.mark.parametrize("size", [0, 9, 10])
def test_what_fits_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read_whole(tmp_path / "file", 10, "a file") == b"x" * size


def test_what_is_larger_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(5 * 2**30)
    monkeypatch.setattr(files, "_read", lambda file, most: pytest.fail("it was read"))
    with pytest.raises(InvalidInput, match="has 5,368,709,120 bytes"):
        read_whole(tmp_path / "file", 10, "a file")


def test_what_is_larger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 12)
    with pytest.raises(InvalidInput, match="has 12 bytes: expected a file, at most 10 bytes"):
        read_whole(tmp_path / "file", 10, "a file")


def test_a_file_that_grows_is_read_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 12)
    fstat = os.fstat

    def before_it_grew(descriptor: int) -> os.stat_result:
        return os.stat_result((*fstat(descriptor)[:6], 3, *fstat(descriptor)[7:10]))

    monkeypatch.setattr(os, "fstat", before_it_grew)
    monkeypatch.setattr(files, "PIECE", 4)
    with pytest.raises(InvalidInput, match="has 11 bytes"):
        read_whole(tmp_path / "file", 10, "a file")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(InvalidInput, match="is no regular file: expected a file"):
        read_whole(path, 10, "a file")
