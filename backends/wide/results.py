"""What the wide reference hands over: float64 arrays, as every other part of crossgrad reads them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ...networks.dtypes import Array
from .pairs import Estimated, Pair

SMALLEST = 2.0**-1074
NO_LOW_BELOW = 2.0**-960
"""Size below which `low` begins to fall out of the range of float64."""


@dataclass(frozen=True)
class Wide:
    """One quantity: each true value lies near ``value + low``, at an estimated distance of `error`.

    All three are float64 in the quantity's shape. Where a value is beyond the
    range of float64, it and its error are infinite.
    """

    value: Array
    low: Array
    error: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Self:
        """Room to be filled block by block with `fill`."""
        return cls(np.empty(shape), np.empty(shape), np.empty(shape))

    def estimated(self, kind: Any) -> Estimated:
        """The same as pairs of a kind."""
        return Estimated(Pair(self.value.astype(kind), self.low.astype(kind)), self.error)

    def fill(self, where: Any, found: Estimated) -> None:
        """Round to the elements that the index `where` selects; the rounding adds to their error."""
        value = found.values.high.astype(np.float64)
        low = ((found.values.high - value) + found.values.low).astype(np.float64)
        size = found.size
        rounding = 2.0**-106 * size + SMALLEST * ((size < NO_LOW_BELOW) & (size > 0))
        finite = np.isfinite(value)
        self.value[where] = value
        self.low[where] = np.where(finite, low, 0.0)
        self.error[where] = np.where(finite, (found.error + rounding).astype(np.float64), np.inf)
