"""Lists of names, numbers of things, and places in arrays, in a sentence."""

from collections.abc import Iterable, Sequence
from typing import SupportsInt

SHOWN = 4


def listed(names: Sequence[str]) -> str:
    """``dW.2``, ``dW.2 and db.2``, ``dW.3, db.3, dW.2, db.2 and 4 more``."""
    if len(names) <= 1:
        return "".join(names)
    if len(names) > SHOWN + 1:
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def also(names: Sequence[str]) -> str:
    """``; the same in dz.2 and dz.1``, or nothing."""
    return f"; the same in {listed(names)}" if names else ""


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2,000 cases``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def element(index: Iterable[SupportsInt]) -> str:
    """``[0, 3]``; nothing for the one element of an array without dimensions."""
    numbers = ", ".join(str(int(n)) for n in index)
    return f"[{numbers}]" if numbers else ""
