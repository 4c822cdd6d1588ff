"""Losses in ball arithmetic: each a weighted squared distance, value and derivative.

With ``d = a - y``, every loss here is ``w * sum(d**2)`` with a weight w of its
own. The sum is a dot product of d with itself, one rounding in ball arithmetic,
and the derivative by one element of a is ``2 w d``: no other term holds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import arb, arb_mat

from ...networks.dtypes import Array


@dataclass(frozen=True)
class SquaredDistance:
    """``L = w * sum(d**2)``, where w depends on the shape ``(B, O)`` of d."""

    weight: Callable[[int, int], Fraction]

    def value(self, d: Array) -> arb:
        """The loss as a ball; d is an object array ``(B, O)`` of balls."""
        row = arb_mat(1, d.size, d.reshape(-1).tolist())
        loss: arb = self._weighted(d, 1, (row * row.transpose())[0, 0])
        return loss

    def derivative(self, d: Array) -> Array:
        """``dL/da`` ``(B, O)``."""
        da: Array = self._weighted(d, 2, d)
        return da

    def _weighted(self, d: Array, factor: int, value: Any) -> Any:
        w = factor * self.weight(*d.shape)
        return value * w.numerator / w.denominator


LOSSES: Mapping[str, SquaredDistance] = {
    "mse": SquaredDistance(lambda samples, outputs: Fraction(1, samples * outputs)),
    "mse-sum": SquaredDistance(lambda samples, outputs: Fraction(1)),
    "half-mse": SquaredDistance(lambda samples, outputs: Fraction(1, 2 * samples)),
}
