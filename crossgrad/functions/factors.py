"""What a factor between two gradients is made of: a count, a mean in place of a sum, a root, a logarithm."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from ..networks.dtypes import Array
from ..words import listed
from .arguments import Arguments, Key, holds_integers, place_of

EXACTLY = 1e-6
"""Of itself, how near to a factor that is made of counts one is."""

WHOLE = 1e-4
"""Relative distance of a factor from a whole number that it is taken for."""

MOST_AXES = 4
"""Of an array whose axes are counted over together, in all ways."""


def written(factor: float) -> str:
    """A factor as people write it: 2, -1/32, 0.3."""
    sign = "-" if factor < 0 else ""
    if _is_whole(abs(factor)):
        return f"{sign}{abs(factor):.0f}"
    if factor and _is_whole(1 / abs(factor)):
        return f"{sign}1/{1 / abs(factor):.0f}"
    return f"{factor:.6g}"


def _is_whole(size: float) -> bool:
    return size >= 1.5 and abs(size - round(size)) <= WHOLE * size


def is_of_counts(factor: float, arguments: Arguments) -> bool:
    """Whether losses may differ by a factor as sums, means, or halves, over other counts."""
    counts = np.array([*_counts(arguments)], np.float64)
    quotients = counts[:, None] / counts
    return any(np.any(np.abs(half * quotients / factor - 1) <= EXACTLY) for half in (1, 2, 1 / 2))


def origin_of(factor: float, arguments: Arguments) -> str:
    """What of the arguments a factor, or its inverse, may come from, in brackets; or nothing."""
    size = max(abs(factor), 1 / abs(factor))
    counts = {count: name for count, name in _counts(arguments).items() if count > 2}
    looks = (
        *((count, f"{count} is {name}") for count, name in counts.items()),
        *((n / (n - 1), f"{n} over {n - 1}; {n} is {name}") for n, name in counts.items()),
        *((math.sqrt(count), f"the root of {count}, which is {name}") for count, name in counts.items()),
        *((math.log(number), f"the natural logarithm of {number}") for number in (2, 10)),
    )
    return next((f" ({told})" for value, told in looks if _is_near(size, max(value, 1 / value))), "")


def _is_near(value: float, expected: float) -> bool:
    return abs(value / expected - 1) <= EXACTLY


def _counts(arguments: Arguments) -> dict[int, str]:
    """What a mean may be taken over, by name: lengths of axes, their products, what a mask lets pass."""
    found = {1: "one"}
    of_data_first = sorted(arguments.values.items(), key=lambda item: item[0] in arguments.differentiated)
    for key, value in of_data_first:
        for count, name in (*_lengths(key, value), *_let_pass(key, value)):
            if count > 1:
                found.setdefault(count, name)
    return found


def _lengths(key: Key, array: Array) -> Iterator[tuple[int, str]]:
    place = place_of(key)
    for axis, length in enumerate(array.shape):
        yield length, f"the length of {place}" if array.ndim == 1 else f"the length of axis {axis} of {place}"
    yield array.size, f"the size of {place}"
    for axes in subsets(array.ndim):
        yield math.prod(array.shape[axis] for axis in axes), f"the size of {axes_told(axes)} of {place}"


def subsets(axes: int) -> list[tuple[int, ...]]:
    """Of an array's axes, the smaller ones first."""
    some = range(min(axes, MOST_AXES))
    return [found for number in range(1, len(some) + 1) for found in combinations(some, number)]


def axes_told(axes: tuple[int, ...]) -> str:
    """``axis 0``, ``axes 2 and 3``."""
    return f"ax{'i' if len(axes) == 1 else 'e'}s {listed([str(axis) for axis in axes])}"


def _let_pass(key: Key, array: Array) -> Iterator[tuple[int, str]]:
    """The ones of a mask, and labels that are not negative, as those to be ignored are."""
    if array.dtype.kind not in "biuf" or not array.size or not holds_integers(array):
        return
    place, low, high = place_of(key), array.min(), array.max()
    if (low, high) == (0, 1):
        yield int(np.count_nonzero(array)), f"the number of ones in {place}"
    if low < 0:
        yield int(np.count_nonzero(array >= 0)), f"the number of labels in {place} that are not negative"
