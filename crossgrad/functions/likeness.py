"""How many terms of a sum err alike.

A partial sum lies on a grid, whose step is the same from one power of two to the next: terms that are equal,
or nearly, are off by the same amount each time that they are added. So the error of n of them grows
like n, and not like the root of n, as it does where terms differ.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..networks.dtypes import DTYPES, Array, DType

FEWEST = 64
"""Terms of a sum: of fewer, however alike, the root of their number is enough."""

LINES, SAMPLED = 4, 2048
"""Sums that are looked into, and terms of each."""

SURE = 5.0
"""Standard deviations by which more terms must be alike than chance brings together."""


def terms_alike(array: Array, axes: Sequence[int], dtype: DType) -> float:
    """How many terms that differ would err as much as those that are added up along axes.

    Formats of 16 bits are added up in float32, or nearly all of their noise is of another kind.
    """
    count = math.prod(array.shape[axis] for axis in axes)
    if count < FEWEST or array.size < count:
        return float(count)
    moved = np.moveaxis(array, axes, range(-len(axes), 0))
    kept = moved.shape[: moved.ndim - len(axes)]
    places = np.linspace(0, math.prod(kept) - 1, LINES).astype(int)
    lines = {int(place): moved[np.unravel_index(place, kept)] for place in places} if kept else {0: moved}
    added = min(dtype.unit_roundoff, DTYPES["float32"].unit_roundoff)
    share = max(_share_alike(line.ravel(), count * added) for line in lines.values())
    return float(count + share * count**2 * (added / dtype.unit_roundoff) ** 2)


@np.errstate(all="ignore")
def _share_alike(terms: Array, near: float) -> float:
    """The probability that two terms are alike to within a share of their size, as no chance explains it.

    Of terms that differ, twice as many meet in cells twice as large; of those that are alike, as many.
    """
    sampled = terms[:: max(1, len(terms) // SAMPLED)]
    some = sampled[np.isfinite(sampled) & (sampled != 0)]  # zeros are added without an error
    if len(some) < 2:
        return 0.0
    size = np.sqrt(np.mean(np.square(some)))
    fine, coarse = (_meetings(np.rint(some / (size * near * wide))) for wide in (1, 2))
    share = 2 * fine - coarse
    if not share > SURE * math.sqrt(coarse) / len(some):
        return 0.0
    return float(share * (len(some) / len(sampled)) ** 2)


def _meetings(cells: Array) -> float:
    _, counts = np.unique(cells, return_counts=True)
    return float(np.sum(counts * (counts - 1.0)) / (len(cells) * (len(cells) - 1.0)))
