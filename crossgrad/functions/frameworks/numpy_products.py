"""NumPy's functions that add up products: along which axes they do, and how large their partial sums are."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from ..squares import squares_of_contraction, squares_of_product

PRODUCTS = (np.dot, np.vdot, np.inner, np.tensordot, np.einsum, np.convolve, np.correlate)
"""Functions that round and are no ufuncs."""


@np.errstate(all="ignore")
def squares_of_products(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Array | None:
    """What `Rounding.of_result` takes of one of `PRODUCTS`, or of matmul; None where that is not known.

    Operands may be lists, and are given by their places.
    """
    told = {name: value for name, value in kwargs.items() if name != "out"}
    if function is np.einsum:
        return _of_einsum(args, told) if isinstance(args[0], str) else None
    if len(args) < 2 or any(isinstance(value, np.ndarray) for value in told.values()):
        return None
    left, right = map(_plain, args[:2])
    if function is np.matmul:
        return _of_matmul(left, right)
    axes = _axes(function, left, right, *args[2:], **told)
    whole = partial(_called, function, args[2:], told)
    if axes is None:
        return np.asarray(whole(np.square(left), np.square(right)))
    return squares_of_contraction(whole, (left, right), axes)


def _called(function: Any, others: Sequence[Any], told: Mapping[str, Any], *operands: Array) -> Any:
    return function(*operands, *others, **told)


def _plain(value: Any) -> Array:
    return np.asarray(value, np.float64).view(np.ndarray)


def _of_matmul(left: Array, right: Array) -> Array:
    """A vector is a row on the left, and a column on the right, which the product has not."""
    squares = squares_of_product(np.atleast_2d(left), right[:, None] if right.ndim == 1 else right)
    squares = squares[..., 0] if right.ndim == 1 else squares
    return np.take(squares, 0, -1 if right.ndim == 1 else -2) if left.ndim == 1 else squares


def _axes(function: Any, left: Array, right: Array, axes: Any = 2, **_: Any) -> tuple[int, int] | None:
    """Along which axis of each a function sums, the longest if there are several; None of what slides."""
    if function is np.tensordot:
        pairs = _pairs(left, axes)
        return max(pairs, key=lambda pair: left.shape[pair[0]], default=None)
    if function not in (np.dot, np.inner) or not left.ndim or not right.ndim:
        return None
    return -1, -2 if function is np.dot and right.ndim > 1 else -1


def _pairs(left: Array, axes: Any) -> list[tuple[int, int]]:
    """The axes that `np.tensordot` sums over."""
    if np.ndim(axes) == 0:
        return [(left.ndim - int(axes) + n, n) for n in range(int(axes))]
    ours, theirs = (np.atleast_1d(given).tolist() for given in axes)
    return list(zip(ours, theirs, strict=True))


def _of_einsum(args: Sequence[Any], told: Mapping[str, Any]) -> Array:
    """Along the longest axis that it sums over, of what names all axes, each once in an operand."""
    letters, operands = args[0].replace(" ", ""), [_plain(value) for value in args[1:]]
    whole = partial(np.einsum, letters, **told)
    indices, arrow, result = letters.partition("->")
    terms = indices.split(",")
    if not arrow:
        result = "".join(letter for letter in indices if indices.count(letter) == 1)
    sizes = {
        letter: size
        for term, operand in zip(terms, operands, strict=True)
        for letter, size in zip(term, operand.shape, strict=False)
        if letter not in result
    }
    if "." in letters or not sizes or any(len(set(term)) < len(term) for term in terms):
        return np.asarray(whole(*map(np.square, operands)))
    longest = max(sizes, key=lambda letter: sizes[letter])
    axes = [term.index(longest) if longest in term else None for term in terms]
    return squares_of_contraction(whole, operands, axes)
