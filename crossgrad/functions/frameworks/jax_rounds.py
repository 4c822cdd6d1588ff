"""How JAX's operations round: what returns its operands does not, and sums do as often as they have terms."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from ..complexes import of_complex, terms_of_transform
from ..likeness import terms_alike
from ..rounding import Rounding, is_exact
from ..squares import squares_of_product, squares_of_sum
from ..sums import Again, of_indexed_sums, of_running_sums
from .jax_by_numpy import as_matrices
from .jax_loops import TracedRounding

EXACT = {
    *("max", "min", "clamp", "reduce_max", "reduce_min", "cummax", "cummin", "sort", "select_n"),
    *("reduce_window_max", "reduce_window_min", "broadcast_in_dim", "reshape", "squeeze", "transpose"),
    *("rev", "slice", "dynamic_slice", "concatenate", "copy", "abs", "neg"),
    *("gather", "scatter", "dynamic_update_slice", "pad", "real", "imag", "complex", "conj"),
    *("scatter-max", "scatter-min", "top_k", "stack", "unstack", "split", "tile", "device_put"),
    *("optimization_barrier", "stop_gradient", "name", "floor", "ceil", "round", "sign", "rem", "nextafter"),
}
"""Operations that round nothing: they return their operands, or some of them, and derivatives compare both.

Or of whose results a format holds every digit, by which code takes rows of tables.
"""

RUNNING = {"cumsum", "cumlogsumexp"}
"""Operations that give running sums; that of a product rounds no more than its factors did."""

PRODUCTS = {"dot_general", "conv_general_dilated"}
"""Operations that add up products of what they are given."""

SCATTERING = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
"""What an operation that adds to where an index says is told."""


def selects(name: str, inputs: Sequence[Any]) -> bool:
    """Whether an operation is exact; the magnitude of a complex number is not, nor is its direction."""
    return name in EXACT and not (name in ("abs", "sign") and jax.numpy.iscomplexobj(inputs[0]))


def rounds_nothing(
    results: Sequence[Any], inputs: Sequence[Any], rounding: Rounding | TracedRounding
) -> bool:
    """Whether an operation rounds nothing; inside of loops that is not known before they run."""
    kinds = {getattr(getattr(value, "dtype", None), "kind", "") for value in (*inputs, *results)}
    if isinstance(rounding, TracedRounding) or "c" in kinds:
        return False
    wide, made = (
        [np.asarray(value) for value in values if getattr(value, "dtype", None) == np.float64]
        for values in (inputs, results)
    )
    return all(is_exact(value, wide, rounding.dtype) for value in made)


def rounded(value: Any, rounding: Rounding | TracedRounding, rounds: Callable[..., Any]) -> Any:
    """A value, rounded by `rounds`, which takes the rounding, an array, and the library that it is of."""
    if getattr(value, "dtype", None) not in (np.float64, np.complex128) or not value.size:
        return value
    if isinstance(rounding, TracedRounding):
        return rounds(rounding, value, xp=jax.numpy)
    return np.asarray(rounds(rounding, np.asarray(value), xp=np))


def rounds_of(
    equation: Any, inputs: Sequence[Any], results: Sequence[Any], bind: Callable[..., Any], site: Hashable
) -> Callable[..., Any]:
    """How an operation rounds, for `rounded`; `bind` is the operation, `site` as `Rounding` takes it."""
    name, params = equation.primitive.name, equation.params
    terms = _terms(equation, inputs, results)
    is_complex = any(map(jax.numpy.iscomplexobj, results))
    if is_complex and name in ("cumsum", "scatter-add"):
        return _round_parts(equation, inputs, results, bind, site)
    if is_complex:
        return lambda rounding, array, xp: (
            of_complex(rounding, array, name, terms, site, xp)
            if xp.iscomplexobj(array)  # singular values are not
            else rounding.of_result(array, terms, site)
        )
    again = _again(inputs, bind)
    if name in RUNNING:
        return partial(of_running_sums, again=again, axis=params["axis"], reverse=params["reverse"])
    if name == "scatter-add":
        scatter = partial(jax.lax.scatter_add, **{option: params[option] for option in SCATTERING})
        return partial(of_indexed_sums, again=_again(inputs, scatter))
    if name == "reduce_sum":
        return lambda rounding, array, xp: rounding.of_result(
            array,
            _terms_alike(inputs[0], params["axes"], terms, rounding),
            site,
            partial(_squares, equation, inputs, again, xp),
        )
    if name in PRODUCTS:
        return lambda rounding, array, xp: rounding.of_result(
            array, terms, site, partial(_squares, equation, inputs, again, xp)
        )
    return lambda rounding, array, xp: rounding.of_result(array, terms, site)


def _squares(equation: Any, inputs: Sequence[Any], again: Again, xp: Any) -> Any:
    """What `Rounding.of_result` takes of a sum or a product; in loops, and of a convolution, in no order."""
    name, params = equation.primitive.name, equation.params
    if xp is np and name == "reduce_sum":
        return squares_of_sum(np.asarray(inputs[0]), params["axes"])
    if xp is np and name == "dot_general":
        x, y = (np.asarray(value, np.float64) for value in inputs)
        left, right, shape = as_matrices(x, y, params["dimension_numbers"])
        return squares_of_product(left, right).reshape(shape)
    return again(xp.square)


def _terms_alike(array: Any, axes: Sequence[int], terms: float, rounding: Rounding | TracedRounding) -> float:
    """Of a sum, how many terms would err like these if all differed; not known before a loop runs."""
    if isinstance(rounding, TracedRounding):
        return terms
    return terms_alike(np.asarray(array), axes, rounding.dtype)


def _round_parts(
    equation: Any, inputs: Sequence[Any], results: Sequence[Any], bind: Callable[..., Any], site: Hashable
) -> Callable[..., Any]:
    """As `rounds_of`, of an operation that adds real parts up, and imaginary ones."""

    def of(part: Callable[[Any], Any]) -> Callable[..., Any]:
        given, made = ([part(v) if jax.numpy.iscomplexobj(v) else v for v in vs] for vs in (inputs, results))
        return rounds_of(equation, given, made, bind, site)

    real, imaginary = of(jax.numpy.real), of(jax.numpy.imag)
    return lambda rounding, array, xp: (
        real(rounding, array.real, xp=xp) + 1j * imaginary(rounding, array.imag, xp=xp)
    )


def _again(inputs: Sequence[Any], bind: Callable[..., Any]) -> Again:
    """An operation once more, on parts of its inputs that are numbers; in float64."""

    def again(part: Callable[[Any], Any]) -> Any:
        parts = [part(v) if getattr(v, "dtype", None) == np.float64 else v for v in inputs]
        return bind(*parts).astype(np.float64)

    return again


def _terms(equation: Any, inputs: Sequence[Any], results: Sequence[Any]) -> float:
    """How many terms each element of a result is the sum of."""
    name = equation.primitive.name
    if name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        return float(np.prod([np.shape(inputs[0])[axis] for axis in contracted]))
    if name == "fft":
        return terms_of_transform(equation.params["fft_lengths"])
    if name == "conv_general_dilated":
        kernel = np.shape(inputs[1])
        out = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return float(np.prod(kernel) / max(1, out))
    if name.startswith("reduce"):
        return max(1.0, np.size(inputs[0]) / max(1, np.size(results[0])))
    return 1.0
