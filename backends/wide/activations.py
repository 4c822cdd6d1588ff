"""Activations of the wide reference: the value as ``near + rest``, the slope, and the error of both.

As in every reference, a constant that the function tends to is kept apart from
the small `rest`, so that differences such as 1 - a lose nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import factorial
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from .pairs import DOUBLE, ROUNDING, Estimated, Pair, require_range, two_sum

_STEPS = 128
"""The table of exp has a step of 1/128 and covers half of log 2 on each side of 0."""

_REACH = 45
_SHORT_FROM = 5
_TERMS = 11
_LOG2_BITS = 36
_NEGLIGIBLE = -12000.0
"""Where exp(x) is below the range of long doubles."""


@dataclass(frozen=True)
class Activated:
    """``a = near + rest`` and ``slope = f'(z)``; `near` is exact."""

    near: Pair
    rest: Estimated
    slope: Estimated

    @property
    def a(self) -> Estimated:
        a = self.near + self.rest.values
        return Estimated(a, self.rest.error + ROUNDING * np.abs(a.high))


def sigmoid(z: Estimated) -> Activated:
    """The logistic function, ``s(z) = (1 + tanh(z / 2)) / 2``, in terms of ``t = exp(-|z|)``.

    tanh(|z| / 2) = (1 - t) / (1 + t), so that s(|z|) = 1 - t / (1 + t) and, tanh
    being odd, s(-|z|) = t / (1 + t). Call this r: the rest below 1 for z > 0, the
    whole value for z <= 0. The slope is (1 - tanh(z / 2)**2) / 4 = t / (1 + t)**2,
    for either sign of z.

    The logarithms of r and of the slope have derivatives by z of at most 1: the
    absolute error of z is at most their relative error.

    t may leave the range of doubles, its significand does not: of either kind of
    pair, all but the last step is done in pairs of doubles.
    """
    above = z.values.high > 0
    sign = np.where(above, -1.0, 1.0)
    significand, exponent = exp_of_negative(_negative(z.values, sign))
    one = Pair.exactly(np.ones(sign.shape), DOUBLE)
    t = Pair(np.ldexp(significand.high, exponent), np.ldexp(significand.low, exponent))
    inverse = one / (one + t)
    r = significand * inverse
    rest = _shifted(r, exponent, z.values.kind)
    slope = _shifted(r * inverse, exponent, z.values.kind)
    relative = z.error + ROUNDING
    return Activated(
        near=Pair.exactly(above, z.values.kind),
        rest=Estimated(Pair(rest.high * sign, rest.low * sign), relative * rest.high),
        slope=Estimated(slope, relative * slope.high),
    )


def exp_of_negative(x: Pair) -> tuple[Pair, Array]:
    """``exp(x) = 2**k * significand`` for pairs of doubles x <= 0; k is bounded below.

    x = k log 2 + j / 128 + s with |s| <= 1/256. log 2 comes in three pieces, of
    which the first two have 36 bits: k times them is exact. Then exp(x) = 2**k
    exp(j/128) exp(s), with a table for the second factor, Taylor's series for
    the third: its terms from s**5 / 5! on are below 2**-46 of the sum, and a
    double is long enough for them; s**12 / 12! is below 2**-124.
    """
    x = Pair(np.maximum(x.high, _NEGLIGIBLE), np.where(x.high > _NEGLIGIBLE, x.low, 0.0))
    k = np.rint(x.high / np.log(2))
    r = Pair(*two_sum(x.high - k * _LOG2[0], -k * _LOG2[1])) + Pair(*two_sum(x.low, -k * _LOG2[2]))
    j = np.rint(r.high * _STEPS)
    s = r + Pair.exactly(-j / _STEPS, DOUBLE)
    tail = np.zeros_like(s.high)
    for n in range(_TERMS, _SHORT_FROM - 1, -1):
        tail = tail * s.high + _INVERSE_FACTORIALS[n].high
    series = Pair.exactly(tail, DOUBLE)
    for n in range(_SHORT_FROM - 1, -1, -1):
        series = series * s + _INVERSE_FACTORIALS[n]
    return series * _EXP_TABLE[j.astype(np.intp) + _REACH], k.astype(np.intc)


def _negative(z: Pair, sign: Array) -> Pair:
    """``sign * z`` as pairs of doubles."""
    high = z.high.astype(np.float64)
    return Pair(high * sign, ((z.high - high) + z.low).astype(np.float64) * sign)


def _shifted(significand: Pair, exponent: Array, kind: np.dtype[Any]) -> Pair:
    scale = np.ldexp(np.ones((), kind), exponent)
    require_range(scale)
    return Pair(significand.high * scale, significand.low * scale)


def _log2_pieces() -> tuple[float, float, float]:
    """Log 2 in three parts; the first two end after `_LOG2_BITS` and twice as many bits."""
    scale = 2**_LOG2_BITS
    first = int(Decimal(2).ln() * scale)
    second = int((Decimal(2).ln() * scale - first) * scale)
    third = Decimal(2).ln() - Decimal(first) / scale - Decimal(second) / scale**2
    return first / scale, second / scale**2, float(third)


def _table(values: Iterable[Decimal]) -> Pair:
    pairs = [Pair.nearest(value) for value in values]
    return Pair(np.array([pair.high for pair in pairs]), np.array([pair.low for pair in pairs]))


with localcontext(prec=100):
    _LOG2 = _log2_pieces()
    _EXP_TABLE = _table((Decimal(j) / _STEPS).exp() for j in range(-_REACH, _REACH + 1))
    _INVERSE_FACTORIALS = _table(1 / Decimal(factorial(n)) for n in range(_TERMS + 1))

ACTIVATIONS: Mapping[str, Callable[[Estimated], Activated]] = {"sigmoid": sigmoid}
