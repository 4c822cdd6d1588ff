"""Activations and losses as the judge has them: of its own, so that no engine's mistake is the judge's too.

They are plain functions of float64 arrays, accurate to a few roundings: enough for the
floor of every dtype, and for the values of those that are narrower.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .networks.dtypes import Array


@dataclass(frozen=True)
class Activation:
    """An elementwise f that nowhere falls.

    Parameters
    ----------
    value
        ``f(z)``, at infinite z its limit.
    slope
        ``f'(z)`` as a function of ``a = f(z)``.
    slopes
        The least and the most of `slope` where a is between two values.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    slopes: Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Loss:
    """``sum((a - y)**2) / n``, n being `count` of samples and outputs."""

    count: Callable[[int, int], int]

    def value(self, a: Array, y: Array) -> Array:
        """The loss."""
        return np.asarray(np.square(a - y).sum() / self.count(*a.shape))

    def derivative(self, a: Array, y: Array) -> Array:
        """Of each a: it is in one square alone."""
        derivative: Array = (a - y) * (2 / self.count(*a.shape))
        return derivative


def _sigmoid(z: Array) -> Array:
    """``1 / (1 + exp(-z))``; where exp(-z) overflows this is 0, and in truth less than 1e-308."""
    found = np.asarray(np.negative(z))
    with np.errstate(over="ignore"):
        np.exp(found, out=found)
    found += 1
    a: Array = np.reciprocal(found, out=found)
    return a


def _slope_of_sigmoid(a: Array) -> Array:
    """Of the inverse, ``z = log a - log(1 - a)``, the slope is ``1/a + 1/(1 - a) = 1 / (a (1 - a))``."""
    slope: Array = (1 - a) * a
    return slope


def _slopes_of_sigmoid(lo: Array, hi: Array) -> tuple[Array, Array]:
    """They rise to a quarter at a = 1/2, and fall again."""
    ends = _slope_of_sigmoid(lo), _slope_of_sigmoid(hi)
    return np.minimum(*ends), np.where((lo < 0.5) & (hi > 0.5), 0.25, np.maximum(*ends))


ACTIVATIONS = {"sigmoid": Activation(_sigmoid, _slope_of_sigmoid, _slopes_of_sigmoid)}

LOSSES = {
    "mse": Loss(lambda samples, outputs: samples * outputs),
    "mse-sum": Loss(lambda samples, outputs: 1),
    "half-mse": Loss(lambda samples, outputs: 2 * samples),
}
