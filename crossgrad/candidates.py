"""Users' gradient functions: called in this process, or loaded from a file; on the arrays of a framework."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from . import escape
from .networks.errors import InvalidInput, unknown
from .networks.files import is_there
from .words import listed

Candidate = Callable[..., Any]
"""``fn(params, x, y) -> (loss, grads)`` on a framework's arrays; params and grads are lists of ``(W, b)``."""

BACKENDS = ("numpy", "torch", "jax")
"""Frameworks whose arrays a candidate may take."""

DEFAULT_FUNCTION = "gradients"


class NotLoaded(RuntimeError):
    """A candidate's file could not be loaded: why, and at which of its lines, in words."""


@dataclass(frozen=True)
class CandidateFunction:
    """A function that is in this process already, and whose arrays it takes."""

    function: Candidate
    backend: str = "numpy"


@dataclass(frozen=True)
class CandidateFile:
    """A function in a Python file, which is loaded where it runs: in a worker's process, if there is one."""

    name: str
    file: Path
    function: str = DEFAULT_FUNCTION
    backend: str = "numpy"
    """Whose arrays it takes: one of `BACKENDS`."""

    def __post_init__(self) -> None:
        if not isinstance(self.file, str | Path):
            raise InvalidInput(f"candidate file {self.file!r}: expected the path of a Python file")
        require_backend(self.backend)
        object.__setattr__(self, "file", Path(self.file).absolute())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[NAME=]FILE.py[:FUNCTION]``.

        Raises
        ------
        InvalidInput
            If it is not of this form, or there is no such file.
        """
        name, equals, place = text.partition("=")
        if not equals or "/" in name:
            name, equals, place = "", "", text
        file, colon, function = place.rpartition(":")
        if not colon:
            file, function = place, DEFAULT_FUNCTION
        if not file.endswith(".py") or not function.isidentifier() or (equals and not name):
            raise InvalidInput(f"candidate {text!r}: expected [NAME=]FILE.py[:FUNCTION]")
        if not is_there(file, Path.is_file):
            raise InvalidInput(f"candidate {text!r}: there is no file {file}")
        return cls(escape.utf8(name or Path(file).stem), Path(file), function)

    def load(self) -> Candidate:
        """Run the file and return its function.

        Raises
        ------
        ImportError
            If the file holds no function of that name. Whatever the file itself raises passes through.
        """
        spec = importlib.util.spec_from_file_location(f"crossgrad_candidate_{self.name}", self.file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.file} is no Python file")
        module = importlib.util.module_from_spec(spec)
        folder = str(self.file.parent)
        is_new = folder not in sys.path
        sys.modules[spec.name] = module  # dataclasses look their module up
        if is_new:
            sys.path.insert(0, folder)  # for what it imports, now or when it is called
        try:
            spec.loader.exec_module(module)
            found = getattr(module, self.function, None)
            if not callable(found):
                raise ImportError(f"{self.file} has no function {self.function}: {self._others(module)}")
        except BaseException:
            sys.modules.pop(spec.name, None)
            if is_new:
                with suppress(ValueError):  # the file may have taken it out itself
                    sys.path.remove(folder)
            raise
        return found  # type: ignore[no-any-return]

    def _others(self, module: ModuleType) -> str:
        """The functions that there are in place of the one asked for, and how to ask for one."""
        made = [f for f in vars(module).values() if isfunction(f) and f.__module__ == module.__name__]
        names = [f.__name__ for f in made if f.__name__.isidentifier()]
        if not names:
            return "it defines none"
        return f"it has {listed(names)}; name one, as in --candidate {self.file.name}:{names[0]}"


def require_backend(name: str) -> None:
    """Raise `InvalidInput` if no framework whose arrays a candidate may take has this name."""
    if name not in BACKENDS:
        raise unknown("candidate backend", name, BACKENDS)


def candidates_on(
    backend: str | None, candidates: Mapping[str, Candidate | CandidateFile] | None
) -> dict[str, CandidateFunction | CandidateFile]:
    """The candidates, each with the framework whose arrays it takes.

    Parameters
    ----------
    backend
        One of `BACKENDS`, for all; None for what a file says of itself, and for NumPy in a function.

    Raises
    ------
    InvalidInput
        If there is no such framework, nothing that takes its arrays, or a candidate cannot be called.
    """
    if backend is not None:
        require_backend(backend)
        if not candidates:
            raise InvalidInput(f"candidate_backend {backend!r} goes with candidates: give the functions too")
    if candidates is not None and not isinstance(candidates, Mapping):
        what = type(candidates).__name__
        raise InvalidInput(f'candidates is a {what}: expected functions by name, as in {{"mine": gradients}}')
    found: dict[str, CandidateFunction | CandidateFile] = {}
    for name, candidate in (candidates or {}).items():
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"candidate name {name!r}: expected some text")
        if isinstance(candidate, CandidateFile):
            found[name] = candidate if backend is None else replace(candidate, backend=backend)
        elif callable(candidate):
            found[name] = CandidateFunction(candidate, backend or "numpy")
        else:
            raise InvalidInput(
                f"candidate {name!r} is a {type(candidate).__name__}: expected a function, or a file's, as "
                'crossgrad.CandidateFile.parse("mine.py:gradients")'
            )
    return found
