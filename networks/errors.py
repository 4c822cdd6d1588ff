"""The one error that a user's own input can cause.

The command line turns it into one line on stderr and exit code 2; from Python
it is a ValueError like any other. Its message names the value, says what was
expected and shows the way out.
"""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 80
"""Characters that a message quotes of one value."""


class InvalidInput(ValueError):
    """Something that the user gave cannot be used as it is."""


def unknown(kind: str, got: object, known: Iterable[str]) -> InvalidInput:
    """The error for a name that is in no table: the nearest names first, then all.

    Parameters
    ----------
    kind
        What the name should have named, for example ``"activation"``.
    got
        The name as the user wrote it, or what else was given in its place.
    known
        Every name that would have been accepted.
    """
    names = list(known)
    if not isinstance(got, str):
        return InvalidInput(f"{kind} is {shortened(repr(got))}: expected a name, one of {', '.join(names)}")
    near = get_close_matches(got.lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return InvalidInput(f"unknown {kind} {shortened(repr(got))}: {hint}known are {', '.join(names)}")


def first_line(error: object) -> str:
    """How an exception begins, for frameworks put pages into theirs; its type where it says nothing."""
    return shortened((str(error).strip() or type(error).__name__).splitlines()[0])


def shortened(value: object) -> str:
    """A value as text that fits into a sentence: the middle of a long one is left out."""
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 4 :]}"
