"""Operations of JAX that NumPy does as well, in float64: outside of loops, JAX compiles each for its shapes.

That takes tens of milliseconds an operation, and a rerun with rounding errors needs its results in NumPy
anyway. Operations are called, and told, what they are in ``jax.lax``; those that are not here, or are of
other dtypes, are JAX's own. What is too small to be a normal number stays, where XLA takes it for zero.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...networks.dtypes import Array

MOST_PRODUCTS = 2**28
"""Of a larger matrix product the compiling is the lesser part, and a device may be faster by far."""

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{"add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide},
    **{"neg": np.negative, "abs": np.abs, "max": np.maximum, "min": np.minimum},
    **{"exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "pow": np.power},
    **{"sqrt": np.sqrt, "square": np.square, "sin": np.sin, "cos": np.cos, "tanh": np.tanh},
    **{"rsqrt": lambda x: 1 / np.sqrt(x), "logistic": lambda x: 1 / (1 + np.exp(-x))},
    **{"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal},
    **{"gt": np.greater, "ge": np.greater_equal, "is_finite": np.isfinite},
    "sign": lambda x: np.where(x == 0, x, np.sign(x)),  # zero keeps its own
    **{"and": np.logical_and, "or": np.logical_or, "not": np.logical_not},
}
"""Of numbers in float64, and of booleans: what is of bits in ``jax.lax`` is of these alone here."""


def _broadcast_in_dim(x: Array, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]) -> Array:
    sizes = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _reshape(x: Array, new_sizes: tuple[int, ...]) -> Array:
    return x.reshape(new_sizes)


def _slice(
    x: Array, start_indices: tuple[int, ...], limit_indices: tuple[int, ...], strides: tuple[int, ...] | None
) -> Array:
    steps = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, steps))]


def _select_n(which: Array, *cases: Array) -> Array:
    return np.where(which, cases[1], cases[0])


def as_matrices(x: Array, y: Array, dimension_numbers: Any) -> tuple[Array, Array, tuple[int, ...]]:
    """Two matrices for each index of the axes that both have, which come first; and their products' shape."""
    (x_summed, y_summed), (x_both, y_both) = dimension_numbers
    x_free = [axis for axis in range(x.ndim) if axis not in (*x_summed, *x_both)]
    y_free = [axis for axis in range(y.ndim) if axis not in (*y_summed, *y_both)]
    both = [x.shape[axis] for axis in x_both]
    shape = [*both, *(x.shape[axis] for axis in x_free), *(y.shape[axis] for axis in y_free)]
    terms = math.prod(x.shape[axis] for axis in x_summed)
    rows, columns = (math.prod(array.shape[n] for n in free) for array, free in ((x, x_free), (y, y_free)))
    left = x.transpose(*x_both, *x_free, *x_summed).reshape(*both, rows, terms)
    right = y.transpose(*y_both, *y_summed, *y_free).reshape(*both, terms, columns)
    return left, right, tuple(shape)


def _dot_general(x: Array, y: Array, dimension_numbers: Any) -> Array:
    left, right, shape = as_matrices(x, y, dimension_numbers)
    return (left @ right).reshape(shape)


TOLD: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "reduce_sum": (lambda x, axes: np.sum(x, axis=axes), ("axes",)),
    "reduce_max": (lambda x, axes: np.max(x, axis=axes, initial=-np.inf), ("axes",)),
    "reduce_min": (lambda x, axes: np.min(x, axis=axes, initial=np.inf), ("axes",)),
    "integer_pow": (lambda x, y: np.power(x, float(y)), ("y",)),
    "dot_general": (_dot_general, ("dimension_numbers",)),
}
"""Operations that are told something, and what."""

SHAPING: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "select_n": (_select_n, ()),
    "convert_element_type": (lambda x: x.astype(np.float64), ()),
    "copy": (lambda x: x, ()),
    "broadcast_in_dim": (_broadcast_in_dim, ("shape", "broadcast_dimensions")),
    "reshape": (_reshape, ("new_sizes",)),
    "squeeze": (lambda x, dimensions: np.squeeze(x, axis=dimensions), ("dimensions",)),
    "transpose": (lambda x, permutation: np.transpose(x, permutation), ("permutation",)),
    "slice": (_slice, ("start_indices", "limit_indices", "strides")),
    "concatenate": (lambda *xs, dimension: np.concatenate(xs, axis=dimension), ("dimension",)),
    "rev": (lambda x, dimensions: np.flip(x, axis=dimensions), ("dimensions",)),
}
"""Operations that return their operands, or some of them: of integers too."""

PARAMETRIZED = TOLD | SHAPING

KINDS = {np.dtype(np.float64), np.dtype(np.bool_)}


def by_numpy(equation: Any) -> Callable[..., Array] | None:
    """An operation as a function of arrays, done by NumPy; None if it is one that JAX has to do."""
    name, params = equation.primitive.name, equation.params
    given = [atom.aval for atom in equation.invars]
    kinds = {getattr(aval, "dtype", None) for aval in (*given, *(atom.aval for atom in equation.outvars))}
    integers = {kind for kind in kinds if isinstance(kind, np.dtype) and kind.kind in "iu"}
    if kinds - KINDS - (integers if name in SHAPING else set()) or _is_left(name, equation):
        return None
    function, told = PARAMETRIZED.get(name) or (ELEMENTWISE.get(name), ())
    return None if function is None else partial(_done, function, {what: params[what] for what in told})


@np.errstate(all="ignore")
def _done(function: Callable[..., Any], told: dict[str, Any], *given: Any) -> Array:
    return np.asarray(function(*map(np.asarray, given), **told))


def _is_left(name: str, equation: Any) -> bool:
    """Whether an operation of a name that NumPy knows is of a kind that is left to JAX."""
    given = [atom.aval for atom in equation.invars]
    if name == "dot_general":
        made = equation.outvars[0].aval
        summed = math.prod(given[0].shape[axis] for axis in equation.params["dimension_numbers"][0][0])
        # NumPy's product of booleans counts nothing.
        return made.dtype not in [aval.dtype for aval in given] or bool(summed * made.size > MOST_PRODUCTS)
    if name == "select_n":
        return len(given) != 3 or given[0].dtype != np.bool_
    if name == "convert_element_type":
        return bool(equation.outvars[0].aval.dtype != np.float64)
    if name == "reshape":
        return equation.params["dimensions"] is not None
    return name == "broadcast_in_dim" and len(given) != 1
