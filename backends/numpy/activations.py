"""Activations of the hand-derived engine: forward and backward, each with its derivation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...networks.dtypes import Array


@dataclass(frozen=True)
class ActivationRule:
    """``forward(z) -> a`` and ``backward(da, a) -> dz``, elementwise on arrays ``(B, O)``."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array], Array]


def sigmoid(z: Array) -> Array:
    """``a = 1 / (1 + exp(-z))``, safe at any z.

    For z < 0, multiply numerator and denominator by exp(z): ``a = exp(z) / (1 + exp(z))``.
    With ``e = exp(-|z|)`` both cases divide by ``1 + e`` and differ in the numerator, 1 or e.
    e lies in (0, 1], so nothing overflows, and a small output is a quotient of
    accurate numbers, never a difference: it keeps its full relative accuracy.
    """
    e = np.exp(-np.abs(z))
    a: Array = np.where(z < 0, e, z.dtype.type(1)) / (1 + e)
    return a


def sigmoid_backward(da: Array, a: Array) -> Array:
    """``dz = da * a * (1 - a)``.

    With ``u = 1 + exp(-z)``, ``a = 1/u`` and ``u' = -exp(-z) = 1 - u``, so that
    ``a' = -u'/u**2 = (u - 1)/u**2 = 1/u - 1/u**2 = a - a**2 = a (1 - a)``.
    The chain rule gives ``dz = da * a'``.
    """
    dz: Array = da * a * (1 - a)
    return dz


ACTIVATIONS: dict[str, ActivationRule] = {
    "sigmoid": ActivationRule(sigmoid, sigmoid_backward),
}
