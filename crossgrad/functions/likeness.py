"""Sums whose terms err alike.

A partial sum lies on a grid, whose step is the same from one power of two to the next: terms that are equal,
or nearly, are off by the same amount each time that they are added. So the error of n of them grows
like n, and not like the root of n, as it does where terms differ. How far is found by adding up a few of
the sums from left to right, as nobody's library errs by more.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..networks.dtypes import DTYPES, Array, DType

FEWEST = 64
"""Terms of a sum: of fewer, however alike, the root of their number is enough."""

LINES, LONGEST = 4, 2**22
"""Sums that are added up, of an array of many; and the most terms."""


def terms_alike(array: Array, axes: Sequence[int], dtype: DType) -> float:
    """How many terms that differ would err as much as those that are added up along axes.

    Formats of 16 bits are added up in float32, where nearly all of their noise is of another kind.
    """
    count = math.prod(array.shape[axis] for axis in axes) if array.ndim else 1
    if not FEWEST <= count <= min(LONGEST, array.size):
        return float(count)
    moved = np.moveaxis(array, axes, range(-len(axes), 0))
    kept = moved.shape[: moved.ndim - len(axes)]
    places = np.unique(np.linspace(0, math.prod(kept) - 1, LINES).astype(int))
    lines = [moved[np.unravel_index(place, kept)] for place in places] if kept else [moved]
    off = max(_off_from_left_to_right(line.ravel(), dtype) for line in lines)
    return max(float(count), 9 * (off / dtype.unit_roundoff) ** 2)  # the inverse of `spread`


@np.errstate(all="ignore")
def _off_from_left_to_right(terms: Array, dtype: DType) -> float:
    """The error of a sum one after the other, beside what `Rounding.of_result` takes for its size.

    That is not the sum alone, which is nothing where terms cancel. 0 where there is none to hold it against.
    """
    added_in = np.float64 if dtype.name == "float64" else DTYPES["float32"].storage
    right = float(terms.sum(dtype=np.longdouble))
    found = float(np.add.accumulate(terms.astype(added_in))[-1])
    size = float(np.hypot(right, np.linalg.norm(terms.astype(np.longdouble))))
    off = abs(found - right) / size if size else 0.0
    return off if np.isfinite(off) and off < 1 else 0.0
