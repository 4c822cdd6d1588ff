"""Where results go: the terminal, or a file that may turn out to be unwritable."""

import sys
from pathlib import Path

import typer

from . import exits


def error(message: str) -> None:
    """Say on stderr what went wrong."""
    typer.echo(f"error: {message}", err=True)


def say(text: str) -> None:
    """Write to stdout; if its reader has gone (``| head``), leave quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise typer.Exit(exits.PIPE_CLOSED) from None


def deliver(text: str, output: Path | None) -> int:
    """Write `text` to `output`, or to stdout if there is none or it cannot be written.

    Returns
    -------
    int
        The exit code: `exits.BAD_INPUT` if the file could not be written, else `exits.OK`.
    """
    if output is None:
        say(text)
        return exits.OK
    try:
        # A name that came from the file system may hold bytes that are no UTF-8.
        output.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as problem:
        say(text)
        reason = getattr(problem, "strerror", None) or problem
        error(f"cannot write {output}: {reason}; the result is above instead")
        return exits.BAD_INPUT
    return exits.OK
