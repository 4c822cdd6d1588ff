"""Numbers of twice the length: unevaluated sums ``high + low`` of two floating-point numbers.

`low` is at most half an ulp of `high`. Pairs come in two kinds. Pairs of
doubles carry 106 bits and are the rule: they are vectorised and twenty times as
fast. Pairs of long doubles are for numbers so small or large that the halves of
their products leave the range of float64: on x86 processors a long double has
64 bits and exponents from -16445 to 16383.

The algorithms hold in any binary format with rounding to nearest: Dekker 1971,
Numer. Math. 18; Knuth, TAOCP 2, 4.2.2; Joldes, Muller and Popescu 2017, ACM
TOMS 44, for error bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import numpy as np

from ...networks.dtypes import Array
from ..base import Unsupported

DOUBLE = np.dtype(np.float64)
LONG = np.dtype(np.longdouble)

ROUNDING = 2.0**-98
"""Relative error of a few operators in a row, on pairs of either kind."""

SMALLEST, LARGEST = 2.0**-450, 2.0**450
"""Between these, doubles can be multiplied twice and split, and lose nothing below 2**-1074."""

_LONG_BITS = int(np.finfo(np.longdouble).nmant) + 1
_SPLITTERS = {DOUBLE: 2.0**27 + 1, LONG: np.longdouble(2) ** ((_LONG_BITS + 1) // 2) + 1}


class OutOfRange(ArithmeticError):
    """Numbers that pairs of doubles cannot hold: pairs of long doubles are needed."""


def require_long_double() -> None:
    """Raise `Unsupported` unless a long double has one significand, and more range than a double."""
    if _LONG_BITS not in (64, 113):
        raise Unsupported(
            "the wide reference needs long doubles for numbers as small or large as in this case, and "
            f"here they have {_LONG_BITS} bits, not 64 or 113: the oracle arb has no such limit"
        )


def require_range(values: Array) -> None:
    """Raise `OutOfRange` if pairs of doubles would lose bits in computing with `values`."""
    if values.dtype == DOUBLE:
        size = np.abs(values)
        if not (size.max(initial=0) < LARGEST and size.min(initial=1, where=size > 0) > SMALLEST):
            raise OutOfRange


@dataclass(frozen=True)
class Pair:
    """Arrays of numbers ``high + low``, both of one type."""

    high: Array
    low: Array

    @classmethod
    def exactly(cls, values: Any, kind: Any) -> Self:
        """Pairs of a kind that holds the values as they are."""
        high = np.asarray(values, kind)
        return cls(high, np.zeros_like(high))

    @classmethod
    def nearest(cls, value: Decimal) -> Self:
        """The pair of doubles next to a decimal number."""
        high = float(value)
        return cls(np.asarray(high), np.asarray(float(value - Decimal(high))))

    @property
    def kind(self) -> np.dtype[Any]:
        """`DOUBLE` or `LONG`."""
        return self.high.dtype

    def __getitem__(self, index: Any) -> "Pair":
        return Pair(self.high[index], self.low[index])

    def __neg__(self) -> "Pair":
        return Pair(-self.high, -self.low)

    def __add__(self, other: "Pair") -> "Pair":
        s, s_rest = two_sum(self.high, other.high)
        t, t_rest = two_sum(self.low, other.low)
        s, s_rest = _fast_two_sum(s, s_rest + t)
        return Pair(*_fast_two_sum(s, s_rest + t_rest))

    def __sub__(self, other: "Pair") -> "Pair":
        return self + -other

    def __mul__(self, other: "Pair") -> "Pair":
        p, rest = two_product(self.high, other.high)
        return Pair(*_fast_two_sum(p, rest + (self.high * other.low + self.low * other.high)))

    def __truediv__(self, other: "Pair") -> "Pair":
        """A quotient, then the quotient of what it leaves."""
        quotient = self.high / other.high
        left = self - other * Pair(quotient, np.zeros_like(quotient))
        return Pair(*_fast_two_sum(quotient, (left.high + left.low) / other.high))

    def sum(self) -> "Pair":
        """Sum over the first axis, by halves."""
        part = self
        while len(part.high) > 1:
            half = len(part.high) // 2
            tail = part[2 * half :]
            part = part[:half] + part[half : 2 * half]
            part = Pair(np.append(part.high, tail.high, axis=0), np.append(part.low, tail.low, axis=0))
        return part[0]


@dataclass(frozen=True)
class Estimated:
    """Pairs, and the estimated absolute error of each as an array of their shape."""

    values: Pair
    error: Array

    @classmethod
    def side_by_side(cls, parts: Sequence["Estimated"]) -> "Estimated":
        """One matrix out of blocks of its columns."""
        high = np.concatenate([part.values.high for part in parts], axis=1)
        low = np.concatenate([part.values.low for part in parts], axis=1)
        return cls(Pair(high, low), np.concatenate([part.error for part in parts], axis=1))

    def __getitem__(self, index: Any) -> "Estimated":
        return Estimated(self.values[index], self.error[index])

    @property
    def size(self) -> Array:
        """``|value|``."""
        return np.asarray(np.abs(self.values.high))

    @property
    def T(self) -> "Estimated":
        """The transposed matrix."""
        return Estimated(Pair(self.values.high.T, self.values.low.T), self.error.T)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """``s = fl(a + b)`` and what that rounding lost, exactly (Knuth)."""
    s = a + b
    from_b = s - a
    return s, (a - (s - from_b)) + (b - from_b)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """``p = fl(a b)`` and what that rounding lost, exactly (Dekker): the products of halves are exact."""
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _fast_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """`two_sum` for |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


def _halves(a: Array) -> tuple[Array, Array]:
    """Split into two numbers of half the length (Veltkamp)."""
    c = _SPLITTERS[a.dtype] * a
    upper = c - (c - a)
    return upper, a - upper
