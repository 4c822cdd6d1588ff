"""Matrix products of twice the precision from a few BLAS products, each of them free of error.

Ozaki, Ogita, Oishi and Rump (2012, Numer. Algorithms 59): with its row scaled
to below 1, each number is cut into slices of `bits` bits, small integers held
in float64. A product of two slices sums n products of at most ``2 * bits - 2``
bits. While every partial sum stays below 2**53, float64 holds it exactly, and
BLAS, in whatever order it adds, makes no error at all. What remains is to add
these products in pairs, the largest first.

Slices whose products have the same order of magnitude are laid side by side, so
that one BLAS call with a longer inner dimension sums them, exactly too.

What is left out, the tail, is small against the largest products of a row with
a column, which need not be small against their sum. The elements where it
matters are computed again: with more slices if they are many, else term by term.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, log2
from typing import Any, Self

import numpy as np

from ...networks.dtypes import Array
from .pairs import DOUBLE, ROUNDING, Estimated, Pair, require_range, two_sum

ORDERS = 4
"""Orders of magnitude that are kept: 1 + 2 + 3 + 4 = 10 products of slices, fewer of exact factors."""

UPSTREAM_ORDERS = 5
"""The same for what other results come from, which may cancel further down."""

MORE_ORDERS = 7
"""The same where more than a `FEW` elements need it."""

FEW = 0.03
"""Share of elements up to which computing them term by term is the faster way."""

ENOUGH = 2.0**-65
"""A tail below this share of its element does no harm."""

TERMS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class _Slices:
    """Rows of integers that sum up to ``sum over s of 2**(1 - bits - s * bits) * slice[s]``."""

    table: Array
    """The slices side by side, ``(m, orders * n)``; a right factor's in reverse order."""

    count: float
    """How many are not zero; infinite if the numbers go on after the last."""


class Factor:
    """A matrix ``(m, n)`` of numbers in a product along its rows, each row scaled to below 1.

    The numbers are ``2**exponents * (high + low)`` with errors ``2**exponents * error``,
    all float64; no `low` or `error` where it would be zero.
    """

    def __init__(
        self, kind: np.dtype[Any], high: Array, low: Array | None = None, error: Array | None = None
    ) -> None:
        top = np.abs(high).max(axis=1, keepdims=True, initial=0)
        self.empty = top == 0
        self.exponents = np.frexp(top)[1]
        unit = np.ldexp(np.ones((), kind), -self.exponents)
        require_range(unit)
        exact = high * unit
        self.high = exact.astype(np.float64, copy=False)
        rest = None if low is None else low * unit
        if exact.dtype != np.float64:
            rest = exact - self.high if rest is None else (exact - self.high) + rest
        self.low = None if rest is None else rest.astype(np.float64, copy=False)
        self.error = None if error is None else (error * unit).astype(np.float64, copy=False)
        self._slices: dict[int, _Slices] = {}

    @classmethod
    def of(cls, matrix: Estimated) -> Self:
        return cls(matrix.values.kind, matrix.values.high, matrix.values.low, matrix.error)

    def slices(self, orders: int, bits: int, reverse: bool) -> _Slices:
        """Cut into `orders` slices; they are kept for further products in the same place."""
        if orders not in self._slices:
            self._slices[orders] = self._cut(orders, bits, reverse)
        return self._slices[orders]

    def _cut(self, orders: int, bits: int, reverse: bool) -> _Slices:
        left = self.high * 2.0 ** (bits - 1)
        rest = None if self.low is None else self.low * 2.0 ** (bits - 1)
        table = np.empty((len(left), orders, left.shape[1]))
        count = 0
        for s in range(orders):
            if s > 1 and rest is not None:  # by now `rest` is no longer far below `left`
                left, rest = two_sum(left, rest)
            piece = np.rint(left)
            table[:, orders - 1 - s if reverse else s] = piece
            if piece.any():
                count = s + 1
            left = (left - piece) * 2.0**bits
            if rest is not None:
                rest = rest * 2.0**bits
        exhausted = not left.any() and (rest is None or not rest.any())
        return _Slices(table.reshape(len(table), -1), count if exhausted else inf)

    def columns(self, rows: Array) -> Pair:
        """The given rows, as columns of pairs."""
        high = self.high[rows].T
        return Pair(high, np.zeros_like(high) if self.low is None else self.low[rows].T)


@dataclass(frozen=True)
class Product:
    """Numbers ``2**exponents * values`` with their errors: nothing here is out of float64's range."""

    values: Pair
    error: Array
    exponents: Array

    def unscaled(self, kind: np.dtype[Any]) -> Estimated:
        """As pairs of a kind; doubles may overflow or lose bits to underflow."""
        if kind == DOUBLE:
            high, low, error = (
                np.ldexp(part, self.exponents) for part in (self.values.high, self.values.low, self.error)
            )
            return Estimated(Pair(high, low), error)
        scale = np.ldexp(np.ones((), kind), self.exponents)
        return Estimated(Pair(self.values.high * scale, self.values.low * scale), self.error * scale)


def product(left: Factor, right: Factor, orders: int = ORDERS) -> Product:
    """``left (m, n) @ right (p, n).T``.

    The error adds up the bound of the tail and what the errors of the factors
    cause, to first order. Bounds add up magnitudes: mostly it is overestimated.
    """
    n = left.high.shape[1]
    bits = slice_bits(n, orders)
    a, b = left.slices(orders, bits, False), right.slices(orders, bits, True)
    values = _sum_of_slices(a, b, n, orders, bits)
    tail = _tail(a.count, b.count, n, orders, bits) * ~(left.empty | right.empty.T)
    inherited = _inherited(left, right)
    size = np.abs(values.high)
    vague = tail > np.maximum(ENOUGH * size, inherited / 4)
    if orders < MORE_ORDERS and np.count_nonzero(vague) > FEW * vague.size:
        return product(left, right, MORE_ORDERS)
    found = Product(values, tail + inherited + ROUNDING * size, left.exponents + right.exponents.T)
    if vague.any():
        _compute_again(found, left, right, inherited, *np.nonzero(vague))
    return found


def slice_bits(n: int, orders: int) -> int:
    """Bits of a slice for which sums of ``orders * n`` products of two slices stay below 2**53.

    A slice is at most 2**(bits - 1), a quarter more where the second part of a
    number comes in: the products are below 2**(2 * bits - 1).
    """
    return int((54 - log2(n * orders)) / 2)


def _sum_of_slices(a: _Slices, b: _Slices, n: int, orders: int, bits: int) -> Pair:
    high = np.zeros((len(a.table), len(b.table)))
    low = np.zeros_like(high)
    for order in range(orders):
        # Slices s of a and t of b with s + t = order; in b's table slice t stands at orders - 1 - t.
        first, last = max(0, order + 1 - int(min(b.count, orders))), int(min(order, a.count - 1))
        if first <= last:
            start = first + orders - 1 - order
            part = (
                a.table[:, n * first : n * (last + 1)]
                @ b.table[:, n * start :][:, : n * (last + 1 - first)].T
            )
            part *= 2.0 ** (2 - (2 + order) * bits)
            high, lost = two_sum(high, part)
            low += lost
    return Pair(*two_sum(high, low))


def _tail(a_count: float, b_count: float, n: int, orders: int, bits: int) -> float:
    """Bound of what the orders from `orders` on add up to, for rows scaled to below 1.

    An order g has as many products of slices as there are s < a_count and
    t < b_count with s + t = g, each a sum of n products below 2**(-g * bits).
    """
    bound = 0.0
    for order in range(orders, 2 * orders + 1):
        products = min(order, a_count - 1) - max(0, order - b_count + 1) + 1
        bound += max(0.0, products) * n * 2.0 ** (-order * bits)
    return bound


def _inherited(left: Factor, right: Factor) -> Array:
    """``error(left) |right|' + |left| error(right)'``."""
    found = np.zeros((len(left.high), len(right.high)))
    if left.error is not None:
        found += left.error @ np.abs(right.high).T
    if right.error is not None:
        found += np.abs(left.high) @ right.error.T
    return found


def _compute_again(
    found: Product, left: Factor, right: Factor, inherited: Array, rows: Array, columns: Array
) -> None:
    """Replace the elements at `rows` and `columns` by sums of their terms in pairs."""
    for part in _parts(len(rows), max(1, TERMS_AT_ONCE // left.high.shape[1])):
        where = rows[part], columns[part]
        terms = left.columns(where[0]) * right.columns(where[1])
        total = terms.sum()
        found.values.high[where], found.values.low[where] = total.high, total.low
        found.error[where] = inherited[where] + ROUNDING * np.abs(terms.high).sum(axis=0)


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
