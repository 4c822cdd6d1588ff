"""Random rounding: results in float64, each with an error such as rounding to a narrower format makes.

This is Monte-Carlo arithmetic (Parker 1997) at the operations that a framework
shows: what the errors of the final result scatter by is the rounding noise of
correct arithmetic in that format, without knowing what is computed.

One thing is not left to chance. Rounding is a function: samples that are alike
are rounded alike, and their errors add up instead of cancelling. So an error
is drawn for each number of the narrow format, by a hash of it, and not for each
element.
"""

import math

import numpy as np

from ..networks.dtypes import Array, DType

UNIFORM = 12**-0.5
"""Standard deviation of what is uniform over a length of 1."""


class Rounding:
    """Rounds to a format at random; each operation, and each seed, in another way.

    Parameters
    ----------
    dtype
        The format.
    seed
        Another one for each rerun.
    """

    def __init__(self, dtype: DType, seed: int) -> None:
        self._dtype, self._seed, self._operations = dtype, seed, 0

    def again(self) -> "Rounding":
        """The same from its beginning."""
        return Rounding(self._dtype, self._seed)

    def of_input(self, array: Array) -> Array:
        """Each element with a relative error of at most one unit roundoff, as rounding once would make."""
        return np.asarray(array * (1 + self._dtype.unit_roundoff * self._draw(array)))

    def of_result(self, array: Array, terms: float) -> Array:
        """The result of an operation that adds up so many terms for each element, and rounds."""
        size = np.where(np.isfinite(array), np.abs(array), 0.0)  # masks are infinite
        draw = math.sqrt(3) * self._draw(array)
        if terms > 1 and array.ndim:
            # Where terms cancel, the partial sums were as large as those of the elements beside it.
            size = np.hypot(size, np.sqrt(np.mean(np.square(size), axis=-1, keepdims=True)))
        sigma = np.maximum(self._dtype.unit_roundoff * spread(terms) * size, underflow(size, self._dtype))
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(array + sigma * draw)

    def _draw(self, array: Array) -> Array:
        """Uniform between -1 and 1, a function of the operation and of the number in the format.

        The hash is the finisher of SplitMix64 (Steele, Lea, Flood 2014).
        """
        self._operations += 1
        salt = (self._seed * 0x632BE59BD9B4E019 + self._operations * 0xD1342543DE82EF95) % 2**64
        below = 53 - self._dtype.precision
        bits = np.array(array, np.float64, ndmin=1).view(np.uint64)
        with np.errstate(over="ignore"):
            bits += np.uint64((1 << below) >> 1)  # to the nearest
            bits >>= np.uint64(below)
            bits *= np.uint64(0x9E3779B97F4A7C15)
            bits += np.uint64(salt)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                bits ^= bits >> np.uint64(shift)
                bits *= np.uint64(factor)
            bits ^= bits >> np.uint64(31)
        return np.asarray((bits >> np.uint64(11)) * 2.0**-52 - 1.0).reshape(array.shape)


def underflow(size: Array, dtype: DType) -> Array:
    """What numbers below the smallest normal one may be off by: all of it, where they are flushed to zero.

    float16 keeps its subnormal numbers in every framework; the error there is of rounding to their spacing.
    """
    below = (size < 2.0**dtype.min_exponent) & (size > 0)
    return np.where(below, dtype.smallest_subnormal * UNIFORM if dtype.name == "float16" else size, 0.0)


def spread(terms: float) -> float:
    """Standard deviation of the rounding error of a sum, in unit roundoffs of its size.

    One rounding is uniform: 1/sqrt(3). A sum of n equal terms from left to right rounds partial
    sums of 1, 2 ... n terms: ``sqrt(1 + 4 + ... + n**2) / (n * sqrt(3))``, about ``sqrt(n) / 3``.
    Libraries add up in blocks and err less.
    """
    return math.sqrt(1 / 3 + terms / 9)
