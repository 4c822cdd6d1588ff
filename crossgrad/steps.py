"""The steps of one training step, each with the variance of its rounding errors (docs/verdict.md)."""

from collections.abc import Callable, Iterable
from functools import cached_property, partial

import numpy as np

from .arithmetic import Arithmetic, Uncertain, row_blocks
from .mathematics import ACTIVATIONS, LOSSES, Activation
from .networks.cases import Case
from .networks.dtypes import Array
from .partial_sums import pieces, with_mean_square

Rows = Iterable[tuple[slice, Uncertain]]
"""A weight matrix, a few rows at a time."""

LEAST_STEP = 2.0**-26
"""Of a number, so far to either side a function's change is seen in float64 to half its digits."""

ACTIVATION_ULPS = 4.0
"""Standard deviations of a rounding that a library's exp or tanh may be off: up to 4 ulp are known."""


class Steps:
    """The steps of one training step on uncertain tensors: the mathematics, each with its variance.

    Fed with exact tensors (variance 0) a step gives its own local error only:
    that is how the place where an error enters is found.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.arithmetic = Arithmetic.of(case.format)
        self.x, self.y = (np.asarray(array, np.float64) for array in case.batch)
        self.rules = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self.loss_rule = LOSSES[case.loss]
        self.slope = self.loss_rule.derivative(np.ones_like(self.y), np.zeros_like(self.y))
        """Second derivative of the loss by each output: da at a distance of 1."""

    @cached_property
    def parameters(self) -> list[tuple[Array, Array | None]]:
        """Weights and biases of each layer in float64."""
        return [
            (np.asarray(W, np.float64), None if b is None else np.asarray(b, np.float64))
            for W, b in self.case.parameters
        ]

    def _terms(self, *factors: Array) -> float:
        """`Arithmetic.terms_alike` of products whose factors are the rows of each array."""
        return self.arithmetic.terms_alike(*map(_projected, factors))

    def affine(self, a: Uncertain, W: Array, b: Array | None) -> Uncertain:
        """``z = a @ W.T + b``."""
        inputs = _projected(a.value.T)
        terms = self.arithmetic.terms_alike(inputs, _projected(W.T))
        spread = self.arithmetic.likeness(inputs) * a.variance
        spread += self.arithmetic.per_square(terms) * np.square(a.value)
        product, variance = np.empty((2, len(a.value), len(W)))
        for rows in pieces(W):
            part = np.asarray(W[rows], np.float64).T
            found, walked = with_mean_square(len(part), partial(_product, a.value, part))
            product[:, rows], variance[:, rows] = found, spread @ np.square(part)
            self._add_partial_sums(variance[:, rows], found, walked, terms)
        if b is None:
            return Uncertain(product, variance + self.arithmetic.rounding(product))
        # A fused product starts its sum with the bias: every partial sum is as large as that.
        bias = np.asarray(b, np.float64)
        variance += self.arithmetic.summed**2 / 3 * terms * np.square(bias)
        z = product + bias
        return Uncertain(z, variance + self.arithmetic.rounding(z))

    def activate(self, z: Uncertain, rule: Activation) -> Uncertain:
        """``a = f(z)``."""
        a = rule.value(z.value)
        variance = _through(rule, z.value, a, z.variance)
        variance += self.arithmetic.rounding(a, ACTIVATION_ULPS**2)
        # 1 / (1 + exp(-z)) is 0 where exp(-z) overflows: XLA's float16 sigmoid below z = -11.1.
        return Uncertain(a, variance + self.case.format.largest**-2.0)

    def loss(self, a: Uncertain) -> Uncertain:
        """The loss: each output's error by its sensitivity, to second order; a sum of terms of one sign."""
        value = np.asarray(self.loss_rule.value(a.value, self.y))
        da = self.loss_rule.derivative(a.value, self.y)
        variance = np.sum(np.square(da) * (a.variance + self.arithmetic.rounding(a.value - self.y)))
        variance += np.square(np.sum(self.slope / 2 * a.variance))
        terms = a.value.shape[1] * self._terms(a.value - self.y)
        variance += self.arithmetic.noise(value, self.arithmetic.per_total(terms))
        return Uncertain(value, np.asarray(variance + self.arithmetic.rounding(value, 3)))

    def loss_backward(self, a: Uncertain) -> Uncertain:
        """``da`` of the last layer."""
        da = self.loss_rule.derivative(a.value, self.y)
        residual = a.variance + self.arithmetic.rounding(a.value - self.y)
        return Uncertain(da, np.square(self.slope) * residual + self.arithmetic.rounding(da, 2))

    def through_activation(self, da: Uncertain, a: Uncertain, rule: Activation) -> Uncertain:
        """``dz = da * f'``, with f' as a function of a."""
        slope = rule.slope(a.value)
        shift = _shift(rule.slope, a.value, np.sqrt(a.variance), slope)
        dz, of_slope = da.value * slope, np.square(shift) + self.arithmetic.rounding(slope, 3)
        variance = np.square(slope) * da.variance + (np.square(da.value) + da.variance) * of_slope
        return Uncertain(dz, variance + self.arithmetic.rounding(dz, 2))

    def weight_gradient(self, dz: Uncertain, a_prev: Uncertain, alike: Array) -> Uncertain:
        """``dW = dz.T @ a_prev``; `alike` (B, 1) counts the samples that share each one's errors."""
        terms = self._terms(dz.value, a_prev.value)
        dz2, a2 = np.square(dz.value), np.square(a_prev.value)
        spread = self.arithmetic.per_square(terms) * a2 + alike * a_prev.variance
        # One product of twice the length instead of two and their sum: large W are bound by memory.
        variance = np.concatenate([dz2 + dz.variance, alike * dz.variance]).T @ np.concatenate([spread, a2])
        dW = np.empty_like(variance)
        for rows in pieces(dW):
            dW[rows], walked = with_mean_square(len(a2), partial(_product, dz.value[:, rows].T, a_prev.value))
            self._add_partial_sums(variance[rows], dW[rows], walked, terms)
        return Uncertain(dW, variance)

    def bias_gradient(self, dz: Uncertain, alike: Array) -> Uncertain:
        """``db = sum_s dz``."""
        terms = self._terms(dz.value)
        spread = self.arithmetic.per_square(terms) * np.square(dz.value) + alike * dz.variance
        db, walked = with_mean_square(len(spread), lambda part: dz.value[part].sum(axis=0))
        variance = spread.sum(axis=0)
        self._add_partial_sums(variance, db, walked, terms)
        return Uncertain(db, variance)

    def _add_partial_sums(self, variance: Array, total: Array, walked: Array | None, terms: float) -> None:
        """Add to a variance, in place, that of rounding partial sums, whose mean square is `walked`."""
        variance += self.arithmetic.noise(total, self.arithmetic.per_total(terms))
        if walked is not None:
            walked *= self.arithmetic.per_partial_sum(terms)
            # Not added: of terms of random signs, or of one, that is in it already.
            np.maximum(variance, walked, out=variance)

    def pull_back(self, dz: Uncertain, W: Array) -> Uncertain:
        """``da_prev = dz @ W``."""
        outputs = _projected(dz.value.T)
        terms = self.arithmetic.terms_alike(outputs, _projected(W))
        spread = self.arithmetic.likeness(outputs) * dz.variance
        spread += self.arithmetic.per_square(terms) * np.square(dz.value)
        da, variance = np.empty((2, len(dz.value), W.shape[1]))
        for columns in pieces(W.T):
            part = np.asarray(W[:, columns], np.float64)
            found, walked = with_mean_square(len(part), partial(_product, dz.value, part))
            da[:, columns], variance[:, columns] = found, spread @ np.square(part)
            self._add_partial_sums(variance[:, columns], found, walked, terms)
        return Uncertain(da, variance)

    def curvature(self, da: Uncertain, a: Uncertain, rule: Activation, above: Array) -> Array:
        """How the loss bends by each z, ``f'**2 above + |da f''|``, where it bends by a as `above`."""
        step = np.maximum(np.sqrt(a.variance), LEAST_STEP * np.abs(a.value))
        slope = rule.slope(a.value)
        found: Array = np.square(slope) * above + np.abs(da.value * _bend(rule, a.value, step) * slope)
        return found

    def bend(self, rule: Activation, a: Array) -> Array:
        """The derivative of f', as a function of a, by a."""
        return _bend(rule, a, np.maximum(LEAST_STEP * np.abs(a), LEAST_STEP**4))

    def returning(self, bent: Array, W: Array, a_prev: Uncertain) -> tuple[Array, Array]:
        """How the loss bends by each a_prev, and the variance that its own error brings back to ``da_prev``.

        An error of one a_prev moves every z above it by W times that, every dz
        by the bend of the loss, and these come back through the same weights:
        ``sum_o W**2 bent``, all of one sign, which independent errors of the dz
        would leave out. It is the diagonal of the Hessian (Becker, LeCun 1989).
        """
        below: Array = np.zeros((len(bent), W.shape[1]))
        for rows, part in row_blocks(W):
            below += bent[:, rows] @ np.square(part)
        return below, np.square(below) * a_prev.variance

    def update(self, parameter: Array, gradient: Uncertain) -> Uncertain:
        """``p_new = p - lr * dp``; of a part of them too, as each element is by itself."""
        rate = np.float64(self.case.learning_rate)  # whose square may overflow
        new = parameter - rate * gradient.value
        variance = np.square(rate) * gradient.variance
        variance += self.arithmetic.rounding(gradient.value, 2 * rate**2)
        variance += self.arithmetic.rounding(new)
        return Uncertain(new, variance)

    def loss_after(self, updated: Iterable[tuple[Rows, Uncertain | None]], before: Uncertain) -> Uncertain:
        """The loss with updated parameters: their errors are every sample's, so they add up linearly.

        The arithmetic's own errors are taken from the loss before the update.
        """
        a, shared = self.x, np.broadcast_to(0.0, self.x.shape)
        for (blocks, b), rule, layer in zip(updated, self.rules, self.case.network.layers, strict=True):
            z, spread = np.empty((2, len(a), layer.units))
            for rows, W in blocks:
                z[:, rows] = a @ W.value.T
                spread[:, rows] = shared @ np.square(W.value).T + np.square(a) @ W.variance.T
            if b is not None:
                z, spread = z + b.value, spread + b.variance
            a = rule.value(z)
            shared = _through(rule, z, a, spread)
        value, da = np.asarray(self.loss_rule.value(a, self.y)), self.loss_rule.derivative(a, self.y)
        moved = np.sum(np.abs(da) * np.sqrt(shared) + self.slope / 2 * shared)
        grown = np.square(value / before.value) if before.value else 1.0
        variance = before.variance * np.maximum(grown, 1) + np.square(moved)
        return Uncertain(value, np.asarray(variance + self.arithmetic.rounding(value, 4)))

    def updated_rows(self, W: Array, dW: Uncertain) -> Rows:
        """W_new a few rows at a time."""
        for rows, part in row_blocks(W):
            yield rows, self.update(part, Uncertain(dW.value[rows], dW.variance[rows]))


def _product(left: Array, right: Array, some: slice) -> Array:
    """``left @ right``, of some of the terms that it sums up."""
    product: Array = left[:, some] @ right[some]
    return product


def _projected(rows: Array) -> Array:
    """The product of rows with random numbers: equal for equal ones, and otherwise hardly ever."""
    found, draw = np.zeros(len(rows)), np.random.default_rng(0)
    for _, part in row_blocks(rows.T):
        found += draw.normal(size=len(part)) @ part
    return found


def _shift(f: Callable[[Array], Array], at: Array, off: Array, value: Array) -> Array:
    """How much f changes, at most, `off` to either side, where its value is given.

    Where float64 itself has no numbers so near, by how much f changes further off, in proportion.
    """
    step = np.maximum(off, LEAST_STEP * np.abs(at))
    shift: Array = np.maximum(np.abs(f(at + step) - value), np.abs(f(at - step) - value))
    shift *= np.divide(off, step, out=np.ones_like(shift), where=off < step)
    return shift


def _bend(rule: Activation, a: Array, step: Array) -> Array:
    bend: Array = (rule.slope(a + step) - rule.slope(a - step)) / (2 * step)
    return bend


def _through(rule: Activation, z: Array, a: Array, variance: Array) -> Array:
    """What a variance of z is as one of ``a = f(z)``: the square of what a standard deviation changes."""
    spread: Array = np.square(_shift(rule.value, z, np.sqrt(variance), a))
    return spread
