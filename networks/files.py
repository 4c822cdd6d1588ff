"""Files that a user named: read and written whole or not at all, and refused early where none can be."""

import errno
import os
import shutil
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from .errors import InvalidInput

PIECE = 2**20
"""Bytes read at a time."""

TOML_LIMIT = 2**15
"""Bytes of a TOML file: tomllib's time grows with the square of a key's dots, to seconds at this size."""


def reason_of(error: BaseException) -> str:
    """Why a file could not be read or written, in the system's words."""
    return str(getattr(error, "strerror", None) or error)


def unreadable(path: str | Path, error: Exception) -> InvalidInput:
    """The error for a file that cannot be opened or read."""
    return InvalidInput(f"cannot read {path}: {reason_of(error)}")


def is_there(path: str | Path, test: Callable[[Path], bool] = Path.exists) -> bool:
    """Whether a path that a user gave passes `test`; raise `InvalidInput` if it cannot be looked at.

    `Path.exists` and its like raise for a name that is too long, or a folder that is closed.
    """
    try:
        return test(Path(path))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def require_writable(path: str | Path) -> None:
    """Find out before the work what could not be written after it.

    Raises
    ------
    InvalidInput
        If no file can be made there, or the one that is there may not be written.
    """
    path = Path(path)
    if not is_there(path.parent, Path.is_dir):
        raise InvalidInput(f"cannot write {path}: {path.parent} is no folder")
    if is_there(path, Path.is_dir):
        raise InvalidInput(f"cannot write {path}: it is a folder")
    if not os.access(path if is_there(path) else path.parent, os.W_OK):
        raise InvalidInput(f"cannot write {path}: permission denied")


def takes_place_of(path: Path) -> bool:
    """Whether what is to be at `path` can be written beside it and take its place: no device, no link."""
    is_plain = not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode)
    return is_plain and os.access(path.parent, os.W_OK)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be at `path`: a file beside it, which takes its place in the end.

    If writing raises, as on a full disk, what was there stays. A device or a link is written itself, and
    so is a file in a folder that takes no others.
    """
    if not takes_place_of(path):
        yield path
        return
    new = path.with_name(f".crossgrad.{uuid4().hex}.new")
    try:
        yield new
        if path.exists():
            shutil.copymode(path, new)
        new.replace(path)
    finally:
        with suppress(OSError):
            new.unlink()


def write_to_disk(path: Path, content: bytes, mode: str = "wb") -> None:
    """Write a file that outlives a power cut, once its folder does too (`sync_directory`)."""
    with open(path, mode) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make what was made in a directory outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EROFS):  # file systems that cannot
            raise
    finally:
        os.close(descriptor)


def require_folder(path: Path, option: str) -> None:
    """Make the folder that an option names; raise `InvalidInput` if nothing can be put there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{option} {path}: expected a folder that can be made: {reason_of(error)}"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise InvalidInput(f"{option} {path}: permission denied")


def read_whole(path: str | Path, limit: int, expected: str) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Parameters
    ----------
    expected
        What the file should be, for the message: ``"a network's TOML file"``.

    Raises
    ------
    InvalidInput
        If there is no such file, it is larger, or it is a folder or a device, which may never end.
    """
    size, content = 0, b""
    try:
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise IsADirectoryError
            size = found.st_size
            if size <= limit:
                content = _read(file, limit + 1)
    except IsADirectoryError:  # or a pipe, a device
        raise InvalidInput(f"{path} is no regular file: expected {expected}") from None
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        raise unreadable(path, error) from None
    size = max(size, len(content))
    if size > limit:
        raise InvalidInput(f"{path} has {size:,} bytes: expected {expected}, at most {limit:,} bytes")
    return content


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Read a TOML file of at most `TOML_LIMIT` bytes.

    Parameters
    ----------
    what
        What it should be, for the message: ``"a network's TOML file"``.

    Raises
    ------
    InvalidInput
        As `read_whole`, or if it is no TOML.
    """
    content = read_whole(path, TOML_LIMIT, what)
    try:
        return tomllib.loads(content.decode("utf-8-sig"))  # editors on Windows write a mark first
    except (ValueError, RecursionError) as error:  # ValueError: also integers of thousands of digits
        raise InvalidInput(f"{path} is no TOML file: {error}") from None


def _read(file: BinaryIO, most: int) -> bytes:
    """What there is, in pieces: a file may have grown since it was looked at."""
    pieces = []
    while most and (piece := file.read(min(most, PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _at_once(path: str, flags: int) -> int:
    """Open, without waiting for whoever writes to a pipe of this name."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
