"""An array that is computed where it is looked at: it takes no memory until then."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .networks.dtypes import Array


class Computed:
    """Elements by a formula, each by itself.

    Parameters
    ----------
    part
        Computes the elements from `start` to `stop` of the flattened array.
    """

    def __init__(self, shape: tuple[int, ...], part: Callable[[int, int], Array]) -> None:
        self.shape, self._part = shape, part

    @property
    def size(self) -> int:
        return prod(self.shape)

    def ravel(self) -> "Computed":
        return Computed((self.size,), self._part)

    def __getitem__(self, place: Any) -> Any:
        """A slice of a flat array, or one element."""
        if isinstance(place, slice):
            start, stop, _ = place.indices(self.size)
            return self._part(start, stop)
        flat = int(np.ravel_multi_index(place, self.shape))
        return self._part(flat, flat + 1)[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole: Array = self._part(0, self.size).reshape(self.shape)
        return whole if dtype is None else whole.astype(dtype)
