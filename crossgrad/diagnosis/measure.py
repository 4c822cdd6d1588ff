"""How well an explanation fits: what it leaves of an error, measured against the rounding floor.

An explanation predicts a quantity. The error before it, ``got - right``, and
after it, ``got - predicted``, are both measured as the verdict measures errors:
as a share of what rounding may do (`over_floor`, where 1 is the limit). The
share of the error removed is the confidence, with two rules:

- Correct arithmetic uses about a third of its limits; that much may remain.
- The error before is measured with the larger of both rounding noises: an
  explanation that predicts large numbers, and so large noise, does not gain by it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..floor import Uncertain
from ..networks.dtypes import Array
from ..verdict import over_floor

NOISE = 1 / 3
"""Share of the verdict's limits that correct arithmetic commonly uses."""

BEYOND_NOISE = 0.89
"""Largest confidence in an explanation that leaves more than rounding noise."""

SURE = 0.9
"""From here on, an explanation accounts for the whole error."""


class Fit(NamedTuple):
    """Errors in shares of the verdict's limits: without the explanation, and with it."""

    before: float
    after: float


def strayed(got: Array, expected: Uncertain) -> float:
    """How far `got` is from `expected`, in shares of the verdict's limits; infinite if that is no number."""
    with np.errstate(all="ignore"):
        same = (got == expected.value) | (np.isnan(got) & np.isnan(expected.value))
        error = np.where(same, 0, got - expected.value)
        share = over_floor(error, np.sqrt(expected.variance))
    return share if share >= 0 else np.inf


def fit(got: Array, right: Uncertain, predicted: Uncertain) -> Fit:
    """The errors of `got` beside what is right, and beside what an explanation predicts."""
    louder = Uncertain(right.value, np.maximum(right.variance, predicted.variance))
    return Fit(strayed(got, louder), strayed(got, predicted))


def confidence(fits: Iterable[Fit]) -> float:
    """The share of the error that an explanation of one or several quantities removes, 0 to 1."""
    each = list(fits)
    before, after = max(f.before for f in each), max(f.after for f in each)
    if not np.isfinite(after) or before <= NOISE:
        return 0.0
    remaining = max(0.0, after - NOISE) / (before - NOISE) if np.isfinite(before) else 0.0
    removed = float(max(0.0, 1 - remaining))
    return removed if after <= 1 else min(removed, BEYOND_NOISE)


def scaled(tensor: Uncertain, factor: float) -> Uncertain:
    """`factor` times an uncertain tensor."""
    return Uncertain(factor * tensor.value, factor * factor * tensor.variance)
