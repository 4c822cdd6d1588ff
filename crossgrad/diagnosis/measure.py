"""How well an explanation fits: what it leaves of an error, measured against the rounding floor.

An explanation predicts a quantity. The error before it, ``got - right``, and
after it, ``got - predicted``, are both measured as the verdict measures errors:
as a share of what rounding may do (`over_floor`, where 1 is the limit). The
share of the error removed is the confidence, with three rules:

- Correct arithmetic uses about a third of its limits; that much may remain.
- Where more than noise remains, what counts is how many of the error's orders
  of magnitude are gone: nine tenths of an error of a million limits is little.
- The error before is measured with the larger of both rounding noises: an
  explanation that predicts large numbers, and so large noise, does not gain by it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from ..verdict import over_floor

NOISE = 1 / 3
"""Share of the verdict's limits that correct arithmetic commonly uses."""

BEYOND_NOISE = 0.89
"""Largest confidence in an explanation that leaves more than rounding noise."""

CONVINCING = 0.5
"""Below this confidence, that nothing was recognised goes first."""

SURE = 0.9
"""From here on, an explanation accounts for the whole error."""


LARGE, SAMPLE = 20_000, 5_000
"""Elements of a tensor that is sampled first, and about how many are looked at then."""

WORTH_NAMING = 0.3
"""Below this confidence, an explanation is not listed; nor is more looked at than a sample of a tensor."""


class Fit(NamedTuple):
    """Errors in shares of the verdict's limits: without the explanation, and with it."""

    before: float
    after: float


def strayed(got: Array, expected: Uncertain) -> float:
    """How far `got` is from `expected`, in shares of the verdict's limits; infinite if that is no number.

    NaN or infinity where it is expected counts as no error.
    """
    with np.errstate(all="ignore"):
        error, sigma = np.asarray(got - expected.value), np.sqrt(expected.variance)
        share = over_floor(error, sigma)
        if not np.isfinite(share):
            same = (got == expected.value) | (np.isnan(got) & np.isnan(expected.value))
            share = over_floor(np.where(same, 0, error), sigma)
    return share if share >= 0 else np.inf


def fit(got: Array, right: Uncertain, predicted: Uncertain) -> Fit:
    """The errors of `got` beside what is right, and beside what an explanation predicts.

    Of a large tensor, a sample of the elements is enough to see that an explanation fails.
    """
    if got.size > LARGE:
        step = got.size // SAMPLE
        found = _fit(got.ravel()[::step], *(_every(step, tensor) for tensor in (right, predicted)))
        if found.after > 1 and confidence([found]) < WORTH_NAMING:
            return found
    return _fit(got, right, predicted)


def _fit(got: Array, right: Uncertain, predicted: Uncertain) -> Fit:
    louder = Uncertain(right.value, np.maximum(right.variance, predicted.variance))
    return Fit(strayed(got, louder), strayed(got, predicted))


def _every(step: int, tensor: Uncertain) -> Uncertain:
    return Uncertain(tensor.value.ravel()[::step], tensor.variance.ravel()[::step])


def confidence(fits: Iterable[Fit]) -> float:
    """The share of the error that an explanation of one or several quantities removes, 0 to 1."""
    each = list(fits)
    if not each:
        return 0.0
    before, after = max(f.before for f in each), max(f.after for f in each)
    if not np.isfinite(after) or before <= NOISE:
        return 0.0
    remaining = max(0.0, after - NOISE) / (before - NOISE) if np.isfinite(before) else 0.0
    removed = float(max(0.0, 1 - remaining))
    if after <= 1:
        return removed
    orders = np.log(before / after) / np.log(before) if before > after else 0.0
    return min(removed, BEYOND_NOISE * float(orders))


def scaled(tensor: Uncertain, factor: float) -> Uncertain:
    """`factor` times an uncertain tensor."""
    return Uncertain(factor * tensor.value, factor * factor * tensor.variance)
