"""Where functions are run: at the arguments, and near them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..networks.dtypes import Array, DType
from .arguments import Arguments, Values, is_float
from .rounding import Rounding


@dataclass(frozen=True)
class Point:
    """Where functions are run.

    Parameters
    ----------
    values
        The leaves of the arguments.
    wide
        Whether they are in float64, whatever the format under test.
    rounding
        At random from there on, or as the framework does it.
    intercepted
        Whether the operations round at random too, not the arguments alone.
    """

    values: Values
    wide: bool = False
    rounding: Rounding | None = None
    intercepted: bool = True

    def noise(self) -> Rounding | None:
        """What rounds the operations of one run from this point."""
        return self.rounding.again() if self.rounding is not None and self.intercepted else None


class Nearby:
    """Points near the arguments, drawn when first asked for and then the same for all functions.

    Parameters
    ----------
    seed
        Another one for each rerun.
    dtype
        The format that is rounded to, if that is not the arguments' own.
    """

    def __init__(self, arguments: Arguments, seed: int, dtype: DType | None = None) -> None:
        self._arguments, self._seed = arguments, seed
        self._dtype = dtype or arguments.format

    def undrawn(self) -> "Nearby":
        """The same points, of which nothing is held yet."""
        return Nearby(self._arguments, self._seed, self._dtype)

    @cached_property
    def rounded(self) -> Point:
        """In float64; inputs and operations round at random."""
        rounding = Rounding(self._dtype, self._seed)
        return Point(self._arguments.disturbed(rounding), wide=True, rounding=rounding)

    @cached_property
    def codes_rounded(self) -> Point | None:
        """As `rounded`, and what holds integers too; None if nothing does."""
        if not self._arguments.codes:
            return None
        rounding = Rounding(self._dtype, self._seed)
        return Point(self._arguments.disturbed(rounding, all_of_them=True), wide=True, rounding=rounding)

    @cached_property
    def inputs_rounded(self) -> Point:
        """As `rounded`, but what is differentiated by alone: a label of 1 must not become more."""
        moved = {key: self.rounded.values[key] for key in self._arguments.differentiated}
        values = self._arguments.in_float64 | moved
        return Point(values, wide=True, rounding=self.rounded.rounding, intercepted=False)

    @cached_property
    def neighbour(self) -> Point:
        """In the arguments' own format."""
        draw = np.random.default_rng(self._seed)
        values = {
            key: _neighbour(value, draw, self._dtype) if is_float(value) else value
            for key, value in self._arguments.values.items()
        }
        return Point(values)


def _neighbour(value: Array, draw: np.random.Generator, dtype: DType) -> Array:
    """One ulp up, one down, or the same, at random."""
    step = dtype.eps * draw.integers(-1, 2, value.shape)
    return np.asarray(np.asarray(value, np.float64) * (1 + step)).astype(value.dtype)
