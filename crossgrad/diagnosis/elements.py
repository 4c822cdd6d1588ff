"""A few elements wrong, all others right: which, and where they lie."""

from collections.abc import Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from ..verdict import ELEMENT_LIMIT
from ..words import element
from .explanation import Explanation
from .record import ELEMENTS, SAMPLE_DROPPED
from .site import Site

LISTED = 4
"""Indices that are listed one by one."""

FEW = 1 / 4
"""Share of a tensor that counts as a few, where what is wrong has no shape."""


def find_elements(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain `got` as `right` but for a few elements, or for whole rows or columns."""
    with np.errstate(all="ignore"):
        close = np.abs(got - right.value) <= ELEMENT_LIMIT / 2 * np.sqrt(right.variance)
    wrong: Array = np.logical_not(close)
    lines, place = _whole_lines(got, wrong)
    wrong = wrong | lines
    count = int(wrong.sum())
    if not 0 < count < got.size:
        return
    change = _change(got, right, wrong)
    predicted = Uncertain(np.where(wrong, got, right.value), right.variance)
    certainty = 1.0 if change else 0.85 if place or count <= LISTED else 0.55
    if not place and count > FEW * got.size:
        certainty *= 1 - count / got.size
    text = f"is wrong in {count} of {got.size} elements only, {place or _listed(wrong)}"
    yield Explanation(ELEMENTS, text + (f": {change}" if change else ""), predicted, None, certainty)
    if _samples_without_derivative(site, got, wrong):
        samples = np.flatnonzero(wrong.any(axis=1))
        text = f"is zero for {samples_named(samples)}: dropped from the loss's derivative"
        yield Explanation(SAMPLE_DROPPED, text, predicted)


def _whole_lines(got: Array, wrong: Array) -> tuple[Array, str]:
    """Rows or columns that are zero throughout and wrong somewhere: the mask, and their names."""
    none = np.zeros_like(wrong)
    if got.ndim != 2 or not wrong.any():
        return none, ""
    for axis, what in ((1, "row"), (0, "column")):
        lines = np.asarray(~got.any(axis=axis) & wrong.any(axis=axis))
        mask = none | np.expand_dims(lines, axis)
        if lines.any() and min(got.shape) > 1 and not (wrong & ~mask).any():
            return mask, _lines_named(np.flatnonzero(lines), len(lines), what)
    for axis, what in ((1, "row"), (0, "column")):
        lines = np.asarray(wrong.any(axis=axis))
        if got.shape[axis] > 2 and len(lines) > 1 and lines.sum() == 1 and wrong.sum() > got.shape[axis] / 2:
            return none, _lines_named(np.flatnonzero(lines), len(lines), what)
    return none, ""


def _lines_named(indices: Array, count: int, what: str) -> str:
    if len(indices) == 1:
        index = int(indices[0])
        where = " (the last)" if index == count - 1 else " (the first)" if index == 0 else ""
        return f"{what} {index}{where}"
    if (np.diff(indices) == 1).all():
        return f"{what}s {indices[0]} to {indices[-1]}" + (" (the last)" if indices[-1] == count - 1 else "")
    return f"{what}s " + ", ".join(map(str, indices[:LISTED])) + (" ..." if len(indices) > LISTED else "")


def _listed(wrong: Array) -> str:
    found = np.argwhere(wrong)
    text = ", ".join(element(index) for index in found[:LISTED])
    if len(found) > LISTED:
        return text + f" ... {element(found[-1])}"
    last = len(found) == 1 and len(wrong) > 1 and tuple(found[0]) == tuple(n - 1 for n in wrong.shape)
    return f"{text} (the last)" if last else text


def _change(got: Array, right: Uncertain, wrong: Array) -> str:
    """What happened to the wrong elements, where it is the same for all."""
    theirs, ours, sigma = got[wrong], right.value[wrong], np.sqrt(right.variance[wrong])
    if not np.isfinite(theirs).all():
        return "not finite"
    if not theirs.any():
        return "zero there"
    if (np.abs(theirs - 2 * ours) <= 2 * ELEMENT_LIMIT * sigma).all():
        return "twice what it should be there"
    if len(theirs) == 2 and (np.abs(theirs - ours[::-1]) <= ELEMENT_LIMIT * (sigma + sigma[::-1])).all():
        return "in each other's place"
    return ""


def _samples_without_derivative(site: Site, got: Array, wrong: Array) -> bool:
    """Whether whole rows of the loss's derivative are zero, a row a sample."""
    if site.kind != "da" or site.layer != site.depth:
        return False
    return not got[wrong.any(axis=1)].any()


def samples_named(samples: Array) -> str:
    """``sample 3``, ``samples 0 and 4``, ``samples 16 to 30``."""
    if len(samples) == 1:
        return f"sample {samples[0]}"
    if len(samples) > 2 and (np.diff(samples) == 1).all():
        return f"samples {samples[0]} to {samples[-1]}"
    shown = ", ".join(map(str, samples[:-1][:LISTED]))
    return f"samples {shown} and {samples[-1]}" if len(samples) <= LISTED + 1 else f"samples {shown} ..."
