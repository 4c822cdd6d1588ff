"""How large the partial sums of an operation are where its terms cancel: `squares` of `Rounding.of_result`.

That is the sum of the squares of the terms, by which a random walk goes. It is more where terms come in an
order, as those of samples that are sorted, so that a sum goes far out before it comes back. (Gradients of a
convolution's weights, and sums inside of JAX's loops, are not followed in their order.)
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..networks.dtypes import Array
from ..partial_sums import with_mean_square


@np.errstate(all="ignore")
def squares_of_product(left: Array, right: Array) -> Array:
    """What `Rounding.of_result` takes of ``left @ right``, of matrices or batches of them."""
    squares: Array = np.square(left) @ np.square(right)
    return _or_walked(squares, left.shape[-1], lambda some: left[..., some] @ right[..., some, :])


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
