"""How far random roundings move what a function returns."""

import math
from collections.abc import Mapping

import numpy as np

from ..networks.dtypes import Array, DType
from .flat import Flat
from .points import Nearby
from .rounding import BLOCK, underflow
from .runs import FunctionFailed, Outcome, Runner

SHRINKAGE = 8.0
"""Reruns that the estimate from an element's neighbours counts as; see `_shrink`."""

SELDOM = 1e-9
"""How often an element's own reruns may scatter by so much less than its noise; see `most_seldom`."""

LEAST_UNIT = 2.0**-400
"""What is stored to less may scatter by anything, if it is zero by cancelling: too far for squares."""

LEAST_SQUARED, MOST_SQUARED = 1e-140, 1e150
"""Numbers between these have squares that are normal numbers."""


class Scatter:
    """The distances of reruns near the arguments from the run at them, in root mean square.

    Parameters
    ----------
    centre
        What the function returns at the arguments.
    dtype
        The format whose roundings these are.
    """

    def __init__(self, runner: Runner, centre: Outcome, dtype: DType) -> None:
        self._runner, self._is_wide = runner, centre.is_wide
        self._flat = Flat(centre.quantities)
        self._storing = _storing(self._flat.values, dtype)
        # In units of its element's storing a scatter can be squared; 1e-170 itself would underflow.
        self._in_squares = bool(self._storing.min(initial=1.0) >= LEAST_UNIT)
        self._sums, self._apart = np.zeros_like(self._storing), np.empty_like(self._storing)
        self._seen: list[Nearby] = []
        self._centre, self._parts = (self._flat.apart(v) for v in (self._flat.values, self._apart))
        self._reruns, self._jump = 0, math.sqrt(dtype.eps)
        self.unseen: str | None = None
        """Why the errors of operations are not in it."""

    def add(self, nearby: Nearby) -> None:
        """Rerun the function once.

        Without a wider format, from inputs one ulp to either side. Else with random roundings;
        of the inputs alone, if it refuses arrays that are watched, as compiled code does. Where it refuses
        them after some reruns, those are done again.
        """
        self._add(self._rerun(nearby).quantities)

    def _add(self, moved: Mapping[str, Array]) -> None:
        with np.errstate(all="ignore"):
            for name, part in self._parts.items():
                np.subtract(moved[name], self._centre[name], out=part)
            if self._in_squares:
                self._apart /= self._storing
                self._apart *= self._apart
                self._sums += self._apart
            else:
                np.hypot(self._sums, self._apart, out=self._sums)
        self._reruns += 1

    def _rerun(self, nearby: Nearby) -> Outcome:
        if not self._is_wide:
            return self._runner.run(nearby.neighbour)
        if self.unseen is None:
            try:
                found = self._runner.run(nearby.rounded)
                found = found if self._runner.is_seen else self._with_codes(found, nearby)
                self._seen.append(nearby.undrawn())
                return found
            except FunctionFailed as error:
                self.unseen = f"operations not seen, noise is that of the inputs: {error}"
                self._start_over()
        return self._runner.run(nearby.inputs_rounded)

    def _start_over(self) -> None:
        """The reruns so far once more, of the inputs' roundings alone."""
        self._sums[...], self._reruns = 0.0, 0
        while self._seen:
            self._add(self._runner.run(self._seen.pop().inputs_rounded).quantities)

    def _with_codes(self, found: Outcome, nearby: Nearby) -> Outcome:
        """A rerun in which integers move too, of a function whose operations err by nothing else.

        Where the result jumps, or there is none, they were labels, and it is the rerun without.
        """
        if nearby.codes_rounded is None:
            return found
        try:
            moved = self._runner.run(nearby.codes_rounded)
        except FunctionFailed:
            return found
        with np.errstate(all="ignore"):
            jumps = any(
                not np.linalg.norm(moved.quantities[name] - value) <= self._jump * np.linalg.norm(value)
                for name, value in found.quantities.items()
            )
        return found if jumps else moved

    def sigma(self) -> dict[str, Array]:
        """Standard deviation of rounding noise by quantity."""
        own = self._sums / math.sqrt(self._reruns)
        if self._in_squares:
            own = np.sqrt(self._sums / self._reruns)
            own *= self._storing
        for part in self._flat.apart(own).values():
            _shrink(part, self._reruns)
        return self._flat.apart(hypot(own, self._storing))


def hypot(one: Array, other: Array) -> Array:
    """As np.hypot, in a quarter of its time: by squares where they neither overflow nor underflow."""
    found = np.empty(one.size)
    for start in range(0, found.size, BLOCK):
        a, b, part = (whole.ravel()[start : start + BLOCK] for whole in (one, other, found))
        with np.errstate(all="ignore"):
            np.multiply(a, a, out=part)
            part += b * b
            np.sqrt(part, out=part)
        if not (part.min() >= LEAST_SQUARED and part.max() <= MOST_SQUARED):
            np.hypot(a, b, out=part)
    return found.reshape(one.shape)


def _shrink(own: Array, reruns: int) -> None:
    """Draw each element's root mean square over a few reruns towards what its row and its column have.

    Few draws leave an element's own estimate uncertain, and one that is too small by chance
    would make an error of rounding look like a bug. A weight's gradient is a sum of products,
    so that its noise is about that of its row times that of its column. But one that hardly moves
    beside neighbours that do, as a bias's gradient of 1e-89 beside others of 1, has not their noise.
    """
    largest = float(np.max(own, initial=0.0))
    if not np.isfinite(largest) or largest == 0.0 or own.ndim == 0:
        return
    most = own * most_seldom(reruns)
    own /= largest
    # Not of squares, which underflow where a saturated unit's gradients are 1e-170.
    neighbours = whole = np.mean(own)
    for axis in range(own.ndim):
        if others := tuple(n for n in range(own.ndim) if n != axis):
            neighbours = neighbours * (np.mean(own, axis=others, keepdims=True) / whole)
    own *= largest * reruns / (reruns + SHRINKAGE)
    own += neighbours * (largest * SHRINKAGE / (reruns + SHRINKAGE))
    np.minimum(own, most, out=own)


def most_seldom(reruns: int) -> float:
    """How many times an element's own scatter its noise is at most: normal draws seldom lie closer to zero.

    The probability of that is the beginning of chi squared's distribution,
    ``(n / (2 k**2))**(n/2) / gamma(n/2 + 1)`` for `n` draws and `k` times.
    """
    half = reruns / 2
    return math.sqrt(half / math.exp((math.log(SELDOM) + math.lgamma(half + 1)) / half))


def _storing(value: Array, dtype: DType) -> Array:
    """What rounding the result itself adds, which every run in the format does."""
    found, sizes = np.empty(value.size), np.abs(value.ravel())
    for start in range(0, found.size, BLOCK):
        size, part = sizes[start : start + BLOCK], found[start : start + BLOCK]
        np.multiply(size, dtype.unit_roundoff / math.sqrt(3), out=part)
        np.maximum(part, dtype.smallest_subnormal, out=part)
        if not size.min() >= 2.0**dtype.min_exponent:  # NaN is not
            np.maximum(part, underflow(size, dtype), out=part)
    return found.reshape(value.shape)
