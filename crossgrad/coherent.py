"""Rounding errors followed together: how much larger than the floor the noise is where they add up.

The floor takes the errors that reach an element for independent of each other. But what one number is off
by takes many ways: that of an output moves every z above, and comes back through all of them. Of weights
that are drawn at random these ways have either sign. Where neighbouring rows or columns of a weight matrix
are alike, sorted or smooth say, they have one: a right engine errs by up to the root of their number more.

So before a run is called wrong by little, the case is run in float64 with a random error after every
operation, as large as the operation itself rounds (Monte-Carlo arithmetic; Parker 1997), a few times.
"""

from collections.abc import Mapping
from math import prod

import numpy as np

from .arithmetic import Arithmetic
from .floor import Floor
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Network
from .place import replayed
from .plain import step

RUNS = 8

WHOLE = 8.0
"""Runs that what the whole tensor scatters by counts as, beside those of an element: few say little of it."""

SEEN = 2.0**-27
"""Unit roundoff whose errors are seen beside float64's own: smaller ones are made as large meanwhile."""


def excess(case: Case, floor: Floor) -> dict[str, Array]:
    """How many times its floor the noise of each quantity's elements is: 1, or more."""
    right, scale = dict(floor.value), max(1.0, SEEN / Arithmetic.of(case.format).stored)
    with np.errstate(all="ignore"):
        own = replayed(case, right, stored=False)
        errors = _Errors(case, {name: scale * np.sqrt(found.variance) for name, found in own.items()})
        squares = {name: np.zeros(value.shape) for name, value in right.items()}
        for _ in range(RUNS):
            for name, value in step(case, moved=errors.added):
                squares[name] += np.square((value - right[name]) / scale)
        return {name: _beside(found, floor.sigma[name]) for name, found in squares.items()}


def needed_bytes(network: Network, batch_size: int) -> int:
    """Memory that `excess` takes at its peak: five arrays of each quantity's size, in float64."""
    return 5 * 8 * sum(prod(quantity.shape) for quantity in network.quantities(batch_size))


def _beside(squares: Array, sigma: Array) -> Array:
    variance = np.square(sigma)
    shares = np.divide(squares, RUNS * variance, out=np.ones_like(squares), where=variance > 0)
    shares = (RUNS * shares + WHOLE * np.mean(shares)) / (RUNS + WHOLE)
    found: Array = np.sqrt(np.maximum(shares, 1.0))
    return np.where(np.isfinite(found), found, 1.0)


class _Errors:
    """What each operation is off by, at random; on samples that are equal, by the same.

    Parameters
    ----------
    sigma
        By quantity, the standard deviation of what its operation alone rounds.
    """

    def __init__(self, case: Case, sigma: Mapping[str, Array]) -> None:
        self._sigma, self._draw = sigma, np.random.default_rng(0)
        x, y = case.batch
        forward, backward = _kinds(x), _kinds(np.hstack([x, y]))
        self._kinds = {"z": forward, "a": forward, "da": backward, "dz": backward}

    def added(self, name: str, value: Array) -> Array:
        """A quantity and an error."""
        error = self._draw.normal(size=value.shape)
        kinds = self._kinds.get(name.partition(".")[0])
        moved: Array = value + self._sigma[name] * (error if kinds is None else error[kinds])
        return moved


def _kinds(samples: Array) -> Array:
    """For each sample the first that is equal to it."""
    _, first, kind = np.unique(samples, axis=0, return_index=True, return_inverse=True)
    found: Array = first[kind.ravel()]
    return found
