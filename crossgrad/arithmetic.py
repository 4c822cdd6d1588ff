"""How an engine rounds: the variance of one rounding, of a sum, of a product's inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from .networks.dtypes import DTYPES, Array, DType

TINY = 1e-150
"""Errors below this are not told from zero: their squares would underflow."""

SURELY, WIDEST = 5.0, 2.0**-9
"""Standard deviations by which more terms must be alike than chance brings together; and how far apart they
may be, beside themselves: over a wider cell terms are not evenly many.
"""

SELDOM = 0.1
"""Terms that chance brings near another: of fewer, all that are near are alike."""

SMALL = 1 << 14
"""Elements of an array that is worked on whole."""

ELEMENTS = 1 << 16
"""Of a larger one worked on at a time, at most: half a megabyte of float64; and at most a sixteenth of it."""


class Uncertain(NamedTuple):
    """A tensor in float64, and the variance of each element's rounding error."""

    value: Array
    variance: Array


def row_slices(array: Array) -> Iterator[slice]:
    """The rows of an array, a few at a time."""
    width = max(1, array[:1].size)
    height = len(array) if array.size <= SMALL else min(ELEMENTS // width, ceil(len(array) / 16))
    height = max(1, height)
    for start in range(0, len(array), height):
        yield slice(start, start + height)


def row_blocks(W: Array) -> Iterator[tuple[slice, Array]]:
    """The rows of a weight matrix in float64, a few at a time: it is never copied or squared whole."""
    for rows in row_slices(W):
        yield rows, np.asarray(W[rows], np.float64)


@dataclass(frozen=True)
class Arithmetic:
    """Where an engine rounds, and to what.

    Parameters
    ----------
    stored
        Unit roundoff of what is kept.
    summed
        Unit roundoff of the sums inside a matrix product or reduction.
    multiplied
        Unit roundoff of a matrix product's inputs: 0 unless TF32 rounds them.
    threshold
        Results below this may be flushed to zero, or be subnormal with as large an error.
    """

    stored: float
    summed: float
    multiplied: float
    threshold: float

    @classmethod
    def of(cls, dtype: DType) -> "Arithmetic":
        """The arithmetic that engines use for `dtype`.

        float16 and bfloat16 are summed in float32; XLA may flush subnormals to
        zero, except in float16, which it computes in float32.
        """
        single = DTYPES["float32"].unit_roundoff
        stored = single if dtype.name == "tf32" else dtype.unit_roundoff
        return cls(
            stored=stored,
            summed=min(stored, single),
            multiplied=dtype.unit_roundoff if dtype.name == "tf32" else 0.0,
            threshold=max(
                dtype.smallest_subnormal if dtype.name == "float16" else 2.0**dtype.min_exponent, TINY
            ),
        )

    @property
    def per_rounding(self) -> float:
        """Variance of one rounding to what is stored, for each square of the value."""
        return self.stored**2 / 3

    def noise(self, value: Array, per_square: float) -> Array:
        """Variance of an error relative to `value`, and of what happens below the threshold."""
        variance: Array = np.square(value)
        variance *= per_square
        variance += self.threshold**2
        return variance

    def rounding(self, value: Array, times: float = 1.0) -> Array:
        """Variance of rounding `value` to what is stored, `times` over."""
        return self.noise(value, times * self.per_rounding)

    def per_square(self, terms: float) -> float:
        """Variance of summing products one after the other, for each of their squares.

        Each product is rounded once, and each partial sum s_k: ``u**2/3 (sum
        p_k**2 + sum s_k**2)``. Where signs vary, partial sums grow like a random
        walk, ``s_k**2 ~ k p**2``, and their squares add up to ``n/2 sum p_k**2``. Where an order
        of terms makes them larger, `per_partial_sum` counts instead.

        Parameters
        ----------
        terms
            How many they are; of those that are alike, as `terms_alike` counts them.
        """
        return self.summed**2 / 3 * (1 + terms / 2) + 2 * self.multiplied**2 / 3

    def per_partial_sum(self, terms: float) -> float:
        """Variance of rounding so many partial sums, for each of their mean square."""
        return self.summed**2 / 3 * terms

    def per_total(self, terms: float) -> float:
        """The rest of it where products have one sign, for each square of the sum, and its rounding.

        Partial sums then grow steadily, ``s_k ~ total k/n``; their squares add up to ``n/3 total**2``.
        """
        return self.summed**2 / 9 * terms + self.per_rounding

    @np.errstate(all="ignore")
    def likeness(self, *factors: Array) -> Array:
        """Of each product in many sums, how many meet the same error as it, itself among them: ``(n,)``.

        What is added to a partial sum is rounded to that one's grid, whose step is the same from one power of
        two to the next: equal terms are off by the same amount, each time. So are terms that differ by less
        than the step, which is up to 2 n u of a term, and not what chance brings so near: of these there are
        twice as many within twice the distance.

        Parameters
        ----------
        factors
            A number ``(n,)`` for each of the n products that is equal where a factor is, in all sums: the
            factor's product with random numbers.
        """
        count = len(factors[0])
        near = min(2 * 2 * count * self.summed, WIDEST)
        found = _meetings(factors, near)
        if count * near > SELDOM:
            found = np.minimum(found, 2 * found - _meetings(factors, 2 * near))
            found[found - 1 <= SURELY * np.sqrt(count * near)] = 1
        return found

    def terms_alike(self, *factors: Array) -> float:
        """How many independent terms would err as much as these do: m of a kind, as m squared."""
        alike = self.likeness(*factors)
        return float(np.where(np.all(factors, axis=0), alike, 1.0).sum())  # zeros are added without an error


def _meetings(factors: Sequence[Array], near: float) -> Array:
    """Of each number, or pair of them, how many are in the same cell, cells being so wide beside it.

    In one of two sets of cells, as equal numbers that rounding has moved may lie on either side of an edge.
    """
    return np.maximum(_in_cells(factors, near, 0.0), _in_cells(factors, near, 0.5))


def _in_cells(factors: Sequence[Array], near: float, edge: float) -> Array:
    keys = np.zeros(len(factors[0]), np.uint64)
    for found in factors:
        mantissa, exponent = np.frexp(np.nan_to_num(found))
        for part in (np.rint(mantissa / near + edge), exponent):
            keys = (keys ^ part.astype(np.int64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    _, cell, count = np.unique(keys, return_inverse=True, return_counts=True)
    meetings: Array = count[cell].astype(np.float64)
    return meetings
