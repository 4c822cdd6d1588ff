"""Sums with the partial sums that they go through, each of which is rounded at its own size.

Where signs vary at random partial sums grow like a random walk. But samples may be sorted, or follow each
other in time, and the weights of neighbouring inputs be alike: where the terms of the first half are of one
sign and those of the second of the other, a sum goes far out before it comes back.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from .arithmetic import row_slices
from .networks.dtypes import Array

APART, MOST = 64, 32
"""Terms between two partial sums that are looked at, of many terms; and the most that are looked at."""

FEWEST, SOME = 16, 8
"""Terms between them at least; and how many are looked at where these suffice: fewer do not go far."""

PIECE = 2**20
"""Elements of an array that is worked on at a time, at least a row: a few megabytes."""


def parts(count: int) -> list[slice]:
    """Terms, in order, in parts that are added up one after the other."""
    number = min(MOST, max(1, count // APART, min(SOME, count // FEWEST)))
    edges = np.linspace(0, count, number + 1).astype(int)
    return [slice(*pair) for pair in pairwise(edges)]


def pieces(array: Array) -> Iterator[slice]:
    """The rows of an array, many at a time: what is made of them takes no memory of the whole one's size."""
    height = max(1, PIECE // max(1, array[:1].size))
    for start in range(0, len(array), height):
        yield slice(start, start + height)


def with_mean_square(count: int, sum_of: Callable[[slice], Array]) -> tuple[Array, Array | None]:
    """A sum, and the mean of the squares of its partial sums, which grow steadily between those looked at.

    From s to t the mean is ``(s**2 + s t + t**2) / 3``: that of equal terms is a third of the sum's square,
    and so it is taken to be of few terms, for which there is None.

    Parameters
    ----------
    count
        Terms of each sum.
    sum_of
        The sum of some of them, a new array.
    """
    first, *others = parts(count)
    total = sum_of(first)
    if not others:
        return total, None
    squares = np.square(total)
    for part in others:
        step = sum_of(part)
        for rows in row_slices(total):
            before, added = total[rows], step[rows]
            squares[rows] += 3 * before * (before + added) + np.square(added)
            before += added
    squares /= 3 * (1 + len(others))
    return total, squares
