"""Where a leaf of one structure belongs in another, and the layouts in which it could."""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from ..networks.dtypes import Array

MOST_AXES = 4
"""Of arrays whose layouts are tried out."""


@dataclass(frozen=True)
class Place:
    """Where a leaf belongs: the name there, and the axes that bring the array into the layout there.

    Parameters
    ----------
    guessed
        Whether nothing but names and their order speaks for it against another place.
    """

    name: str
    axes: tuple[int, ...]
    guessed: bool = False

    def there(self, array: Array) -> Array:
        return np.transpose(array, self.axes) if self.turned else array

    def back(self, array: Array) -> Array:
        return np.transpose(array, np.argsort(self.axes))

    @property
    def doubt(self) -> str:
        """What is to be said of a guess."""
        return " (a guess: others fit as well)" if self.guessed else ""

    @cached_property
    def turned(self) -> bool:
        return self.axes != tuple(range(len(self.axes)))


def layouts(own: tuple[int, ...], theirs: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The orders of axes that make one shape the other; moving axes of length 1 alone makes no other."""
    if len(own) != len(theirs) or sorted(own) != sorted(theirs):
        return []
    if len(own) > MOST_AXES:
        return [tuple(range(len(own)))] if own == theirs else []
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for axes in permutations(range(len(own))):
        if tuple(own[axis] for axis in axes) == theirs:
            found.setdefault(tuple(axis for axis in axes if own[axis] != 1), axes)
    return list(found.values())
