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

BLOCK = 1 << 13
"""Numbers rounded at a time: what is made of them on the way stays in the cache."""


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
        numbers, moved = array.ravel(), np.empty(array.size)
        for start in range(0, numbers.size, BLOCK):
            part = numbers[start : start + BLOCK]
            factor = self._draw(part, 0)
            factor *= self._dtype.unit_roundoff
            factor += 1
            np.multiply(part, factor, out=moved[start : start + BLOCK])
        return moved.reshape(array.shape)

    def of_result(self, array: Array, terms: float) -> Array:
        """The result of an operation that adds up so many terms for each element, and rounds."""
        self._operations += 1
        if not array.size:
            return array
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        moved, count = np.empty(rows.shape), max(1, BLOCK // rows.shape[1])
        for start in range(0, len(rows), count):
            part = rows[start : start + count]
            moved[start : start + count] = self._of_rows(part, terms, crowded=terms > 1 and array.ndim > 0)
        return moved.reshape(array.shape)

    def _of_rows(self, array: Array, terms: float, crowded: bool) -> Array:
        size = np.abs(array)
        size[~np.isfinite(size)] = 0.0  # masks are infinite
        draw = self._draw(array, self._operations)
        draw *= math.sqrt(3)
        if crowded:
            # Where terms cancel, the partial sums were as large as those of the elements beside it.
            squares = np.square(size)
            size = np.maximum(size, np.sqrt(squares + np.mean(squares, axis=-1, keepdims=True)))
        sigma = np.maximum(self._dtype.unit_roundoff * spread(terms) * size, underflow(size, self._dtype))
        with np.errstate(over="ignore", under="ignore"):
            draw *= sigma
            draw += array
            return draw

    def _draw(self, array: Array, operation: int) -> Array:
        """Uniform between -1 and 1, a function of the operation and of the number in the format."""
        salt = (self._seed * 0x632BE59BD9B4E019 + operation * 0xD1342543DE82EF95) % 2**64
        draw = _hashed(array, self._dtype, salt).astype(np.float64)
        draw *= 2.0**-31
        return draw.reshape(array.shape)


def _hashed(numbers: Array, dtype: DType, salt: int) -> Array:
    """Integers of 32 bits: Fibonacci's hash, of which half goes through the finisher of MurmurHash3.

    Knuth 1973, section 6.4; Appleby 2011.
    """
    below = 53 - dtype.precision
    bits = np.array(numbers, np.float64, ndmin=1).view(np.uint64)
    bits += np.uint64((1 << below) >> 1)  # to the nearest
    bits >>= np.uint64(below)
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(salt)
    bits >>= np.uint64(32)
    half = bits.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        half ^= half >> np.uint32(shift)
        half *= np.uint32(factor)
    return half.view(np.int32)


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
