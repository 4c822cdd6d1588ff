"""What is wrong with a document that a user wrote, key by key."""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from reprlib import repr as shortened
from typing import Any

from pydantic import ValidationError

from .errors import InvalidInput

SHOWN_PROBLEMS = 20

Location = tuple[int | str, ...]


def does_not_describe(
    source: object, what: str, error: ValidationError, known: Callable[[Location], Iterable[str]]
) -> InvalidInput:
    """The error for a document that does not have the form of a model.

    Parameters
    ----------
    source, what
        Where the document comes from, and what it should describe: ``"a network"``.
    known
        The keys that the table around a location may have.
    """
    problems = [_problem(item, known) for item in error.errors()]
    lines = [f"{source} does not describe {what}:", *problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"and {len(problems) - SHOWN_PROBLEMS} more")
    return InvalidInput("\n  ".join(lines))


def _problem(item: Any, known: Callable[[Location], Iterable[str]]) -> str:
    """Where it is, unless it is the document itself, and what is wrong."""
    place = _place(item["loc"])
    return f"{place}: {_reason(item, known)}" if place else _reason(item, known)


def _place(location: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in location)
    return text.removeprefix(".")


def _key(part: str) -> str:
    """A key as TOML writes it: bare if it can be, else quoted; shortened if it is long."""
    return part if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", part) else shortened(part)


def _reason(item: Any, known: Callable[[Location], Iterable[str]]) -> str:
    if item["type"] == "extra_forbidden":
        keys = list(known(item["loc"]))
        near = get_close_matches(str(item["loc"][-1]), keys, n=1)
        return f"unknown key{f', did you mean {near[0]}?' if near else ','} known are {', '.join(keys)}"
    if item["type"] == "list_type" and isinstance(item["input"], dict):
        return f"expected a list of tables: write [[{item['loc'][-1]}]] above each"
    if item["type"] == "list_type":
        return f"expected a list in brackets, got {shortened(item['input'])}"
    if item["type"] == "model_type":
        return f"expected a table of {', '.join(known((*item['loc'], '')))}, got {shortened(item['input'])}"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    found = item["input"].decode(errors="replace") if isinstance(item["input"], bytes) else item["input"]
    return f"{item['msg'][0].lower()}{item['msg'][1:]}, got {shortened(found)}"
