"""Whole numbers that a user gives: Python's, NumPy's, or of any type that counts as an index."""

import operator

from .errors import InvalidInput, shortened


def whole(value: object) -> int | None:
    """`value` as an int; None if it is no whole number, as True and False are none."""
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's too, which until 2.1 counts as 0 and 1
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def require_whole(what: str, value: object, least: int) -> int:
    """`value` as an int of at least `least`; raise `InvalidInput` if it is none."""
    number = whole(value)
    if number is None or number < least:
        raise InvalidInput(f"{what} is {shortened(repr(value))}: expected a whole number of at least {least}")
    return number
