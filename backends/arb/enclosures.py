"""Balls against doubles: exact on the way in, rigorously outward on the way out.

python-flint has no bulk access to the numbers of a matrix, so that converting,
not multiplying, sets the price of an element. Everything here therefore runs
through `map` over C functions: 0.2 microseconds an element on the way in, 0.6
on the way out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from operator import sub
from typing import Any, Self

import numpy as np
from flint import arb

from ...networks.dtypes import Array, DType

SHARPNESS = 10
"""An enclosure is sharp when its radius is at most 2**-10 ulp of the case's dtype."""


@dataclass(frozen=True)
class Enclosure:
    """The true values of one quantity x: each element obeys ``|x - (mid + mid_low)| <= radius``.

    All three are float64, in the quantity's shape, and read-only.

    Parameters
    ----------
    mid
        The midpoint of the ball rounded to the nearest float64. Infinite where
        the midpoint lies beyond the range of float64; radius is infinite there too.
    mid_low
        What that rounding took away, itself rounded: the sum of both carries
        some 106 bits, so that a float64 result can be judged to fractions of an ulp.
    radius
        A rigorous bound, all roundings of the conversion counted. Zero where the
        value is known exactly. Where mid_low would need numbers below
        2**-1074, float64 ends, and the radius is 2**-1074 or little more.
    """

    mid: Array
    mid_low: Array
    radius: Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Self:
        """Room to be filled block by block with `fill`."""
        return cls(np.empty(shape), np.empty(shape), np.empty(shape))

    def fill(self, where: Any, balls: Iterable[arb], dtype: DType) -> float:
        """Write `balls` to the elements that the index `where` selects; return their `shortfall`."""
        listed = list(balls)
        for target, found in zip((self.mid, self.mid_low, self.radius), _split(listed), strict=True):
            target[where] = found.reshape(target[where].shape)
        mid, radius = self.mid[where].reshape(-1), self.radius[where].reshape(-1)
        return _shortfall(listed, mid, radius, dtype)

    def freeze(self) -> Self:
        """Make the arrays read-only."""
        for array in (self.mid, self.mid_low, self.radius):
            array.setflags(write=False)
        return self


def _split(balls: list[arb]) -> tuple[Array, Array, Array]:
    """Midpoint, rest of the midpoint, and radius of each ball, as doubles.

    ``mid = fl(m)`` and ``low = fl(x - mid)``, both to nearest, and what is left,
    ``|x - mid - low|``, is bounded in ball arithmetic: the bound covers the
    ball's radius, the rounding of both conversions and underflow alike. Turning
    the bound into a double may round it down by half an ulp; the next double is
    safe again.
    """
    mid = _doubles(float, balls)
    finite = np.isfinite(mid)
    rests = list(map(sub, balls, np.where(finite, mid, 0.0).tolist()))
    low = _doubles(float, rests)
    low[~finite] = 0.0
    rests = list(map(sub, rests, low.tolist()))
    radius = _doubles(float, map(arb.abs_upper, rests), len(rests))
    exact = radius == 0
    exact[exact] = [rests[n].is_zero() for n in np.flatnonzero(exact)]
    with np.errstate(over="ignore"):
        radius[~exact] = np.nextafter(radius[~exact], inf)
    radius[~finite] = inf
    return mid, low, radius


def _shortfall(balls: list[arb], mid: Array, radius: Array, dtype: DType) -> float:
    """Bits by which the least sharp ball misses the criterion: at most 0 where all are sharp.

    The criterion, ``radius <= 2**-10 ulp(mid)``, covers zeros as well: ulp(0)
    is the smallest subnormal number, and a radius of 2**-10 times that proves
    the value to be below the range of the dtype.

    2**-10 ulp can lie below the range of float64, where the stored radius
    cannot show whether a ball is sharp. There, and where the midpoint is
    beyond the range, the ball is asked itself.
    """
    finite = np.isfinite(mid)
    ulp = dtype.ulp(np.where(finite, mid, 1.0))
    inside = finite & (ulp >= 2.0**-1020)
    with np.errstate(divide="ignore"):
        worst = np.max(np.log2(radius[inside]) - np.log2(ulp[inside]), initial=-inf) + SHARPNESS
    for n in np.flatnonzero(~inside):
        if finite[n]:
            lacking = _log2_radius(balls[n]) - np.log2(ulp[n]) + SHARPNESS
        else:
            lacking = dtype.precision + SHARPNESS - _relative_bits(balls[n])
        worst = max(worst, lacking)
    return float(worst)


VAST = 10**300
"""Exponents beyond it, as of exp(-1e308), need not be told apart."""


def _log2_radius(ball: arb) -> float:
    """An integer that is at least log2 of the radius; it may lie far outside the range of float64."""
    if ball.is_exact():
        return -inf
    if not ball.is_finite():
        return inf
    mantissa, exponent = ball.rad().man_exp()
    bits = int(mantissa).bit_length() + int(exponent)
    return float(max(bits, -VAST)) if bits < VAST else inf


def _relative_bits(ball: arb) -> float:
    return float(ball.rel_accuracy_bits()) if ball.is_finite() else -inf


def _doubles(function: Callable[[arb], float], balls: Iterable[arb], count: int = -1) -> Array:
    return np.fromiter(map(function, balls), np.float64, count)
