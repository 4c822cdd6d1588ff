"""Other Pythons, whose packages engines may use: two versions of a framework in one run.

An engine ``old/torch`` is crossgrad's engine for torch, this very code, in a
process of the Python that is called ``old``, with the torch that is installed
there. So whatever differs between ``torch`` and ``old/torch`` is the framework's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from .networks.errors import InvalidInput, shortened, unknown
from .networks.files import is_there

OLDEST = (3, 11)
"""The oldest Python that runs crossgrad's code; pyproject.toml says it too."""

OLDEST_NUMPY = 2
"""The oldest NumPy: its floating-point settings are a context's from there on."""

Pythons = Mapping[str, Path]
"""Interpreters by the name that the user gave them."""

SEPARATOR = "/"
"""Between the name of a Python and that of an engine."""

HERE: Pythons = {}
"""None but this one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROBE = """
import sys
sys.path[:] = [place for place in sys.path if place]  # not the directory that this was started in
print("\\nPython", *sys.version_info[:2], flush=True)
import numpy
print("\\nNumPy", numpy.__version__, flush=True)
"""
_VERSION, _NUMPY = re.compile(r"^Python (\d+) (\d+)$", re.M), re.compile(r"^NumPy (\d+\.\S+)$", re.M)
_PROBE_SECONDS = 30


def parse_pythons(texts: Iterable[str]) -> dict[str, Path]:
    """Read ``NAME=PATH`` each; see `as_pythons`."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise InvalidInput(
                f"python {shortened(repr(text))}: expected NAME=PATH, as in old=/path/to/a/venv"
            )
        if name in found:
            raise InvalidInput(f"two Pythons are called {name!r}: give one another name")
        found[name] = path
    return as_pythons(found)


def as_pythons(given: Mapping[str, str | Path] | None) -> dict[str, Path]:
    """Interpreters by name, of paths to them or to virtual environments.

    Raises
    ------
    InvalidInput
        If a name is none, or there is no Python that can run crossgrad's engines.
    """
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInput(f"pythons is {shortened(repr(given))}: expected a dict of names and paths")
    for name, path in (given or {}).items():
        if not isinstance(name, str) or not isinstance(path, str | Path):
            raise InvalidInput(f"pythons has {name!r}: {shortened(repr(path))}: expected a name and a path")
    return {name: _interpreter(name, Path(path)) for name, path in (given or {}).items()}


def split(name: str, pythons: Pythons) -> tuple[Path | None, str]:
    """An engine's Python, None for this one, and the engine: of ``old/torch`` the path of old, and ``torch``.

    Raises
    ------
    InvalidInput
        If no Python has the name.
    """
    place, _, engine = name.rpartition(SEPARATOR)
    if not place:
        return None, name
    if not pythons:
        raise InvalidInput(
            f"backend {name!r}: no Python is called {place!r}; "
            f"check and bench take --python {place}=PATH (pythons= in Python)"
        )
    if place not in pythons:
        raise unknown("python", place, pythons)
    return pythons[place], engine


def to_load(name: str, pythons: Pythons) -> dict[str, Any]:
    """What a worker's process is to load for an engine, as `Pool.open` takes it."""
    python, engine = split(name, pythons)
    return {"backend": engine} | ({} if python is None else {"python": str(python)})


def require_used(names: Iterable[str], pythons: Pythons) -> None:
    """Raise `InvalidInput` if a Python was given of which no engine is asked for."""
    used = {name.rpartition(SEPARATOR)[0] for name in names}
    for python in pythons:
        if python not in used:
            raise InvalidInput(
                f"python {python!r}: no engine of it is asked for; add one, as in {python}/torch"
            )


def told(backends: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say of each engine of another Python what it is: versions, and where from."""
    for name, found in backends.items():
        engine = name.rpartition(SEPARATOR)[2]
        if engine != name:
            here = backends.get(engine, {}).get("version")
            beside = f" beside {here}" if here else ""
            python = f"Python {found.get('python')}, {found.get('interpreter')}"
            yield f"{name}: {engine} {found.get('version')}{beside}, of {python}"


def _interpreter(name: str, path: Path) -> Path:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"python {shortened(repr(name))}: expected a name of letters, digits, '_', '.' and '-'"
        )
    with suppress(RuntimeError):  # there may be no such user
        path = path.expanduser()
    path = path.absolute()
    files = [path / "bin" / "python", path / "bin" / "python3"] if is_there(path, Path.is_dir) else [path]
    file = next((file for file in files if is_there(file, Path.is_file)), files[0])
    if not is_there(file, Path.is_file):
        raise InvalidInput(f"python {name}: there is no interpreter {file}")
    version, numpy = _probed(file)
    if version < OLDEST:
        found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        raise InvalidInput(f"python {name}: {file} is Python {found}, and crossgrad needs {oldest} or newer")
    if int(numpy.partition(".")[0]) < OLDEST_NUMPY:
        raise InvalidInput(
            f"python {name}: {file} has NumPy {numpy}, and crossgrad needs {OLDEST_NUMPY}.0 or newer"
        )
    return file


@cache
def _probed(file: Path) -> tuple[tuple[int, int], str]:
    """Version of an interpreter, and of its NumPy, which must be there if it is new enough."""
    import subprocess  # which takes longer to import than all of this

    try:
        done = subprocess.run(
            [file, "-E", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidInput(
            f"{file} does not say within {_PROBE_SECONDS:g} s which Python it is: what does it run first?"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{file} cannot be run: {error}") from None
    version, numpy = _VERSION.search(done.stdout), _NUMPY.search(done.stdout)
    last = shortened((done.stderr.strip().splitlines() or ["it says nothing of itself"])[-1])
    if version is None:
        raise InvalidInput(f"{file} is no Python: {last}")
    found = int(version[1]), int(version[2])
    if numpy is None and found >= OLDEST:
        raise InvalidInput(f"{file} has no NumPy that can be imported, and every engine needs it: {last}")
    return found, numpy[1] if numpy else ""
