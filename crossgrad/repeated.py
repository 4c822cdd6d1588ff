"""Two runs of a function on the same numbers: randomness and hidden state show where they differ."""

from collections.abc import Mapping

import numpy as np

from .networks.dtypes import Array

REORDERING = 1024
"""Ulp of the largest element: threads that add up in another order each time stay below."""

TOLD = "two runs on the same numbers differ"
WAY_OUT = "seed its randomness inside, and keep no state"
ADDS_UP = "{:.0f} times the first: gradients add up, set them to zero before each step"
"""Of what PyTorch's ``backward`` leaves in ``.grad``, or a buffer that is written to by ``+=``."""

EXACTLY = 1e-5
"""Of itself, how near to a whole number such a factor is."""


def difference(name: str, one: Array, other: Array, eps: float) -> str | None:
    """Where two results differ by more than sums in another order make, in words; None if nowhere.

    Parameters
    ----------
    eps
        Distance of 1 to the next larger number in their format, 0 if it has no roundings.
    """
    if np.array_equal(one, other, equal_nan=True):
        return None
    if one.shape != other.shape:
        return f"{TOLD}: {name} has shape {one.shape}, then {other.shape}; {WAY_OUT}"
    first, then = np.asarray(one, np.float64), np.asarray(other, np.float64)
    finite = np.isfinite(first) & np.isfinite(then)
    largest = np.max(np.abs(first), initial=0.0, where=finite)
    with np.errstate(all="ignore"):
        near = np.abs(first - then) <= REORDERING * eps * largest
    far = ~np.where(finite, near, (first == then) | (np.isnan(first) & np.isnan(then)))
    if not far.any():
        return None
    index = tuple(int(i) for i in np.unravel_index(np.argmax(far), far.shape))
    numbers = f"{first[index]:.9g}, then {then[index]:.9g}"
    place = f"{name}{list(index) if index else ''}"
    return f"{TOLD}, first at {place}: {numbers}; {_adds_up(first, then) or WAY_OUT}"


@np.errstate(all="ignore")
def _adds_up(first: Array, then: Array) -> str:
    """Whether a result is a whole multiple of the one before, in words; nothing if not."""
    times = float(np.vdot(first, then) / np.vdot(first, first))
    off = np.linalg.norm(then - times * first)
    is_multiple = off <= EXACTLY * np.linalg.norm(then) and abs(times - round(times)) <= EXACTLY * times
    return ADDS_UP.format(times) if first.size > 1 and times > 1.5 and is_multiple else ""


def first_difference(one: Mapping[str, Array], other: Mapping[str, Array], eps: float) -> str | None:
    """The first of all quantities of a run that differ in another."""
    if unlike := sorted(one.keys() ^ other.keys()):
        return f"{TOLD}: only one of them gives {unlike[0]}; {WAY_OUT}"
    found = (difference(name, value, other[name], eps) for name, value in one.items())
    return next((told for told in found if told is not None), None)
