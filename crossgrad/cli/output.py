"""Where results go: the terminal, or a file that may turn out to be unwritable.

What is said in sentences is escaped here, as names in it may come from files;
what is rendered (tables, JSON, scripts) was escaped where it was made.
"""

import sys
from pathlib import Path

import typer

from ..escape import terminal
from . import exits


def error(message: str) -> None:
    """Say on stderr what went wrong; lines after the first are indented, so that no name forges one."""
    first, *rest = terminal(message, keep="\n").split("\n")
    lines = [first, *(line if line.startswith("  ") else f"  {line}" for line in rest)]
    typer.echo("error: " + "\n".join(lines), err=True)


def note(sentence: str) -> None:
    """Say on stderr what is no result and no error."""
    typer.echo(terminal(sentence), err=True)


def say(text: str) -> None:
    """Write sentences to stdout."""
    write(terminal(text, keep="\n"))


def write(text: str) -> None:
    """Write to stdout what is rendered; if its reader has gone (``| head``), leave quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise typer.Exit(exits.PIPE_CLOSED) from None


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
        output.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as problem:
        write(text)
        reason = getattr(problem, "strerror", None) or problem
        error(f"cannot write {output}: {reason}; the result is above instead")
        return exits.BAD_INPUT
    return exits.OK
