"""The right numbers in the wrong places: transposed, rows or columns in another order, rolled, reversed."""

from collections.abc import Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from ..verdict import ELEMENT_LIMIT
from .explanation import Explanation
from .record import PERMUTATION, SAMPLE_REPEATED, TRANSPOSE
from .site import Site

LARGEST_MATCHED = 2048
"""Rows or columns; every one is compared with every other."""

PER_SAMPLE = frozenset(("z", "a", "da", "dz"))
"""Quantities with a row a sample."""


def find_order(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain `got` as `right` in another order."""
    rows = ("samples" if site.kind in PER_SAMPLE else "rows") if got.ndim == 2 else "elements"
    if got.ndim == 2 and site.kind not in PER_SAMPLE:
        yield from _transposed(right)
    if got.ndim >= 1:
        yield from _along(0, rows, got, right)
    if got.ndim == 2:
        yield from _along(1, "units" if site.kind in PER_SAMPLE else "columns", got, right)
        yield from _shuffled(got, right)


def _transposed(right: Uncertain) -> Iterator[Explanation]:
    shape = right.value.shape
    if min(shape) == 1:
        return
    if shape[0] == shape[1]:
        predicted = Uncertain(right.value.T, right.variance.T)
        yield Explanation(TRANSPOSE, "is transposed", predicted)
    else:
        predicted = Uncertain(right.value.T.reshape(shape), right.variance.T.reshape(shape))
        text = "has its elements in column order where row order is meant (or the reverse)"
        yield Explanation(PERMUTATION, text, predicted)


def _along(axis: int, what: str, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Match each row (or column, or element) of `got` with the row of `right` that is nearest to it."""
    count = got.shape[axis]
    if not 1 < count <= LARGEST_MATCHED or not np.isfinite(got).all():
        return
    order = nearest(slices(got, axis), slices(right.value, axis))
    if (order == np.arange(count)).all():
        return
    rows_are_elements = got.size == count
    predicted = Uncertain(right.value.take(order, axis), right.variance.take(order, axis))
    if len(np.unique(order)) == count:
        if rows_are_elements and np.sum(order != np.arange(count)) <= count / 4:
            return  # a few elements in each other's place
        text = f"has its {what} {movement(order)}"
        yield Explanation(PERMUTATION, text, predicted, detail=what)
    elif what == "samples":
        i = int(np.argmax(order != np.arange(count)))
        text = f"holds sample {order[i]} in the place of sample {i}"
        yield Explanation(SAMPLE_REPEATED, text, predicted, certainty=0.95)


def slices(array: Array, axis: int) -> Array:
    """What lies along an axis, a row each."""
    moved = np.moveaxis(array, axis, 0)
    return moved.reshape(len(moved), -1)


def nearest(got: Array, right: Array) -> Array:
    """For each row of `got`, the index of the nearest row of `right`; its own where that is as near."""
    scale = float(np.max(np.abs(right))) or 1.0
    got, right = got / scale, right / scale
    with np.errstate(all="ignore"):
        # |g - r|**2 less |g|**2, which is the same for all r
        distance = np.square(right).sum(axis=1) - 2 * got @ right.T
    found, own = np.argmin(distance, axis=1), np.arange(len(got))
    return np.where(distance[own, found] < np.diagonal(distance), found, own)


def movement(order: Array) -> str:
    count = len(order)
    if (order == np.arange(count)[::-1]).all():
        return "in reverse order"
    step = int(-order[0] % count)
    if (order == (np.arange(count) - step) % count).all():
        return f"moved on by {step}" if step <= count // 2 else f"moved back by {count - step}"
    moved = np.flatnonzero(order != np.arange(count))
    some = ", ".join(f"{order[i]} in the place of {i}" for i in moved[:3])
    return f"in another order: {some}" + (f" ({len(moved)} moved in all)" if len(moved) > 3 else "")


def _shuffled(got: Array, right: Uncertain) -> Iterator[Explanation]:
    """All numbers are there, wherever they are: the sorted elements agree."""
    theirs, ours = np.argsort(got, axis=None), np.argsort(right.value, axis=None)
    value, variance = np.empty(got.size), np.empty(got.size)
    value[theirs], variance[theirs] = right.value.ravel()[ours], right.variance.ravel()[ours]
    predicted = Uncertain(value.reshape(got.shape), variance.reshape(got.shape))
    if np.sum(np.abs(got - right.value) > ELEMENT_LIMIT * np.sqrt(right.variance)) <= got.size / 4:
        return  # a few elements in each other's place
    text = "holds the right numbers in the wrong places"
    yield Explanation(PERMUTATION, text, predicted, certainty=0.9, detail="elements")
