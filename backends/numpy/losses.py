"""Losses of the hand-derived engine: value and derivative, each with its derivation.

Throughout, ``r = a - y`` is the residual ``(B, O)``, and ``d(r**2)/da = 2 r``
because each element of a enters one term only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...networks.dtypes import Array


@dataclass(frozen=True)
class LossRule:
    """``value(a, y) -> loss`` and ``backward(a, y) -> da (B, O)``."""

    value: Callable[[Array, Array], Any]
    backward: Callable[[Array, Array], Array]


def mse(a: Array, y: Array) -> Any:
    """``L = sum(r**2) / (B * O)``."""
    return np.mean(np.square(a - y))


def mse_backward(a: Array, y: Array) -> Array:
    """``dL/da = 2 r / (B * O)``: the mean weighs each term with 1 / (B * O)."""
    da: Array = (a - y) * a.dtype.type(2 / a.size)
    return da


def mse_sum(a: Array, y: Array) -> Any:
    """``L = sum(r**2)``."""
    return np.sum(np.square(a - y))


def mse_sum_backward(a: Array, y: Array) -> Array:
    """``dL/da = 2 r``."""
    return 2 * (a - y)


def half_mse(a: Array, y: Array) -> Any:
    """``L = sum(r**2) / (2 * B)``: half the squared distance, averaged over samples."""
    return np.sum(np.square(a - y)) / a.dtype.type(2 * len(a))


def half_mse_backward(a: Array, y: Array) -> Array:
    """``dL/da = r / B``: the half cancels the 2 of the square."""
    da: Array = (a - y) / a.dtype.type(len(a))
    return da


LOSSES: dict[str, LossRule] = {
    "mse": LossRule(mse, mse_backward),
    "mse-sum": LossRule(mse_sum, mse_sum_backward),
    "half-mse": LossRule(half_mse, half_mse_backward),
}
