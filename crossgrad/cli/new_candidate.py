"""``crossgrad new-candidate``: a function to begin with, and the command that checks it."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from ..candidates import BACKENDS, DEFAULT_FUNCTION
from ..networks.errors import InvalidInput
from ..networks.files import reason_of
from . import exits, options
from .output import say


def new_candidate(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="The file to write; it must not exist.")],
    candidate_backend: Annotated[
        options.Framework, typer.Option("--candidate-backend", help="Whose arrays the function takes.")
    ] = options.Framework.numpy,
) -> None:
    """Write a commented function that is right on the article's network, to start from."""
    from ..starters import starter

    _require_good_name(file)
    try:
        with open(file, "x", encoding="utf-8") as stream, _gone_if_it_fails(file):
            stream.write(starter(candidate_backend))
            stream.flush()
    except FileExistsError:
        raise InvalidInput(
            f"{file} is there already, and is left as it is: name another file, or remove this one"
        ) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot write {file}: {reason_of(error)}") from None
    say(f"{file} is written: a function {DEFAULT_FUNCTION}(params, x, y). Check it by\n\n")
    say(f"  {_command(file, candidate_backend)}\n")
    raise typer.Exit(exits.OK)


@contextmanager
def _gone_if_it_fails(file: Path) -> Iterator[None]:
    """Half a file, on a full disk, would be in the way of the next attempt."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            file.unlink()
        raise


def _require_good_name(file: Path) -> None:
    """Raise `InvalidInput` if this is no Python file, or other imports would find it."""
    if file.suffix != ".py" or not file.stem:
        raise InvalidInput(f"{file}: expected the name of a Python file, such as mine.py")
    if file.stem in {*BACKENDS, *sys.stdlib_module_names}:
        raise InvalidInput(f"{file}: an import of {file.stem} would find this file; name it mine.py, say")


def _command(file: Path, backend: str) -> str:
    """The command that checks the file; a name with ``=`` or ``:`` needs what tells it from their meaning."""
    text = str(file)
    text = f"./{text}" if "=" in text and "/" not in text.partition("=")[0] else text
    text = f"{text}:{DEFAULT_FUNCTION}" if ":" in text else text
    arrays = [] if backend == "numpy" else ["--candidate-backend", backend]
    return shlex.join(["crossgrad", "check", "--candidate", text, *arrays, "article", "6-5-3"])
