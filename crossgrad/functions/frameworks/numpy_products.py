"""NumPy's functions that add up products: of how many terms, along which axes, with which partial sums."""

import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from ..squares import squares_of_contraction, squares_of_product

OPERANDS: dict[Any, tuple[str, str]] = {
    **dict.fromkeys((np.dot, np.vdot, np.inner, np.tensordot), ("a", "b")),
    **dict.fromkeys((np.convolve, np.correlate), ("a", "v")),
}
"""Functions that round and are no ufuncs, and the names of their operands; einsum has none."""

PRODUCTS = (*OPERANDS, np.einsum)

UFUNCS: dict[Any, tuple[int, int]] = {
    getattr(np, name): axes
    for name, axes in {"matmul": (-1, -2), "matvec": (-1, -1), "vecmat": (-1, -2), "vecdot": (-1, -1)}.items()
    if hasattr(np, name)
}
"""Ufuncs that add up products, and along which axes."""


@dataclass(frozen=True)
class Product:
    """A sum of products.

    Parameters
    ----------
    function
        Of the operands alone.
    axes
        Along which of each it sums first, as `squares_of_contraction` takes them; None if it slides.
    terms
        Of each element.
    """

    function: Callable[..., Any]
    operands: Sequence[Array]
    axes: Sequence[int | None] | None
    terms: float

    @np.errstate(all="ignore")
    def squares(self) -> Array:
        """What `Rounding.of_result` takes of it."""
        if self.axes is None:
            return np.asarray(self.function(*map(np.square, self.operands)))
        return squares_of_contraction(self.function, self.operands, self.axes)


def product_of(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], size: int) -> Product | None:
    """What one of `PRODUCTS` is told to add up for a result of that size; None of what is not understood."""
    told = {name: value for name, value in kwargs.items() if name != "out"}
    try:
        return _of_einsum(args, told) if function is np.einsum else _of_two(function, args, told, size)
    except (ValueError, TypeError, KeyError, IndexError):  # NumPy takes more than is known here
        return None


def terms_of_ufunc(inputs: Sequence[Any], options: Mapping[str, Any]) -> float:
    """Of how many terms one of `UFUNCS` adds up each element."""
    shape, axes = np.shape(inputs[0]), options.get("axes")
    if axes is not None:
        return float(shape[np.atleast_1d(axes[0])[-1]])
    return float(shape[options.get("axis", -1)])


def squares_of_ufunc(ufunc: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Array | None:
    """What `Rounding.of_result` takes of one of `UFUNCS`; None where another than matmul is told its axes."""
    left, right = map(_plain, inputs)
    axes, are_matrices = options.get("axes"), ufunc is np.matmul and left.ndim > 1 and right.ndim > 1
    if axes is not None and are_matrices:
        moved = (np.moveaxis(array, at, (-2, -1)) for array, at in zip((left, right), axes, strict=False))
        return np.moveaxis(squares_of_product(*moved), (-2, -1), axes[-1])
    if axes is not None or "axis" in options:
        return None
    if are_matrices:
        return squares_of_product(left, right)
    return squares_of_contraction(ufunc, (left, right), (-1, -1 if right.ndim == 1 else UFUNCS[ufunc][1]))


def _plain(value: Any) -> Array:
    return np.asarray(value, np.float64).view(np.ndarray)


def _of_two(function: Any, args: Sequence[Any], told: dict[str, Any], size: int) -> Product:
    others = list(args)
    left, right = (_plain(others.pop(0) if others else told.pop(name)) for name in OPERANDS[function])
    if function is np.dot:
        others = []  # where to write
    whole = partial(_called, function, others, told)
    if function in (np.convolve, np.correlate):
        return Product(whole, (left, right), None, float(min(left.size, right.size)))
    terms = math.sqrt(left.size * right.size / max(1, size))
    return Product(whole, (left, right), _axes(function, left, right, *others, **told), max(1.0, terms))


def _called(function: Any, others: Sequence[Any], told: Mapping[str, Any], *operands: Array) -> Any:
    return function(*operands, *others, **told)


def _axes(function: Any, left: Array, right: Array, axes: Any = 2) -> tuple[int, int] | None:
    """Along which axis of each a function sums, the longest if there are several."""
    if function is np.tensordot:
        return max(_pairs(left, axes), key=lambda pair: left.shape[pair[0]], default=None)
    if function is np.vdot or not left.ndim or not right.ndim:
        return None
    return -1, -2 if function is np.dot and right.ndim > 1 else -1


def _pairs(left: Array, axes: Any) -> list[tuple[int, int]]:
    """The axes that `np.tensordot` sums over."""
    if isinstance(axes, int | np.integer):
        return [(left.ndim - int(axes) + n, n) for n in range(int(axes))]
    ours, theirs = (np.atleast_1d(given).tolist() for given in axes)
    return list(zip(ours, theirs, strict=True))


def _of_einsum(args: Sequence[Any], told: dict[str, Any]) -> Product:
    letters, given = (args[0], args[1:]) if isinstance(args[0], str) else _with_letters(args)
    operands = [_plain(value) for value in given]
    terms, result = _without_dots(letters.replace(" ", ""), operands)
    if any(len(set(term)) < len(term) for term in terms):
        raise ValueError("a diagonal")
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for letter, size in zip(term, operand.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 0))
    summed = {letter: size for letter, size in sizes.items() if letter not in result}
    whole = partial(np.einsum, f"{','.join(terms)}->{result}", **told)
    axes = None
    if summed:
        longest = max(summed, key=lambda letter: summed[letter])
        axes = [_place(longest, *pair, summed[longest]) for pair in zip(terms, operands, strict=True)]
    return Product(whole, operands, axes, float(max(1, math.prod(summed.values()))))


def _place(letter: str, term: str, operand: Array, size: int) -> int | None:
    """Where an operand has an axis, unless it is the same all along."""
    return term.index(letter) if letter in term and operand.shape[term.index(letter)] == size else None


def _with_letters(args: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Letters for axes that are numbers, in lists between the operands, and perhaps one at the end."""

    def written(axes: Sequence[Any]) -> str:
        return "".join("..." if axis is Ellipsis else string.ascii_letters[axis] for axis in axes)

    operands, lists = args[0 : len(args) // 2 * 2 : 2], args[1::2]
    letters = ",".join(map(written, lists))
    return (f"{letters}->{written(args[-1])}" if len(args) % 2 else letters), operands


def _without_dots(letters: str, operands: Sequence[Array]) -> tuple[list[str], str]:
    """The axes of each operand and of the result, with letters for those that dots stand for."""
    indices, arrow, result = letters.partition("->")
    terms = indices.split(",")
    named = [term.replace("...", "") for term in terms]
    if not arrow:
        once = sorted(letter for letter in set("".join(named)) if "".join(named).count(letter) == 1)
        result = "..." * ("..." in letters) + "".join(once)
    free = [letter for letter in string.ascii_letters if letter not in letters]
    most = max(operand.ndim - len(name) for operand, name in zip(operands, named, strict=True))
    dots = "".join(free[:most])
    spelled = [
        term.replace("...", dots[most - (operand.ndim - len(name)) :])
        for term, operand, name in zip(terms, operands, named, strict=True)
    ]
    return spelled, result.replace("...", dots)
