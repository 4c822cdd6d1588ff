"""Random rounding: results in float64, each with an error such as rounding to a narrower format makes.

This is Monte-Carlo arithmetic (Parker 1997) at the operations that a framework
shows: what the errors of the final result scatter by is the rounding noise of
correct arithmetic in that format, without knowing what is computed.
"""

from dataclasses import dataclass

import numpy as np

from ..networks.dtypes import Array


@dataclass(frozen=True)
class Rounding:
    """A format's unit roundoff, and the seed of the draws: another one for each rerun."""

    unit_roundoff: float
    seed: int

    def draws(self) -> "Draws":
        return Draws(self.unit_roundoff, np.random.Generator(np.random.SFC64(self.seed)))


@dataclass(frozen=True)
class Draws:
    """A stream of random roundings."""

    unit_roundoff: float
    generator: np.random.Generator

    def rounded(self, array: Array) -> Array:
        """Each element with a relative error of at most one unit roundoff, as rounding once would make."""
        u = self.unit_roundoff
        return np.asarray(array * (1 + self.generator.uniform(-u, u, array.shape)))

    def computed(self, array: Array, terms: float) -> Array:
        """The result of an operation that adds up so many terms for each element, and rounds."""
        size = np.where(np.isfinite(array), np.abs(array), 0.0)  # masks are infinite
        if terms > 1 and array.ndim:
            # Where terms cancel, the partial sums were as large as those of the elements beside it.
            size = np.hypot(size, np.sqrt(np.mean(np.square(size), axis=-1, keepdims=True)))
        scale = self.unit_roundoff * spread(terms)
        with np.errstate(over="ignore"):
            return np.asarray(array + scale * size * self.generator.standard_normal(array.shape))


def spread(terms: float) -> float:
    """Standard deviation of the rounding error of a sum, in unit roundoffs of its size.

    One rounding is uniform: 1/sqrt(3). A sum of n equal terms from left to right rounds partial
    sums of 1, 2 ... n terms: ``sqrt(1 + 4 + ... + n**2) / (n * sqrt(3))``, about ``sqrt(n) / 3``.
    Libraries add up in blocks and err less.
    """
    return float(np.sqrt(1 / 3 + terms / 9))
