"""Kernels of linear algebra: their errors are those of a matrix near the one that they were given.

What happens in LAPACK is not seen, and an error on each number that goes in or comes out is not
what it makes. By backward error analysis (Higham 2002) the result is nearly that of A + E, where E has
the size of one rounding of the whole matrix, not of its elements: a zero, and what is small beside others,
errs as they do, and rows that are equal do not err equally.
"""

from typing import Any

import numpy as np

from ..networks.dtypes import Array
from .rounding import Rounding

ORTHOGONAL = "orthogonal"
"""Of orthogonal transformations of both sides: E is dense, and as large as the matrix's 2-norm says."""

SYMMETRIC = "symmetric"
"""As `ORTHOGONAL`, of a symmetric or Hermitian matrix, which it stays."""

RANKED = "ranked"
"""As `ORTHOGONAL`, but what has no full rank keeps its rank, by which code and pseudoinverses decide."""

ELIMINATING = "eliminating"
"""Gaussian elimination with pivots: each element errs by what is subtracted from it, and what is left."""

COLUMNS = "columns"
"""Householder's QR: each column errs by its own size."""

TRIANGULAR = "triangular"
"""Substitution, of factors: each element errs by its own size, and elements that are zero do not."""

LASTING = 2.0
"""Roundings by which all singular values are wrong alike, as rotations and reflections are not exact."""

COUPLING = 3.0
"""Roundings of the norm by which vectors are mixed that have neighbouring values; others less.

What couples these is dropped where it is below ten or sixteen roundings (LAPACK's sbdsqr and slasd2).
"""

LARGE = 200
"""Rows or columns from which on elimination is not done again to see what it rounds."""

NONE = 10
"""Times as many roundings of float64 as there are rows or columns, below which a singular value is none.

As in `jax.numpy.linalg.pinv`; PyTorch and NumPy take less for zero.
"""


@np.errstate(all="ignore")
def near(rounding: Rounding, matrix: Array, kind: str) -> Array:
    """A matrix, or a batch of them, as the one that a kernel's result in the narrow format belongs to."""
    if matrix.ndim < 2 or not matrix.size or not np.isfinite(matrix).all():
        return matrix
    draw = rounding.draw_of_matrix(matrix)
    if np.iscomplexobj(matrix):
        turned = rounding.draw_of_matrix(matrix, 1)
        draw = (draw + 1j * turned) / np.sqrt(2)
    others = rounding.draw_of_matrix(matrix, 2) if kind in (RANKED, SYMMETRIC) else draw
    unit = rounding.dtype.unit_roundoff
    if kind == ELIMINATING:
        moved = matrix + unit * draw * _elimination(matrix)
    else:
        moved = matrix + error_of(matrix, draw, others, unit, kind, np)
    if kind == RANKED:
        moved = _of_the_rank_of(matrix, moved)
    return np.where(np.isfinite(moved), moved, matrix)


def error_of(matrix: Any, draw: Any, others: Any, unit: float, kind: str, xp: Any) -> Any:
    """E, made of two arrays of numbers with a variance of one; `xp` is NumPy, or JAX's."""
    rows, columns = matrix.shape[-2:]
    if kind == TRIANGULAR:
        return unit * np.sqrt(1 / 3) * draw * matrix
    lengths = xp.sqrt(xp.sum(xp.abs(matrix) ** 2, axis=-2, keepdims=True))
    if kind == COLUMNS:
        return unit * (1 + np.sqrt(columns) / 2) / np.sqrt(rows) * draw * lengths
    if kind == ORTHOGONAL:
        norm, coupled = xp.linalg.norm(matrix, 2, axis=(-2, -1), keepdims=True), 0.0
    else:
        norm, coupled = _coupled(matrix, others, kind, xp)
    if kind == SYMMETRIC:
        draw = _mirrored(draw, xp)
    # A random matrix has a norm of sqrt(m) + sqrt(n).
    dense = steps(min(rows, columns)) / (np.sqrt(rows) + np.sqrt(columns)) * draw
    lasting = LASTING * np.sqrt(rows * columns) * xp.real(xp.mean(draw, axis=(-2, -1), keepdims=True))
    return unit * (norm * (dense + coupled) + lasting * matrix)


def _coupled(matrix: Any, draw: Any, kind: str, xp: Any) -> tuple[Any, Any]:
    """A matrix's norm, and how vectors are mixed whose values are neighbours, in units of it."""
    if kind == SYMMETRIC:
        values, left = xp.linalg.eigh(matrix)
        right = xp.conj(xp.swapaxes(left, -1, -2))
    else:
        left, values, right = xp.linalg.svd(matrix, full_matrices=False)
    number = values.shape[-1]
    apart = np.abs(np.subtract.outer(np.arange(number), np.arange(number)))
    mixed = np.where(apart, COUPLING / np.maximum(apart, 1), 0.0) * xp.real(draw)[..., :number, :number]
    if kind == SYMMETRIC:
        mixed = _mirrored(mixed, xp)
    return xp.max(xp.abs(values), axis=-1)[..., None, None], left @ mixed @ right


def _mirrored(draw: Any, xp: Any) -> Any:
    """What is symmetric, or Hermitian, as the upper triangle is."""
    found = xp.triu(draw) + xp.conj(xp.swapaxes(xp.triu(draw, 1), -1, -2))
    return (found + xp.conj(xp.swapaxes(found, -1, -2))) / 2  # the diagonal is real


def steps(size: int) -> float:
    """How often errors of one rounding add up, as the root of their number: beyond 44 rows no more.

    So measured are float32's singular values and eigenvectors of PyTorch and JAX.
    """
    return float(min(3 * np.sqrt(size), 20.0))


def loosened(rounding: Rounding, vectors: Array) -> Array:
    """Singular vectors, or others of length one, with an error by which they are not orthogonal."""
    if vectors.ndim < 2 or not vectors.size or not np.isfinite(vectors).all():
        return vectors
    draw = rounding.draw_of_matrix(vectors)
    return np.asarray(vectors + looseness(vectors, draw, rounding.dtype.unit_roundoff))


def looseness(vectors: Any, draw: Any, unit: float) -> Any:
    """The error that `loosened` adds."""
    rows, columns = vectors.shape[-2:]
    return unit * steps(min(rows, columns)) / 3 / np.sqrt(max(rows, columns)) * draw


def _elimination(matrix: Array) -> Array:
    """The size of elimination's errors, in roundings: with pivots of rows or, as in PyTorch, of columns."""
    rows, columns = matrix.shape[-2:]
    if max(rows, columns) > LARGE:
        across, down = (np.linalg.norm(matrix, axis=axis, keepdims=True) for axis in (-1, -2))
        least = np.minimum(across / columns**0.5, down / rows**0.5)
        return np.asarray(np.sqrt(min(rows, columns)) / 2 * least)
    other = np.swapaxes(_eliminated(np.swapaxes(matrix, -1, -2)), -1, -2)
    return np.asarray(np.sqrt(2 / 3 * np.maximum(_eliminated(matrix), other)))


def _eliminated(matrix: Array) -> Array:
    """The sum of the squares of what is rounded at each place by elimination with pivots of rows."""
    left = matrix.reshape(-1, *matrix.shape[-2:]).copy()
    squares = np.abs(left) ** 2
    batch, order = np.arange(len(left)), np.tile(np.arange(left.shape[1]), (len(left), 1))
    for k in range(min(left.shape[1:])):
        pivot = k + np.argmax(np.abs(left[:, k:, k]), axis=1)
        for array in (left, squares, order):
            array[batch, k], array[batch, pivot] = array[batch, pivot], array[batch, k].copy()
        head = left[:, k, k, None]
        factors = np.where(head == 0, 0, left[:, k + 1 :, k] / np.where(head == 0, 1, head))
        products = factors[:, :, None] * left[:, k, None, k + 1 :]
        rest = left[:, k + 1 :, k + 1 :]
        rest -= products
        squares[:, k + 1 :, k + 1 :] += np.abs(products) ** 2 + np.abs(rest) ** 2
        squares[:, k + 1 :, k] += np.abs(left[:, k + 1 :, k]) ** 2
    found = np.empty_like(squares)
    found[batch[:, None], order] = squares
    return found.reshape(matrix.shape)


def _of_the_rank_of(matrix: Array, moved: Array) -> Array:
    values = np.linalg.svd(matrix, compute_uv=False)
    least = NONE * max(matrix.shape[-2:]) * np.finfo(np.float64).eps * values[..., :1]
    kept = values > least
    if kept.all():
        return moved
    left, values, right = np.linalg.svd(moved, full_matrices=False)
    return np.asarray((left * np.where(kept, values, 0.0)[..., None, :]) @ right)
