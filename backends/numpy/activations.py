"""Activations of the hand-derived engine: forward and backward, each with its derivation.

What depends on a dtype alone is prepared in an activation's kernel; `ActivationRule`
makes plain functions of it, for whoever wants the mathematics and not the last microsecond.

A kernel takes prepared arrays to write to, as NumPy's own functions do, and writes
nowhere else. The engine hands it arrays that hold its own inputs: then no step
allocates memory, and each pass over an array finds it where the pass before left
it, in the cache.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from .scalars import scalar


class Kernel(ABC):
    """Both directions of an elementwise f on arrays ``(B, O)`` of one dtype.

    The arrays to write to are given to NumPy's functions as they came, None included: an
    input that is also one of them is read for the last time by the function that writes there.
    """

    def __init__(self, dtype: Any) -> None:
        self.one = scalar(1, dtype)

    @abstractmethod
    def forward(self, z: Array) -> Array:
        """``a = f(z)``, for any z."""

    def from_minus_z(self, minus_z: Array, out: Array | None = None) -> Array:
        """``a = f(z)`` from -z, which a layer has as soon as z; `out` may be `minus_z`.

        Where z is none that this is safe for, NumPy notes an overflow; then the result is of no
        use, `minus_z` may be overwritten, and `forward` is to be asked.
        """
        return self.forward(np.negative(minus_z, out))

    @abstractmethod
    def backward(self, da: Array, a: Array, out: Array | None = None, spare: Array | None = None) -> Array:
        """``dz = da f'(z)``, with f' written in terms of a; `out` may be `da`, and `spare` `a`.

        What is no result goes to `spare`.
        """


class Sigmoid(Kernel):
    """``a = 1 / (1 + exp(-z))``."""

    def forward(self, z: Array) -> Array:
        """For z < 0, numerator and denominator times exp(z): ``a = exp(z) / (1 + exp(z))``.

        With ``e = exp(-|z|)`` both cases divide by ``1 + e`` and differ in the numerator, 1 or e.
        e lies in (0, 1], so nothing overflows. Where nothing would, the bits are those of `from_minus_z`.
        """
        try:
            with np.errstate(over="raise"):
                return self.from_minus_z(np.negative(z))
        except FloatingPointError:
            e = np.exp(-np.abs(z))
            a: Array = np.divide(np.where(z < 0, e, self.one), 1 + e)
            return a

    def from_minus_z(self, minus_z: Array, out: Array | None = None) -> Array:
        """``a = 1 / (1 + e)`` with ``e = exp(-z)``.

        Nothing cancels here: the relative error of e reaches a times ``e / (1 + e) < 1``, so
        that small outputs, quotients of accurate numbers, keep their full relative accuracy.
        That holds as long as e is a number. NumPy's loops note an overflow as they go: to
        have it raised costs no pass over z.
        """
        e = np.exp(minus_z, out)
        return np.divide(self.one, np.add(e, self.one, out), out)

    def backward(self, da: Array, a: Array, out: Array | None = None, spare: Array | None = None) -> Array:
        """``dz = da * a * (1 - a)``.

        With ``u = 1 + exp(-z)``, ``a = 1/u`` and ``u' = -exp(-z) = 1 - u``, so that
        ``a' = -u'/u**2 = (u - 1)/u**2 = 1/u - 1/u**2 = a - a**2 = a (1 - a)``.
        The chain rule gives ``dz = da * a'``. ``1 - a`` is taken as it stands:
        ``da*a - da*a*a`` would need no spare array, and cancel where a is near 1.
        """
        dz = np.multiply(da, a, out)
        return np.multiply(dz, np.subtract(self.one, a, spare), out)


@dataclass(frozen=True)
class ActivationRule:
    """An activation of arrays of any dtype."""

    kernel: type[Kernel]

    def forward(self, z: Array) -> Array:
        """``a = f(z)``."""
        return self.kernel(z.dtype).forward(z)

    def backward(self, da: Array, a: Array) -> Array:
        """``dz = da f'(z)``."""
        return self.kernel(a.dtype).backward(da, a)


ACTIVATIONS: dict[str, ActivationRule] = {
    "sigmoid": ActivationRule(Sigmoid),
}
