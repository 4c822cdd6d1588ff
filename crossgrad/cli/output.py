"""Where results go: the terminal, or a file that may turn out to be unwritable.

What is said in sentences is escaped here, as names in it may come from files;
what is rendered (tables, JSON, scripts) was escaped where it was made.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from ..escape import terminal
from ..networks.errors import InvalidInput
from ..networks.files import is_there, reason_of, require_writable, written_whole
from . import exits


def error(message: str) -> None:
    """Say on stderr what went wrong; lines after the first are indented, so that no name forges one."""
    first, *rest = terminal(message, keep="\n").split("\n")
    lines = [first, *(line if line.startswith("  ") else f"  {line}" for line in rest)]
    tell("error: " + "\n".join(lines))


def note(sentence: str) -> None:
    """Say on stderr what is no result and no error."""
    tell(terminal(sentence))


def tell(lines: str) -> None:
    """Write to stderr; where that takes nothing, as on a full disk, the exit code still tells."""
    with suppress(OSError):
        typer.echo(lines, err=True)


def say(text: str) -> None:
    """Write sentences to stdout."""
    write(terminal(text, keep="\n"))


def write(text: str) -> None:
    """Write to stdout what is rendered; if its reader has gone (``| head``), leave quietly.

    Raises
    ------
    InvalidInput
        If stdout cannot be written, as on a full disk.
    """
    with to_stdout():
        sys.stdout.write(text.translate(_plainer(sys.stdout.encoding or "utf-8")))
        sys.stdout.flush()


PLAIN = {"─": "-", "·": ",", "µ": "u", "±": "+-"}
"""What tables are made of, for a terminal that has less: a rule of escapes would be six times as wide."""


def _plainer(encoding: str) -> dict[int, str]:
    lacking = (sign for sign in PLAIN if sign.encode(encoding, "ignore") == b"")
    return {ord(sign): PLAIN[sign] for sign in lacking}


@contextmanager
def to_stdout() -> Iterator[None]:
    """Turn what goes wrong while stdout is written into exit codes."""
    try:
        yield
    except BrokenPipeError:
        raise typer.Exit(exits.PIPE_CLOSED) from None
    except OSError as problem:
        raise InvalidInput(f"cannot write to stdout: {reason_of(problem)}") from None


def stdout_problem() -> str | None:
    """Why stdout takes nothing, if it does not; found out by an empty line, as less would be taken."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as problem:
        return reason_of(problem)
    return None


def require_output(output: Path | None, read: Iterable[Path] = (), form: str = "json") -> None:
    """Raise `InvalidInput` before the work if its result could not be written there, or over what is read.

    So it is if a file named as JSON would have another form in it, which nothing could read again.
    """
    if output is None:
        return
    require_writable(output)
    if is_there(output) and any(is_there(file) and output.samefile(file) for file in read):
        raise InvalidInput(f"{output} is what is read: name another one")
    if output.suffix.lower() == ".json" and form != "json":
        raise InvalidInput(
            f"-o {output}: the result would be {form}; add --format json, or name another file"
        )


def deliver(text: str, output: Path | None) -> int:
    """Write `text`, rendered, to `output`, or to stdout if there is none or it cannot be written.

    Returns
    -------
    int
        The exit code: `exits.BAD_INPUT` if the file could not be written, else `exits.OK`.
    """
    if output is None:
        write(text)
        return exits.OK
    try:
        # A name that came from the file system may hold bytes that are no UTF-8.
        with written_whole(output) as file:
            file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as problem:
        write(text)
        reason = reason_of(problem)
        error(f"cannot write {output}: {reason}; the result is above instead")
        return exits.BAD_INPUT
    return exits.OK
