"""What a dtype may make of a case: where NaN and infinities must stand, where they may, and where not.

No engine is asked. The case's steps are taken on ranges, by IEEE 754: a sum may be +inf
where its positive terms alone come to more than the largest number, -inf where its negative
ones do, and NaN where both do, for engines add in any order; and it may be finite as long as its value
is within the range, for they may add in a wider format. ``inf * 0`` is NaN, and NaN spreads.
Where all that a quantity is made of is finite for sure, its value is the oracle's, give or
take the verdict's limit; elsewhere all that is known is its range.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .mathematics import ACTIVATIONS, LOSSES, Activation
from .networks.cases import Case
from .networks.dtypes import Array
from .ranges import SCALE, Range, Terms
from .verdict import ELEMENT_LIMIT, Expectation, Outcomes

FUNCTION_ULPS = 24.0
"""Roundings that an activation may be off: `ELEMENT_LIMIT` deviations of what ``steps.py`` allows for."""

Layers = Sequence[tuple[Range, Range | None]]


def outcomes(case: Case, expectations: Mapping[str, Expectation]) -> dict[str, Outcomes]:
    """What correct arithmetic in the case's dtype may deliver of every quantity."""
    with np.errstate(all="ignore"):
        found = _Step(case, expectations).found
        return {q.name: _outcomes(found[q.name], q.shape, case.format.largest) for q in case.quantities}


def _outcomes(x: Range, shape: tuple[int, ...], largest: float) -> Outcomes:
    number = ~x.lost
    finite = number & (x.lo <= largest) & (x.hi >= -largest)
    plus, minus = number & (x.hi == np.inf), number & (x.lo == -np.inf)
    return Outcomes(*(kind.reshape(shape) for kind in (finite, plus, minus, x.nan, x.known)))


class _Step:
    """The ranges of one step's quantities, computed in making it."""

    def __init__(self, case: Case, expectations: Mapping[str, Expectation]) -> None:
        self._dtype, self._expected = case.format, expectations
        self._tiny = 2.0**self._dtype.min_exponent
        self._rules = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._x, self._y = self._given(case.batch.x), self._given(case.batch.y)
        self._rate = self._given(-case.learning_rate)
        self._divisor = LOSSES[case.loss].count(*self._y.lo.shape)
        layers = [(self._given(W), None if b is None else self._given(b[None])) for W, b in case.parameters]
        self.found: dict[str, Range] = {}
        residual = self._forward(layers)
        self._forward(self._backward(layers, residual), after="_new")

    def _given(self, values: Array | float) -> Range:
        return Range.of(values, self._tiny)

    def _forward(self, layers: Layers, after: str = "") -> Range:
        """Find z, a and the loss; returns ``a - y``."""
        a = self._x
        for n, ((W, b), rule) in enumerate(zip(layers, self._rules, strict=True), start=1):
            terms = Terms.of_products(a, W, lambda one, other: one @ other.T, W.lo.shape[1])
            z = self._added(terms if b is None else terms + Terms.of(b), f"z{after}.{n}")
            a = self._activated(z, rule, f"a{after}.{n}")
        residual = self._added(Terms.of(a) + Terms.of(self._y.negative), None)
        squares = Terms.of_products(residual.magnitude, residual.magnitude)
        self._added(squares.summed(0, 1), f"loss{after}", self._divisor)
        return residual

    def _backward(self, layers: Layers, residual: Range) -> Layers:
        """Find all that comes after the loss; returns the updated parameters."""
        found, updated = self.found, []
        depth = len(layers)
        self._added(Terms.of_products(residual, self._given(2.0)), f"da.{depth}", self._divisor)
        for n in range(depth, 0, -1):
            W, b = layers[n - 1]
            slope = self._slope(found[f"a.{n}"], self._rules[n - 1])
            dz = self._added(Terms.of_products(found[f"da.{n}"], slope), f"dz.{n}")
            below = found[f"a.{n - 1}"] if n > 1 else self._x
            terms = Terms.of_products(dz, below, lambda one, other: one.T @ other, len(dz.lo))
            self._added(terms, f"dW.{n}")
            W_new, b_new = self._updated(W, f"W_new.{n}"), None
            if b is not None:
                self._added(Terms.of(dz).summed(0), f"db.{n}")
                b_new = self._updated(b, f"b_new.{n}")
            updated.append((W_new, b_new))
            if n > 1:
                self._added(Terms.of_products(dz, W, np.matmul, len(W.lo)), f"da.{n - 1}")
        return updated[::-1]

    def _updated(self, parameter: Range, name: str) -> Range:
        gradient = self.found["d" + name.replace("_new", "")]
        return self._added(Terms.of(parameter) + Terms.of_products(gradient, self._rate), name)

    def _added(self, terms: Terms, name: str | None, divisor: int = 1) -> Range:
        """Sums over a divisor, in the dtype: in any order they are off by a rounding a term at most."""
        slack, limit = (terms.count + 8) * self._dtype.unit_roundoff, SCALE * self._dtype.largest
        most = np.where(terms.most > 0, terms.most * (1 + slack) + self._tiny, 0)
        least = np.where(np.isinf(terms.least), np.inf, terms.least * (1 - slack) - SCALE * self._tiny)
        least = np.maximum(least, 0)
        lo, hi = (least[0] - SCALE * most[1]) / divisor, (SCALE * most[0] - least[1]) / divisor
        lo, hi, known = self._narrowed(name, lo, hi, terms.known & ~terms.nan, SCALE)
        plus, minus = (SCALE * most[0] > limit) | (hi > limit), (SCALE * most[1] > limit) | (lo < -limit)
        if self._dtype.name != "float16":  # which compilers may keep in float32 between two steps
            beyond = limit * (1 + self._dtype.eps)
            lo, hi = np.where(lo > beyond, np.inf, lo), np.where(hi < -beyond, -np.inf, hi)
        lo = np.where(np.isinf(least[0]), np.inf, np.where(minus, -np.inf, lo)) / SCALE
        hi = np.where(np.isinf(least[1]), -np.inf, np.where(plus, np.inf, hi)) / SCALE
        return self._keep(name, lo, hi, terms.nan | (plus & minus), terms.lost, known)

    def _activated(self, z: Range, rule: Activation, name: str) -> Range:
        bottom, top = rule.value(np.array(-np.inf)), rule.value(np.array(np.inf))
        lo, hi, known = rule.value(z.lo), rule.value(z.hi), z.settled
        if name in self._expected:  # all alike where the function is flat
            value, sigma = (
                np.asarray(part) for part in (self._expected[name].value, self._expected[name].sigma)
            )
            known = known | (~z.nan & (np.abs(lo - value) <= sigma) & (np.abs(hi - value) <= sigma))
        slack = FUNCTION_ULPS * self._dtype.unit_roundoff
        off = self._tiny + ELEMENT_LIMIT / self._dtype.largest  # as the floor has it
        lo, hi = lo - slack * np.abs(lo) - off, hi + slack * np.abs(hi) + off
        lo, hi, known = self._narrowed(name, lo, hi, known)
        return self._keep(name, np.clip(lo, bottom, top), np.clip(hi, bottom, top), z.nan, z.lost, known)

    def _slope(self, a: Range, rule: Activation) -> Range:
        slack = FUNCTION_ULPS * self._dtype.unit_roundoff
        lo, hi = rule.slopes(a.lo, a.hi)
        lo, hi = (
            np.maximum(lo * (1 - slack) - self._tiny, 0),
            np.where(hi > 0, hi * (1 + slack) + self._tiny, 0),
        )
        return self._keep(None, lo, hi, a.nan, a.lost, a.settled)

    def _narrowed(
        self, name: str | None, lo: Array, hi: Array, made_of_known: Array, scale: float = 1.0
    ) -> tuple[Array, Array, Array]:
        """The oracle's value, give or take the verdict's limit, where that is what it must be."""
        expected = None if name is None else self._expected.get(name)
        if expected is None:
            return lo, hi, made_of_known
        value, off = np.asarray(expected.value), ELEMENT_LIMIT * np.asarray(expected.sigma)
        least, most = scale * (value - off), scale * (value + off)
        known = made_of_known & np.isfinite(least) & np.isfinite(most)
        lo, hi = np.where(known, least, lo), np.where(known, most, hi)
        return lo, hi, known | ((lo >= least) & (hi <= most))

    def _keep(self, name: str | None, lo: Array, hi: Array, nan: Array, lost: Array, known: Array) -> Range:
        x = Range(np.where(lost, np.inf, lo), np.where(lost, -np.inf, hi), nan | lost, known)
        if name is not None:
            self.found[name] = x
        return x
