"""Intervals by the rules of IEEE 754, in which infinities and NaN have a place.

A sum is its positive terms less its negative ones, ``P - N``. Its terms may be
added in any order, with or without fused products, in the dtype or in a wider one: so both
parts are kept apart until somebody says what is beyond the range.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from .networks.dtypes import Array

Times = Callable[[Array, Array], Array]
"""A product of numbers, or of matrices."""

SCALE = 2.0**-64
"""What least sums are multiplied by: in float64 too, some are beyond the range for sure."""

BEYOND_ALL = 2.0**1000
"""Least sums that are larger are held as this: their sums are no infinities then."""


@dataclass(frozen=True)
class Range:
    """What each element of a tensor may be.

    Parameters
    ----------
    lo, hi
        The least and the greatest, an infinity where it may be that; ``lo > hi`` where it is NaN for sure.
    nan
        Whether it may be NaN.
    known
        Whether its value is known from elsewhere, unless it overflows.
    """

    lo: Array
    hi: Array
    nan: Array
    known: Array

    @classmethod
    def of(cls, values: Array | float, tiny: float) -> "Range":
        """Given numbers; those below `tiny` may be flushed to zero."""
        value = np.asarray(values, np.float64)
        lo, hi = (np.where(np.abs(value) < tiny, end(value, 0), value) for end in (np.minimum, np.maximum))
        return cls(lo, hi, np.zeros(value.shape, bool), np.ones(value.shape, bool))

    @cached_property
    def settled(self) -> Array:
        """Whether it is finite for sure, and known."""
        settled: Array = self.known & ~self.nan & np.isfinite(self.lo) & np.isfinite(self.hi)
        return settled

    @property
    def lost(self) -> Array:
        """Whether it is NaN for sure."""
        lost: Array = self.lo > self.hi
        return lost

    def may_be(self, value: float) -> Array:
        """Whether a finite value, or either infinity, is in the range."""
        sizes = self.magnitude
        found: Array = sizes.hi == value if np.isinf(value) else (self.lo <= value) & (value <= self.hi)
        return found

    def must_be(self, value: float) -> Array:
        """Whether it is a finite value, or one of the infinities, for sure, or NaN."""
        sizes = self.magnitude
        found: Array = sizes.lo == value if np.isinf(value) else (self.lo == value) & (value == self.hi)
        return found

    @property
    def magnitude(self) -> "Range":
        lo, hi = np.maximum(np.maximum(self.lo, -self.hi), 0), np.maximum(self.hi, -self.lo)
        return Range(lo, hi, self.nan, self.known)

    @property
    def negative(self) -> "Range":
        return Range(-self.hi, -self.lo, self.nan, self.known)

    @property
    def most(self) -> Array:
        """The most that it adds to a sum of positive numbers, and of negative ones: ``(2, ...)``."""
        most: Array = np.maximum([self.hi, -self.lo], 0.0)
        return most

    @property
    def least(self) -> Array:
        """The least that it adds."""
        least: Array = np.maximum([self.lo, -self.hi], 0.0)
        return least


@dataclass(frozen=True)
class Terms:
    """Sums that nobody has added up yet.

    Parameters
    ----------
    most
        The largest that the positive terms may come to, and the negative ones: ``(2, ...)``.
    least
        The smallest, times `SCALE`; infinite where a term is for sure.
    nan, lost
        Whether a term may be NaN, and whether one is for sure.
    known
        Whether all that the terms are made of is settled.
    count
        How many terms a sum has.
    """

    most: Array
    least: Array
    nan: Array
    lost: Array
    known: Array
    count: int

    @classmethod
    def of(cls, x: Range) -> "Terms":
        """One term each."""
        return cls(x.most, SCALE * x.least, x.nan, x.lost, x.settled, 1)

    @classmethod
    def of_products(cls, x: Range, y: Range, times: Times = np.multiply, count: int = 1) -> "Terms":
        """The products ``x * y``; or those that a product of matrices adds up, `count` for each sum."""
        most = _by_sign(x.most, y.most, times, np.inf)

        def some(one: Array, other: Array) -> Array:
            if not (one.any() and other.any()):
                return np.zeros(most.shape[1:], bool)
            found: Array = times(one.astype(np.float32), other.astype(np.float32)) > 0
            return found

        any_x, any_y = np.ones(x.lo.shape), np.ones(y.lo.shape)
        nan = some(x.nan, any_y) | some(any_x, y.nan)
        nan |= some(x.may_be(0), y.may_be(np.inf)) | some(x.may_be(np.inf), y.may_be(0))
        if times is np.multiply:
            lost = x.lost | y.lost | x.must_be(0) & y.must_be(np.inf) | x.must_be(np.inf) & y.must_be(0)
        else:  # libraries' products of matrices may leave out factors of zero, whatever they stand beside
            lost = some(x.lost, ~y.may_be(0)) | some(~x.may_be(0), y.lost)
        return cls(
            most,
            _by_sign(SCALE * x.least, y.least, times, BEYOND_ALL),
            nan,
            lost,
            ~(some(~x.settled, any_y) | some(any_x, ~y.settled)),
            count,
        )

    def __add__(self, other: "Terms") -> "Terms":
        return Terms(
            self.most + other.most,
            self.least + other.least,
            self.nan | other.nan,
            self.lost | other.lost,
            self.known & other.known,
            self.count + other.count,
        )

    def summed(self, *axes: int) -> "Terms":
        """Sums of these over axes, which stay, of length 1."""
        signed = tuple(axis + 1 for axis in axes)
        return Terms(
            self.most.sum(axis=signed, keepdims=True),
            self.least.sum(axis=signed, keepdims=True),
            np.logical_or.reduce(self.nan, axis=axes, keepdims=True),
            np.logical_or.reduce(self.lost, axis=axes, keepdims=True),
            np.logical_and.reduce(self.known, axis=axes, keepdims=True),
            self.count * prod(self.nan.shape[axis] for axis in axes),
        )


def _by_sign(x: Array, y: Array, times: Times, largest: float) -> Array:
    """Sums of positive products, and of negative ones; infinite, or at most `largest` if no factor is."""
    finite_x, finite_y = (np.where(np.isinf(part), 0, part) for part in (x, y))
    pairs = [[(0, 0), (1, 1)], [(0, 1), (1, 0)]]
    found = [sum(times(finite_x[i], finite_y[j]) for i, j in of_sign) for of_sign in pairs]
    sums: Array = np.minimum(np.array(found), largest)
    if np.isfinite(x).all() and np.isfinite(y).all():
        return sums
    infinite = [
        sum(
            times(np.isinf(x[i]) * 1.0, (y[j] > 0) * 1.0) + times((x[i] > 0) * 1.0, np.isinf(y[j]) * 1.0)
            for i, j in of_sign
        )
        for of_sign in pairs
    ]
    return np.where(np.array(infinite) > 0, np.inf, sums)
