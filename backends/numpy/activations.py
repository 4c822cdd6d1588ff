"""Activations of the hand-derived engine: forward and backward, each with its derivation.

Every rule takes prepared arrays to write to, as NumPy's own functions do, and
writes nowhere else. The engine hands it arrays that hold its own inputs: then
no step allocates memory, and each pass over an array finds it where the pass
before left it, in the cache.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from .scalars import scalar


@dataclass(frozen=True)
class ActivationRule:
    """Both directions of an elementwise f on arrays ``(B, O)``.

    Parameters
    ----------
    forward
        ``forward(z, out=None) -> a``, with a = f(z); `out` may be z.
    backward
        ``backward(da, a, out=None, spare=None) -> dz``, with dz = da f'(z), and f' written
        in terms of a; `out` may be da, and `spare` a. What is no result goes to `spare`.

    The arrays to write to are given to NumPy's functions as they came, None included: an
    input that is also one of them is read for the last time by the function that writes there.
    """

    forward: Callable[..., Array]
    backward: Callable[..., Array]


def sigmoid(z: Array, out: Array | None = None) -> Array:
    """``a = 1 / (1 + exp(-z))``.

    Nothing cancels here: the relative error of ``exp(-z)`` reaches a times
    ``exp(-z) / (1 + exp(-z)) < 1``, so that small outputs, quotients of accurate
    numbers, keep their full relative accuracy. That holds as long as ``exp(-z)``
    is a number; z is looked at first, which costs a tenth of the exponential.
    """
    if not z.item(z.argmin()) >= _lowest(z.dtype):  # argmin finds a NaN first
        return _sigmoid_of_any(z, out)
    one = scalar(1, z.dtype)
    e = np.exp(np.negative(z, out), out)
    return np.divide(one, np.add(e, one, out), out)


@cache
def _lowest(dtype: Any) -> float:
    """A z down to which ``exp(-z)`` does not overflow: -88 in float32, -709 in float64."""
    return -float(np.floor(np.log(np.finfo(dtype).max)))


def _sigmoid_of_any(z: Array, out: Array | None) -> Array:
    """The same, safe at any z.

    For z < 0, multiply numerator and denominator by exp(z): ``a = exp(z) / (1 + exp(z))``.
    With ``e = exp(-|z|)`` both cases divide by ``1 + e`` and differ in the numerator, 1 or e.
    e lies in (0, 1], so nothing overflows.
    """
    e = np.exp(-np.abs(z))
    a: Array = np.divide(np.where(z < 0, e, scalar(1, z.dtype)), 1 + e, out)
    return a


def sigmoid_backward(da: Array, a: Array, out: Array | None = None, spare: Array | None = None) -> Array:
    """``dz = da * a * (1 - a)``.

    With ``u = 1 + exp(-z)``, ``a = 1/u`` and ``u' = -exp(-z) = 1 - u``, so that
    ``a' = -u'/u**2 = (u - 1)/u**2 = 1/u - 1/u**2 = a - a**2 = a (1 - a)``.
    The chain rule gives ``dz = da * a'``. ``1 - a`` is taken as it stands:
    ``da*a - da*a*a`` would need no spare array, and cancel where a is near 1.
    """
    dz = np.multiply(da, a, out)
    return np.multiply(dz, np.subtract(scalar(1, a.dtype), a, spare), out)


ACTIVATIONS: dict[str, ActivationRule] = {
    "sigmoid": ActivationRule(sigmoid, sigmoid_backward),
}
