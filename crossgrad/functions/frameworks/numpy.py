"""NumPy: arrays, and a kind of array that rounds at random wherever it goes through a ufunc."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput
from ..arguments import Call, Key, is_float, place_of
from ..kernels import COLUMNS, ELIMINATING, ORTHOGONAL, RANKED, SYMMETRIC, near
from ..likeness import terms_alike
from ..rounding import Rounding, Squares, is_exact
from ..sites import call_site
from ..squares import squares_of_sum
from ..sums import of_indexed_sums, of_running_sums
from ..trees import take_apart
from .numpy_products import PRODUCTS, UFUNCS, product_of, squares_of_ufunc, terms_of_ufunc

KERNELS: dict[Any, str] = {
    **dict.fromkeys((np.linalg.svd, np.linalg.pinv, np.linalg.lstsq, np.linalg.norm), RANKED),
    **dict.fromkeys((np.linalg.eigh, np.linalg.eigvalsh), SYMMETRIC),
    **dict.fromkeys((np.linalg.eig, np.linalg.eigvals), ORTHOGONAL),
    **dict.fromkeys((np.linalg.det, np.linalg.slogdet, np.linalg.solve, np.linalg.inv), ELIMINATING),
    np.linalg.qr: COLUMNS,
}
"""Functions of matrices as a whole, and how they err."""

RUNNING = (np.add, np.logaddexp, np.logaddexp2)
"""Ufuncs whose `accumulate` gives running sums; that of a product rounds no more than its factors did."""

SELECTING = {
    *("maximum", "minimum", "fmax", "fmin", "clip", "absolute", "fabs", "negative", "positive", "conjugate"),
    *("copysign", "heaviside"),
}
"""Ufuncs that return one of their operands: they round nothing, and derivatives look for it there."""

EXACT = {
    *SELECTING,
    *("floor", "ceil", "rint", "trunc", "modf", "frexp", "fmod", "sign", "nextafter"),
}
"""Ufuncs of whose results a format holds every digit. Code takes rows of tables by these.

Not ldexp, whose result may be too small for that, nor the remainder, which adds a divisor of another sign.
"""

QUOTIENTS = ("floor_divide", "divmod")
"""Ufuncs that give quotients that are integers; the second, the remainder after."""

ARITHMETIC = ("add", "subtract", "multiply", "divide", "power", "float_power")
"""Ufuncs in which a constant of the code is a number like others, and rounded to their dtype."""

Round = Callable[[Rounding, Array], Array]
"""How the result of an operation is rounded."""


class Runnable:
    """A function of leaves, made to run; see the package. It gives gradients itself."""

    is_watched = True
    draws = None  # NumPy's generators do not say when they are asked

    def __init__(self, call: Call, differentiates: bool, wanted: Sequence[Key], device: str) -> None:
        self._call, self.is_seen = call, True

    def run(self, values: Mapping[Key, Array], noise: Rounding | None, instead_of: str | None) -> Any:
        given = {key: np.array(value) for key, value in values.items()}
        if noise is not None:
            _tell_autograd()
        with np.errstate(all="ignore"):
            result = self._call({key: _watched(array, noise) for key, array in given.items()})
        if noise is not None:
            arrays = [leaf for leaf in take_apart(result).leaves.values() if isinstance(leaf, np.ndarray)]
            self.is_seen = all(isinstance(leaf, _Noisy) for leaf in arrays)
        for key, array in given.items():
            if not np.array_equal(array, values[key], equal_nan=is_float(array) or array.dtype.kind == "c"):
                raise InvalidInput(f"it writes into {place_of(key)}: copy first")
        return result


def to_numpy(value: Any) -> Array | None:
    if isinstance(value, np.ndarray | np.generic | float | int):
        return np.asarray(value).view(np.ndarray)
    return None


class _Noisy(np.ndarray[Any, Any]):
    """An array of float64 whose operations round at random; what makes it a plain array ends that."""

    rounding: Rounding

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, _Noisy):
            self.rounding = source.rounding

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = list(map(self._operand if ufunc.__name__ in ARITHMETIC else _plain, inputs))
        if method == "accumulate" and out is not None:
            plain[0] = plain[0].copy()  # which may be where the sums are written
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        if "where" in options:
            options["where"] = _plain(options["where"])
        if method == "at":
            return _round_at(self.rounding, ufunc, *plain)
        result = getattr(ufunc, method)(*plain, **options)
        exact = ufunc.__name__ in EXACT and not np.iscomplexobj(plain[0])
        exact = exact or (out is None and _is_exact(result, plain, self.rounding))

        def rounds(part: Any, number: int) -> Round:
            return _as_it_is if exact else _round(ufunc, method, plain, options, part, number)

        if out is not None:
            for number, target in enumerate(options["out"]):
                _round_in_place(target, self.rounding, rounds(target, number))
            return out[0] if len(out) == 1 else out
        if isinstance(result, tuple):
            return tuple(_rounded(part, self.rounding, rounds(part, n)) for n, part in enumerate(result))
        return _rounded(result, self.rounding, rounds(result, 0))

    def _operand(self, value: Any) -> Any:
        """What is no array that is watched is a constant of the code, and rounded if it is one number."""
        if isinstance(value, _Noisy):
            return _plain(value)
        if isinstance(value, float):  # np.float64 is one
            return type(value)(self.rounding.of_constant(value))
        if isinstance(value, np.ndarray) and value.dtype == np.float64 and not value.ndim:
            return self.rounding.of_constants(value)
        return value

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in KERNELS and not (function is np.linalg.norm and _is_elementwise(*args, **kwargs)):
            return self._of_kernel(function, types, args, kwargs)
        result = super().__array_function__(function, types, args, kwargs)
        if function not in PRODUCTS or not isinstance(result, np.ndarray | np.floating):
            return result
        product = product_of(function, args, kwargs, np.size(result))
        if product is None:
            terms = max((np.size(arg) for arg in args if isinstance(arg, np.ndarray)), default=1)
            return _rounded(
                _plain(result), self.rounding, _of_terms(max(1.0, terms / max(1, np.size(result))))
            )
        return _rounded(_plain(result), self.rounding, _of_terms(product.terms, product.squares))

    def dot(self, other: Any, out: Any = None) -> Any:
        """As the function: NumPy's method does not ask for it."""
        return np.dot(self, other, out=out)

    def _of_kernel(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """A function of a matrix as a whole: NumPy computes it in float64, and rounds what it gives."""
        matrix = np.asarray(args[0]) if args else None
        if matrix is not None and self.rounding.dtype.name == "float64" and matrix.dtype == np.float64:
            moved = near(self.rounding, matrix, KERNELS[function])
            args = (_watched(moved, self.rounding), *args[1:])
        result = super().__array_function__(function, types, args, kwargs)
        if not isinstance(result, tuple):
            return self._of_kernels_result(result)
        parts = map(self._of_kernels_result, result)
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)

    def _of_kernels_result(self, result: Any) -> Any:
        return _rounded(_plain(result), self.rounding, _of_terms(1.0))


def _is_elementwise(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> bool:  # noqa: A002
    """Whether `np.linalg.norm`, called like this, is of elements or their sums, not of singular values."""
    axes = np.ndim(x) if axis is None else np.size(axis)
    return ord not in (2, -2, "nuc") or axes != 2


def _is_exact(result: Any, operands: Sequence[Any], rounding: Rounding) -> bool:
    """Whether an operation rounds nothing; what stands for an array is not looked into."""
    if getattr(result, "dtype", None) != np.float64 or not isinstance(result, np.ndarray | np.floating):
        return False
    if any(np.iscomplexobj(value) for value in operands):
        return False
    wide = [value for value in operands if isinstance(value, np.ndarray | np.floating | float)]
    return is_exact(np.asarray(result), wide, rounding.dtype)


def _tell_autograd() -> None:
    """HIPS autograd traces arrays of the types that it was told of: make `_Noisy` one, if it is in use."""
    if "autograd.numpy" in sys.modules:
        boxes, spaces = (import_module(f"autograd.numpy.numpy_{name}") for name in ("boxes", "vspaces"))
        boxes.ArrayBox.register(_Noisy)
        spaces.VSpace.mappings[_Noisy] = spaces.VSpace.mappings[np.ndarray]


def _watched(array: Array, rounding: Rounding | None) -> Array:
    if rounding is None or array.dtype != np.float64:
        return array
    noisy = array.view(_Noisy)
    noisy.rounding = rounding
    return noisy


def _rounded(result: Any, rounding: Rounding, rounds: Round) -> Any:
    if not isinstance(result, np.ndarray | np.floating) or result.dtype != np.float64:
        return result  # what stands for an array, as autograd's boxes do, has its own operations
    return _watched(rounds(rounding, np.asarray(result)), rounding)


def _round_in_place(target: Any, rounding: Rounding, rounds: Round) -> None:
    if getattr(target, "dtype", None) == np.float64:
        target[...] = rounds(rounding, target)


def _round_at(rounding: Rounding, ufunc: Any, target: Any, indices: Any, *operands: Any) -> None:
    """``ufunc.at``, which comes as often to an element as the index names it."""
    before = target.copy()
    ufunc.at(target, indices, *operands)
    if ufunc not in (np.add, np.subtract) or target.dtype != np.float64:
        return
    values = np.asarray(operands[0], np.float64) * (1 if ufunc is np.add else -1)

    def again(part: Callable[[Array], Array]) -> Array:
        start = part(before)
        np.add.at(start, indices, part(values))
        return start.astype(np.float64)

    _round_in_place(target, rounding, partial(of_indexed_sums, again=again))


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Noisy) else value


def _as_it_is(rounding: Rounding, array: Array) -> Array:
    return array


def _of_terms(terms: float, squares: Squares | None = None) -> Round:
    """A result each element of which is the sum of so many terms; `squares` as `Rounding` takes it."""
    return lambda rounding, array: rounding.of_result(array, terms, call_site(), squares)


def _round(
    ufunc: Any, method: str, inputs: Sequence[Any], options: Mapping[str, Any], result: Any, number: int
) -> Round:
    """How a ufunc rounds the result of that number, by how many terms each element of it is the sum of."""
    if ufunc.__name__ in QUOTIENTS and not number:
        return lambda rounding, array: rounding.of_quotient(array, call_site())
    if ufunc in UFUNCS:
        return _of_terms(terms_of_ufunc(inputs, options), partial(squares_of_ufunc, ufunc, inputs, options))
    if method == "accumulate" and ufunc in RUNNING:
        axis = options.get("axis", 0)

        def again(part: Callable[[Array], Array]) -> Array:
            return np.asarray(ufunc.accumulate(part(inputs[0]), axis), np.float64)

        return partial(of_running_sums, again=again, axis=axis)
    if method == "reduce" and ufunc is np.add and options.get("where", True) is True:
        array, axis = np.asarray(inputs[0]), options.get("axis", 0)
        axes = range(array.ndim) if axis is None else np.atleast_1d(axis).tolist()
        return lambda rounding, found: rounding.of_result(
            found,
            terms_alike(array, axes, rounding.dtype),
            call_site(),
            lambda: squares_of_sum(array, axes).reshape(found.shape),
        )
    if method in ("reduce", "reduceat"):
        return _of_terms(max(1.0, np.size(inputs[0]) / max(1, np.size(result))))
    return _of_terms(1.0)
