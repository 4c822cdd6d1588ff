"""Results kept under a name: ``crossgrad-benchmarks/NAME.json`` in the working directory."""

import os
import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ..networks.errors import InvalidInput, shortened, unknown
from ..networks.files import is_there, read_whole, reason_of, sync_directory, unreadable, write_to_disk
from .results import Results, read_results

HOME = Path("crossgrad-benchmarks")
SUFFIX = ".json"
SIZE_LIMIT = 2**28
"""Bytes of a file of results: a hundred engines on a hundred networks, or rounds by the ten thousand."""

NAME = re.compile(r"\w[\w.+-]{0,99}")


def require_free(name: str) -> Path:
    """The file that results of this name would go to.

    Raises
    ------
    InvalidInput
        If this is no name, or there are results of this name.
    """
    path = _path(name)
    if name.endswith(SUFFIX):
        raise InvalidInput(f"name {shortened(repr(name))}: leave out {SUFFIX}, it is added")
    if is_there(path, os.path.lexists):
        raise _taken(path)
    return path


def save_results(results: Results, name: str) -> Path:
    """Write results under a name that is free, whole or not at all; return the file.

    Raises
    ------
    InvalidInput
        As `require_free`; or if the file cannot be written.
    """
    path = require_free(name)
    new = path.with_name(f"{path.name}.{uuid4().hex}.new")
    try:
        path.parent.mkdir(exist_ok=True)
        try:
            write_to_disk(new, results.to_json().encode() + b"\n", "xb")
            _put(new, path)
        finally:
            with suppress(OSError):
                new.unlink()
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {reason_of(error)}") from None
    return path


def load_results(name: str) -> Results:
    """Read what was saved under a name, or a file whose path ends in ``.json``.

    Raises
    ------
    InvalidInput
        If there is no such file, it is too large, or it holds no results.
    """
    path = file_of(name)
    if not name.endswith(SUFFIX) and not is_there(path):
        raise _missing(name)
    return read_results(read_whole(path, SIZE_LIMIT, "a benchmark's results"), str(path))


def file_of(name: str) -> Path:
    """The file that `load_results` reads for this name."""
    return Path(name) if name.endswith(SUFFIX) else _path(name)


def saved_names() -> list[str]:
    """What there is in `HOME`, in order."""
    try:
        return sorted(path.stem for path in HOME.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise unreadable(HOME, error) from None


def _path(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"name {shortened(repr(name))}: expected at most 100 letters, digits, '.', '_', '+' and '-', "
            f"the first a letter or digit; a file is named by a path that ends in {SUFFIX}"
        )
    return HOME / f"{name}{SUFFIX}"


def _missing(name: str) -> InvalidInput:
    names = saved_names()
    if is_there(f"{name}{SUFFIX}", Path.is_file):
        return InvalidInput(f"nothing is saved as {name!r}; a file is named with its ending, {name}{SUFFIX}")
    if names:
        return unknown(f"benchmark in {HOME}", name, names)
    return InvalidInput(f"no results {name!r}: {HOME} holds none; crossgrad bench --save {name} makes them")


def _taken(path: Path) -> InvalidInput:
    return InvalidInput(f"{path} is there already: give another name, or delete the file")


def _put(new: Path, path: Path) -> None:
    """Give the file its name, unless another process was faster: a link replaces nothing, a rename does."""
    try:
        _take_name(new, path)
    except FileExistsError:
        raise _taken(path) from None
    with suppress(OSError):  # the file has its name already
        sync_directory(path.parent)


def _take_name(new: Path, path: Path) -> None:
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: an empty file takes the name first
        path.touch(exist_ok=False)
        try:
            new.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
