"""Losses of the wide reference, from the distance ``d = a - y``: value and derivative."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .pairs import ROUNDING, Estimated, Pair


@dataclass(frozen=True)
class Mean:
    """``L = sum(d**2) / count``: the mean over what `count` says, given the shape ``(B, O)``.

    (d + h)**2 - d**2 = 2 d h + h**2: the derivative by one element is ``2 d / count``.
    """

    count: Callable[[int, int], int]

    def value(self, d: Estimated) -> Estimated:
        """The loss; errors of d change it by at most ``sum(2 |d| error) / count``."""
        count = self._count(d)
        flat = Pair(d.values.high.reshape(-1), d.values.low.reshape(-1))
        loss = (flat * flat).sum() / count
        inherited = (2 * d.size * d.error).sum() / count.high
        return Estimated(loss, inherited + ROUNDING * d.error.size * loss.high)

    def derivative(self, d: Estimated) -> Estimated:
        """The derivative by a, ``(B, O)``."""
        count = self._count(d)
        da = (d.values + d.values) / count
        return Estimated(da, 2 * d.error / count.high + ROUNDING * np.abs(da.high))

    def _count(self, d: Estimated) -> Pair:
        return Pair.exactly(self.count(*d.error.shape), d.values.kind)


LOSSES: Mapping[str, Mean] = {
    "mse": Mean(lambda samples, outputs: samples * outputs),
    "mse-sum": Mean(lambda samples, outputs: 1),
    "half-mse": Mean(lambda samples, outputs: 2 * samples),
}
