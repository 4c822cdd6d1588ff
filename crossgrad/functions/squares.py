"""How large the partial sums of an operation are where its terms cancel: `squares` of `Rounding.of_result`.

That is the sum of the squares of the terms, by which a random walk goes. It is more where terms come in an
order, as those of samples that are sorted, so that a sum goes far out before it comes back. (Gradients of a
convolution's weights, and sums inside of JAX's loops, are not followed in their order.)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..networks.dtypes import Array
from ..partial_sums import with_mean_square

SAMPLED, MATRICES = 128, 8
"""Rows and columns of a large product that are looked at for an order of terms; and of a batch, how many."""

FAR = 2.0
"""How many times as large as a random walk's the squares of a row or a column are where there is one."""


@np.errstate(all="ignore")
def squares_of_product(left: Array, right: Array) -> Array:
    """What `Rounding.of_result` takes of ``left @ right``, of matrices or batches of them."""
    squares: Array = np.square(left) @ np.square(right)
    if squares.size > SAMPLED**2 and not _goes_far(left, right):
        return squares
    return _or_walked(squares, left.shape[-1], lambda some: left[..., some] @ right[..., some, :])


def squares_of_contraction(
    function: Callable[..., Any], operands: Sequence[Array], axes: Sequence[int | None]
) -> Array:
    """The same of a function that sums products of its operands.

    Parameters
    ----------
    axes
        Along which axis of each it sums first; None of an operand that is the same for all terms.
    """
    count = max(operand.shape[axis] for operand, axis in zip(operands, axes, strict=True) if axis is not None)
    squares = np.asarray(function(*map(np.square, operands)))

    def sum_of(some: slice) -> Array:
        parts = [
            operand if axis is None else operand[(slice(None),) * (axis % operand.ndim) + (some,)]
            for operand, axis in zip(operands, axes, strict=True)
        ]
        return np.atleast_1d(np.array(function(*parts)))

    return _or_walked(np.atleast_1d(squares), count, sum_of).reshape(squares.shape)


@np.errstate(all="ignore")
def squares_of_sum(array: Array, axes: Sequence[int]) -> Array:
    """The same of a sum along axes, without these."""
    moved = np.moveaxis(array, axes, range(len(axes)))
    kept = moved.shape[len(axes) :]
    terms = moved.reshape(math.prod(moved.shape[: len(axes)]), math.prod(kept))
    squares = np.square(terms).sum(axis=0)
    return _or_walked(squares, len(terms), lambda some: terms[some].sum(axis=0)).reshape(kept)


def _or_walked(squares: Array, count: int, sum_of: Callable[[slice], Array]) -> Array:
    """Squares of terms, or more where partial sums were larger than terms of random signs make them.

    `Rounding.of_result` takes these to have, on average, a third of ``total**2 + squares`` as their square.
    """
    total, walked = with_mean_square(count, sum_of)
    return squares if walked is None else np.maximum(squares, 3 * walked - np.square(total))


def _goes_far(left: Array, right: Array) -> bool:
    """Whether a row or a column of a product, of some of them, has larger partial sums than random terms."""
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    lefts, rights = (np.broadcast_to(array, (*batch, *array.shape[-2:])) for array in (left, right))
    count = math.prod(batch)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MATRICES)).astype(int))
    number = SAMPLED // len(chosen)
    at = [np.unravel_index(n, batch) if batch else () for n in chosen]
    return any(_one_goes_far(_some(lefts[n], 0, number), _some(rights[n], 1, number)) for n in at)


def _one_goes_far(left: Array, right: Array) -> bool:
    squares = np.square(left) @ np.square(right)
    walked = _or_walked(np.zeros_like(squares), len(right), lambda some: left[:, some] @ right[some])
    times = np.divide(walked, squares, out=np.zeros_like(squares), where=squares > 0)
    return any(np.max(np.mean(times, axis=axis)) > FAR for axis in (0, 1))


def _some(array: Array, axis: int, number: int) -> Array:
    """As many of what is along an axis, or up to twice as many, evenly."""
    step = max(1, array.shape[axis] // number)
    return np.ascontiguousarray(array[::step] if axis == 0 else array[:, ::step])  # else no BLAS takes it
