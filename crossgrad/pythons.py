"""Other Pythons, whose packages engines may use: two versions of a framework in one run.

An engine ``old/torch`` is crossgrad's engine for torch, this very code, in a
process of the Python that is called ``old``, with the torch that is installed
there. So whatever differs between ``torch`` and ``old/torch`` is the framework's.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from .networks.errors import InvalidInput, shortened, unknown
from .networks.files import is_there

OLDEST = (3, 11)
"""The oldest Python that runs crossgrad's code; pyproject.toml says it too."""

Pythons = Mapping[str, Path]
"""Interpreters by the name that the user gave them."""

SEPARATOR = "/"
"""Between the name of a Python and that of an engine."""

HERE: Pythons = {}
"""None but this one."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROBE = """
import json, sys
from importlib.util import find_spec
print(json.dumps([list(sys.version_info[:2]), find_spec("numpy") is not None]))
"""
_PROBE_SECONDS = 60


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


def as_pythons(given: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, Path]:
    """Interpreters by name, of paths to them or to virtual environments.

    Raises
    ------
    InvalidInput
        If a name cannot be told from a path, or there is no Python that can run crossgrad's engines.
    """
    return {name: _interpreter(name, Path(path)) for name, path in (given or {}).items()}


def split(name: str, pythons: Pythons) -> tuple[Path | None, str]:
    """An engine's Python, None for this one, and the engine: of ``old/torch`` the path of old, and ``torch``.

    Raises
    ------
    InvalidInput
        If no Python has the name.
    """
    place, separator, engine = name.rpartition(SEPARATOR)
    if not separator:
        return None, name
    if not pythons:
        raise InvalidInput(
            f"backend {name!r}: no Python is called {place!r}; "
            f"check and bench take --python {place}=PATH (pythons= in Python)"
        )
    if place not in pythons:
        raise unknown("python", place, pythons)
    return pythons[place], engine


def loads(name: str, pythons: Pythons) -> dict[str, Any]:
    """What a worker's process is to load for an engine, as `Pool.open` takes it."""
    python, engine = split(name, pythons)
    return {"backend": engine} | ({} if python is None else {"python": str(python)})


def require_used(backends: Iterable[str], pythons: Pythons) -> None:
    """Raise `InvalidInput` if a Python was given of which no engine is asked for."""
    used = {text.partition(SEPARATOR)[0] for text in backends if SEPARATOR in text}
    for name in pythons:
        if name not in used:
            raise InvalidInput(f"python {name!r}: no engine of it is asked for; add one, as in {name}/torch")


def _interpreter(name: str, path: Path) -> Path:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"python {shortened(repr(name))}: expected a name of letters, digits, '_', '.' and '-'"
        )
    with suppress(RuntimeError):  # there may be no such user
        path = path.expanduser()
    file = (path / "bin" / "python" if is_there(path, Path.is_dir) else path).absolute()
    if not is_there(file, Path.is_file):
        raise InvalidInput(f"python {name}: there is no interpreter {file}")
    version, numpy = _probed(name, file)
    if version < OLDEST:
        found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST))
        raise InvalidInput(f"python {name}: {file} is Python {found}, and crossgrad needs {oldest} or newer")
    if not numpy:
        raise InvalidInput(f"python {name}: NumPy is not installed for {file}, and every engine needs it")
    return file


@cache
def _probed(name: str, file: Path) -> tuple[tuple[int, int], bool]:
    """Version of an interpreter, and whether it has NumPy."""
    import subprocess  # which takes longer to import than all of this

    try:
        told = subprocess.run(
            [file, "-E", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
        (major, minor), numpy = json.loads(told.stdout)
        return (int(major), int(minor)), bool(numpy)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput(f"python {name}: {file} cannot be run: {error}") from None
    except (ValueError, TypeError):
        lines = told.stderr.strip().splitlines() or [f"exit code {told.returncode}"]
        raise InvalidInput(f"python {name}: {file} is no Python: {shortened(lines[-1])}") from None
