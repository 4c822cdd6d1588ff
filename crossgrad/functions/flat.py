"""Arrays end to end in float64: what is done to all of them is done at once."""

from collections.abc import Mapping
from math import prod
from typing import Generic, TypeVar

import numpy as np

from ..networks.dtypes import Array

Name = TypeVar("Name")


class Flat(Generic[Name]):
    """Arrays by name, laid end to end: `values`."""

    def __init__(self, arrays: Mapping[Name, Array]) -> None:
        self._shapes = {name: array.shape for name, array in arrays.items()}
        self.values = np.empty(sum(map(prod, self._shapes.values())))
        for name, part in self.apart(self.values).items():
            part[...] = arrays[name]

    def apart(self, values: Array) -> dict[Name, Array]:
        """Views of what is laid out like `values`, each in its shape."""
        found, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + prod(shape)
            found[name] = values[start:stop].reshape(shape)
            start = stop
        return found
