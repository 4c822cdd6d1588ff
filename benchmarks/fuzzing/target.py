"""A target: something that reads bytes, and takes or refuses them.

The only outcomes are a result or a refusal: anything else is raised, as it
came or as an `AssertionError`, and is a finding.
"""

import shutil
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

# Whatever takes a name from what is replaced is imported before: it would keep the stand-in.
from crossgrad.cli import inputs
from crossgrad.networks import memory
from crossgrad.networks.errors import InvalidInput

from .watch import watching

UNPRINTABLE = {"Cc", "Cf", "Co", "Cn", "Zl", "Zp"}
"""Categories of Unicode that a terminal may obey; surrogates, Cs, are left to the stream's error handler."""

ALLOWED = {"\n", "\r", "\x7f"}
"""Ends of lines, CSV's too, and DEL, which terminals ignore and JSON may hold."""

LONGEST_MESSAGE = 20_000
MEMORY = 2**24
"""Bytes that commands believe to have: whatever is drawn is small."""


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Parameters
    ----------
    read
        Called with the bytes and an empty folder; true if they were taken, false if refused.
    seeds
        Inputs to begin with: what is right, so that mutations come close to it.
    words
        Pieces that the inputs are made of.
    prepared
        Entered once around all calls of `read`.
    """

    read: Callable[[bytes, Path], bool]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    prepared: Callable[[], AbstractContextManager[Any]] = field(default=ExitStack)


def assert_shown_well(message: str) -> None:
    """A message says something, has no traceback, is not endless, and is harmless to a terminal."""
    assert message.strip(), "refused without a word"
    assert "Traceback (most recent call last)" not in message, message[-2000:]
    assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
    assert_harmless(message)


def assert_harmless(message: str) -> None:
    """Nothing in it is obeyed by a terminal."""
    # Of the user's own words typer escapes control characters only; crossgrad's own messages go further.
    harmful = UNPRINTABLE if not message.startswith("Usage: ") else {"Cc"}
    found = {c for c in message if unicodedata.category(c) in harmful and c not in ALLOWED}
    assert not found, f"unprintable in what is shown: {found!r}"


def refuses(read: Callable[[Path], object], folder: Path) -> bool:
    """Whether `read` refuses what is in the folder, which is all that it may write to."""
    try:
        with watching(folder):
            read(folder)
    except InvalidInput as problem:
        refusal = str(problem)
    else:
        return False
    assert 0 < len(refusal.strip()) <= LONGEST_MESSAGE, f"a message of {len(refusal)} characters"
    return True


def emptied(folder: Path) -> Path:
    """The folder, with nothing in it."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return folder


def replacing(*stand_ins: tuple[object, str, Any]) -> AbstractContextManager[Any]:
    """Attributes replaced, as (of what, name, by what), and little memory."""
    stack = ExitStack()
    little = [(home, "available_bytes", lambda: MEMORY) for home in (memory, inputs)]
    for home, name, stand_in in (*stand_ins, *little):
        stack.enter_context(patch.object(home, name, stand_in))
    return stack


def words(text: str) -> tuple[bytes, ...]:
    """Pieces of inputs, apart by blanks."""
    return tuple(word.encode() for word in text.split())
