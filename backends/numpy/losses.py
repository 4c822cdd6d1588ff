"""Losses of the hand-derived engine: value and derivative, with their derivation.

All of them are the squared distance of outputs and targets, divided by a count.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from .scalars import scalar

TERMS = 1024
"""Terms up to which a dot product is as accurate as NumPy's pairwise sum of the products."""


class SquaredError:
    """``L = sum(r**2) / n`` of the residual ``r = a - y`` ``(B, O)``, in one dtype.

    Each element of a enters one term only, and ``d(r**2)/da = 2 r``, so that
    ``dL/da = 2 r / n = r / (n/2)``. Arrays to write to come last, as in `Kernel`.

    Parameters
    ----------
    n
        What the sum is divided by.
    size
        B O.
    """

    def __init__(self, n: int, size: int, dtype: Any) -> None:
        self._n, self._half_n = dtype.type(n), scalar(n / 2, dtype)
        self._terms = next(terms for terms in range(min(size, TERMS), 0, -1) if size % terms == 0)
        self._at_once = self._terms == size

    def value(self, r: Array) -> Any:
        """The loss: dot products of as many terms as divide B O evenly, summed pairwise.

        The error of a pairwise sum grows like the logarithm of B O. One dot product of all would
        be 17 times less accurate on a million float32 numbers; `TERMS` at a time are as accurate
        as the pairwise sum of ``r * r``, and faster, as nothing is written.
        """
        if self._at_once:
            return np.vdot(r, r) / self._n
        pieces = r.reshape(-1, self._terms)
        return np.add.reduce(np.vecdot(pieces, pieces)) / self._n

    def backward(self, r: Array, out: Array | None = None) -> Array:
        """``da (B, O)``; `out` may be `r`."""
        return np.divide(r, self._half_n, out)


@dataclass(frozen=True)
class LossRule:
    """A loss of outputs a ``(B, O)`` and targets y, of any dtype.

    Parameters
    ----------
    count
        ``count(samples, outputs)``: what the squared distance is divided by.
    """

    count: Callable[[int, int], int]

    def kernel(self, shape: tuple[int, int], dtype: Any) -> SquaredError:
        """The loss for arrays ``(B, O)`` of one shape and dtype."""
        return SquaredError(self.count(*shape), math.prod(shape), dtype)

    def value(self, a: Array, y: Array) -> Any:
        """The loss."""
        return self.kernel(a.shape, a.dtype).value(a - y)

    def backward(self, a: Array, y: Array) -> Array:
        """``da (B, O)``."""
        return self.kernel(a.shape, a.dtype).backward(a - y)


LOSSES: dict[str, LossRule] = {
    "mse": LossRule(lambda samples, outputs: samples * outputs),
    "mse-sum": LossRule(lambda samples, outputs: 1),
    "half-mse": LossRule(lambda samples, outputs: 2 * samples),
}
