"""Sums of which each element has another number of terms: running sums, and sums over indices.

Libraries add these up from left to right, one term after the other. Their errors are random, of
partial sums as large as they were; and they are what the very operation makes of its inputs in the
narrow format: of equal terms, or of terms that are nothing to the sum any more, each is rounded the same way.

Both functions round with `Rounding` or, in JAX's loops, `TracedRounding`, whose `xp` is `jax.numpy`;
``again(part)`` is the operation once more, of a part of its inputs.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Protocol

import numpy as np

from ..networks.dtypes import DType, find_dtype
from .rounding import Squares, spread

Again = Callable[[Callable[[Any], Any]], Any]

MANY = 1e9
"""Terms, so that a draw is fine beside float64's own rounding."""


class Rounds(Protocol):
    @property
    def dtype(self) -> DType: ...

    def of_result(
        self, array: Any, terms: float, site: Hashable = None, squares: Squares | None = None
    ) -> Any: ...


@np.errstate(all="ignore")
def of_indexed_sums(rounding: Rounds, sums: Any, again: Again, xp: Any = np) -> Any:
    """Round sums of terms that an index chose. One term alone is not rounded, nor are zeros."""
    terms = again(lambda array: (array != 0).astype(array.dtype))
    # Where terms cancel, partial sums were as large as the root of their squares' sum.
    size = xp.maximum(xp.abs(sums), xp.sqrt(again(xp.square)))
    errors = _errors(rounding, size, xp) * xp.sqrt(3 + terms) / 2  # spread(terms) / spread(1)
    return sums + xp.where(terms > 1, errors, 0.0) + _of_the_format(rounding, again, xp)


@np.errstate(all="ignore")
def of_running_sums(
    rounding: Rounds, sums: Any, again: Again, axis: int, reverse: bool = False, xp: Any = np
) -> Any:
    """Round sums of the first term, the first two, and so on: each keeps the errors of those before it.

    The first is not rounded, nor is one that its last term left as it was.
    """
    if not sums.ndim or not sums.size:
        return sums
    steps = xp.flip(sums, axis) if reverse else sums
    first = xp.take(steps, xp.array([0]), axis)
    moves = xp.diff(steps, axis=axis, prepend=first) != 0
    errors = xp.cumsum(xp.where(moves, _errors(rounding, steps, xp), 0.0), axis)
    if rounding.dtype.name == "float64":  # in which torch adds up float32
        terms = xp.diff(sums, axis=axis, prepend=0 * xp.take(sums, xp.array([0]), axis))
        again = partial(_added_up, terms, axis, xp)
    return sums + (xp.flip(errors, axis) if reverse else errors) + _of_the_format(rounding, again, xp)


def _added_up(terms: Any, axis: int, xp: Any, part: Callable[[Any], Any]) -> Any:
    return xp.cumsum(part(terms), axis).astype(terms.dtype)


def _of_the_format(rounding: Rounds, again: Again, xp: Any) -> Any:
    """The error that the operation makes in the format, times one random number.

    There is none to be seen of float64 itself: float32's, in proportion.
    """
    one = xp.ones(())
    narrow = find_dtype("float32") if rounding.dtype.name == "float64" else rounding.dtype
    error = again(lambda array: array.astype(narrow.storage)) - again(
        lambda array: array.astype(narrow.storage).astype(array.dtype)
    )
    draw = (rounding.of_result(one, MANY) - one) / (narrow.unit_roundoff * spread(MANY))
    return xp.where(xp.isfinite(error), error, 0.0) * draw


def _errors(rounding: Rounds, array: Any, xp: Any) -> Any:
    """What one rounding moves each element by; nothing where it is not finite."""
    errors = rounding.of_result(array, 1.0) - array
    return xp.where(xp.isfinite(errors), errors, 0.0)
