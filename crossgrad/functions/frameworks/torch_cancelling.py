"""PyTorch's operations inside of which terms nearly cancel, as where units saturate."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...networks.dtypes import Array


def _of_log_softmax(x: Array, dim: int, *_: Any) -> Array:
    """``(x - max) - log(sum exp(x - max))``, whose sum is 1 and more."""
    return np.abs(x - x.max(axis=dim, keepdims=True)) + 1 if x.size else x


def _of_log_softmax_backward(g: Array, log_p: Array, dim: int, *_: Any) -> Array:
    """``g - p sum g``."""
    return np.asarray(np.abs(g) + np.exp(log_p) * np.abs(g.sum(axis=dim, keepdims=True)))


def _of_softmax_backward(g: Array, p: Array, dim: int, *_: Any) -> Array:
    """``p (g - sum g p)``."""
    return np.asarray(p * (np.abs(g) + np.abs((g * p).sum(axis=dim, keepdims=True))))


def _of_glu_backward(g: Array, x: Array, dim: int) -> Array:
    """Of the gate b: ``g a s (1 - s)`` with ``s = 1 / (1 + exp(-b))``."""
    a, b = np.split(x, 2, axis=dim)
    return np.concatenate([0 * a, g * a / (1 + np.exp(-b))], axis=dim)


def _of_gelu_backward(g: Array, x: Array, approximate: str = "none") -> Array:
    """``g ((1 + erf(x / sqrt(2))) / 2 + ...)``; by tanh, ``g ((1 + t) / 2 + x/2 (1 - t**2) u')`` of tanh(u).

    Where t is 1 in float64, its square is not off by as much as a rounding.
    """
    if approximate == "none":
        return g
    u, slope = (math.sqrt(2 / math.pi) * factor for factor in (x + 0.044715 * x**3, 1 + 3 * 0.044715 * x**2))
    rounded = np.minimum(3, 4 * np.exp(-2 * np.abs(u)) / np.finfo(np.float64).eps)
    return np.asarray(g * (1 + np.abs(x / 2 * slope) * rounded))


CANCELLING: dict[str, Callable[..., Array]] = {
    "gelu": lambda x, **_: x / 2,  # x (1 + erf(x / sqrt(2))) / 2
    "gelu_backward": _of_gelu_backward,
    "elu_backward": lambda g, alpha, scale, input_scale, is_result, a: g,  # g (a + 1), a the result, near -1
    "mish_backward": lambda g, x: g * np.maximum(x, 0),  # g (x (1 - tanh(log(1 + exp(x)))**2) ... + ...)
    "_log_softmax": _of_log_softmax,
    "_log_softmax_backward_data": _of_log_softmax_backward,
    "_softmax_backward_data": _of_softmax_backward,
    "glu_backward": _of_glu_backward,
}
"""How large the terms are that nearly cancel inside of an operation where units saturate.

Written out, they would be rounded where they are seen.
"""
