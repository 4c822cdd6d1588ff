"""Users' gradient functions: called in this process, or loaded from a file."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .networks.errors import InvalidInput
from .networks.files import is_there

Candidate = Callable[..., Any]
"""``fn(params, x, y) -> (loss, grads)`` on NumPy arrays; params and grads are lists of ``(W, b)``."""

DEFAULT_FUNCTION = "gradients"


@dataclass(frozen=True)
class CandidateFile:
    """A function in a Python file, which is loaded where it runs: in a worker's process, if there is one."""

    name: str
    file: Path
    function: str

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
        return cls(name or Path(file).stem, Path(file).absolute(), function)

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
        sys.modules[spec.name] = module  # dataclasses look their module up
        if str(self.file.parent) not in sys.path:
            sys.path.insert(0, str(self.file.parent))  # for what it imports, now or when it is called
        spec.loader.exec_module(module)
        found = getattr(module, self.function, None)
        if not callable(found):
            raise ImportError(f"{self.file} has no function {self.function}")
        return found  # type: ignore[no-any-return]
