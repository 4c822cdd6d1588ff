"""JAX's kernels of linear algebra, given a matrix near the one that the code gives them."""

from typing import Any

import jax
import numpy as np

from ..kernels import (
    COLUMNS,
    ELIMINATING,
    ORTHOGONAL,
    RANKED,
    SYMMETRIC,
    TRIANGULAR,
    error_of,
    loosened,
    looseness,
    near,
)
from ..rounding import Rounding
from .jax_loops import TracedRounding

WIDE = (np.float64, np.complex128)

KERNELS = {
    **{"svd": RANKED, "eigh": SYMMETRIC, "eig": ORTHOGONAL, "schur": ORTHOGONAL, "lu": ELIMINATING},
    **{"qr": COLUMNS, "geqrf": COLUMNS, "triangular_solve": TRIANGULAR},
}
"""Operations of matrices as a whole, the first of what they are given, and how they err.

Not the Cholesky factor, whose errors are as small as those of what it is given.
"""

VECTORS = {"svd": (1, 2), "eigh": (0,), "qr": (0,)}
"""Which of the results of such operations are vectors that are orthogonal but for errors."""


def as_kernels_take(name: str, inputs: list[Any], rounding: Rounding | TracedRounding) -> list[Any]:
    """What an operation is given; a kernel's matrix with the errors that it makes inside."""
    if name not in KERNELS or inputs[0].dtype not in WIDE:
        return inputs
    matrix, kind = inputs[0], KERNELS[name]
    if isinstance(rounding, Rounding):
        return [near(rounding, np.asarray(matrix), kind), *inputs[1:]]
    one, other = (rounding.draw_of_places(np.shape(matrix)) for _ in range(2))
    if kind == ELIMINATING:
        return [matrix + rounding.dtype.unit_roundoff * one * _eliminated(matrix), *inputs[1:]]
    error = error_of(matrix, one, other, rounding.dtype.unit_roundoff, kind, jax.numpy)
    return [jax.numpy.where(jax.numpy.isfinite(error), matrix + error, matrix), *inputs[1:]]


def as_kernels_give(name: str, results: list[Any], rounding: Rounding | TracedRounding) -> list[Any]:
    """What an operation gives; a kernel's vectors with the errors by which they are not orthogonal."""
    found = list(results)
    for number in VECTORS.get(name, ()):
        if number < len(found) and found[number].dtype in WIDE:  # else of singular values alone
            found[number] = _loosened(found[number], rounding)
    return found


def _eliminated(matrix: Any) -> Any:
    """How large what is rounded at each place is, in root mean square; by its factors, |L| |U|."""
    order, lower, upper = jax.scipy.linalg.lu(matrix)
    squares = jax.numpy.abs(order @ lower) ** 2 @ jax.numpy.abs(upper) ** 2
    return jax.numpy.sqrt(2 / 3 * squares)


def _loosened(vectors: Any, rounding: Rounding | TracedRounding) -> Any:
    if isinstance(rounding, Rounding):
        return loosened(rounding, np.asarray(vectors))
    draw = rounding.draw_of_places(np.shape(vectors))
    return vectors + looseness(vectors, draw, rounding.dtype.unit_roundoff)
