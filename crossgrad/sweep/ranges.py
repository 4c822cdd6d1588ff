"""Ranges as a user writes them, ``1..12`` or one number, and log-uniform draws from them.

A range is kept as text in its one spelling, so that a plan can be written down
and read back; `bounds` are its numbers.
"""

import re
from math import exp, log
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, WithJsonSchema

from ..networks.spec import LARGEST_COUNT
from .ids import LARGEST_SCALE

_NUMBER = r"[0-9]{1,13}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?"
_COUNT = r"[0-9]{1,13}"
DRAWN_DIGITS = 3
"""Significant digits of a scale that is drawn: an id then stays readable."""


def bounds(text: str) -> tuple[float, float]:
    """Smallest and largest number of a range."""
    low, _, high = text.partition("..")
    return float(low), float(high or low)


def draw_count(rng: np.random.Generator, text: str) -> int:
    """A whole number of the range, each binade as often as any other."""
    low, high = bounds(text)
    drawn = exp(rng.uniform(log(low), log(high + 1)))
    return int(min(max(drawn, low), high))


def draw_scale(rng: np.random.Generator, text: str) -> float:
    """A number of the range, log-uniform; the one number of a range that is one is not rounded."""
    low, high = bounds(text)
    if low == high:
        return low
    drawn = float(f"{exp(rng.uniform(log(low), log(high))):.{DRAWN_DIGITS}g}")
    return min(max(drawn, low), high)


def _counts(value: Any) -> str:
    if (_is_number(value) and int(value) == value) or _has_form(value, _COUNT):
        low, high = (int(number) for number in bounds(str(value)))
        if 1 <= low <= high <= LARGEST_COUNT:
            return f"{low}..{high}" if low < high else str(low)
    raise ValueError(
        f"expected a whole number or a range of them such as 1..12, "
        f"from 1 to {LARGEST_COUNT:,}, got {_quoted(value)}"
    )


def _scales(value: Any) -> str:
    if _is_number(value) or _has_form(value, _NUMBER):
        low, high = bounds(str(value))
        if 1 / LARGEST_SCALE <= low <= high <= LARGEST_SCALE:
            return "..".join(repr(n).removesuffix(".0") for n in dict.fromkeys((low, high)))
    raise ValueError(
        f"expected a number or a range such as 0.1..12, "
        f"from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}, got {_quoted(value)}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_COUNT


def _has_form(value: Any, number: str) -> bool:
    return isinstance(value, str) and re.fullmatch(rf"{number}(\.\.{number})?", value) is not None


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def _schema(number: str, **of_one: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [of_one, {"type": "string", "pattern": rf"^{number}(\.\.{number})?$"}]})


Counts = Annotated[
    str, BeforeValidator(_counts), _schema(_COUNT, type="integer", minimum=1, maximum=LARGEST_COUNT)
]
Scales = Annotated[
    str,
    BeforeValidator(_scales),
    _schema(_NUMBER, type="number", minimum=1 / LARGEST_SCALE, maximum=LARGEST_SCALE),
]
