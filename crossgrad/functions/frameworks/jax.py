"""JAX: arrays, grad, and an interpreter in which every operation rounds at random.

A function is traced once for each dtype and then compiled: JAX's operations
one by one are each compiled too, which takes longer. One that cannot be traced,
because Python decides on its values, is run as it is, and rounds at random in
its inputs alone.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.errors import JAXIndexError, JAXTypeError
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput
from ..arguments import Call, Key
from ..complexes import of_complex, terms_of_transform
from ..rounding import Rounding, is_exact
from ..sums import Again, of_indexed_sums, of_running_sums
from .jax_loops import LOOPS, TracedRounding, compiled
from .jax_stops import unstopped as unstopped

INLINED = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
"""Operations that consist of the one program that they hold; loops and branches are those of `LOOPS`."""

DRAWING = {"random_bits", "threefry2x32", "rng_uniform", "rng_bit_generator", "random_gamma"}
"""Operations that make random numbers."""

EXACT = {
    *("max", "min", "clamp", "reduce_max", "reduce_min", "cummax", "cummin", "sort", "select_n"),
    *("reduce_window_max", "reduce_window_min", "broadcast_in_dim", "reshape", "squeeze", "transpose"),
    *("rev", "slice", "dynamic_slice", "concatenate", "copy", "abs", "neg"),
    *("gather", "scatter", "dynamic_update_slice", "pad", "real", "imag", "complex", "conj"),
    *("scatter-max", "scatter-min", "top_k", "stack", "unstack", "split", "tile", "device_put"),
}
"""Operations that return their operands, or some of them: they round nothing. Derivatives compare both."""


ARITHMETIC = {"add", "sub", "mul", "div", "pow"}
"""Operations in which a constant of the code is a number like others, and rounded to their dtype."""

RUNNING = {"cumsum", "cumlogsumexp"}
"""Operations that give running sums; that of a product rounds no more than its factors did."""

SCATTERING = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
"""What an operation that adds to where an index says is told."""


AS_WRITTEN: dict[str, Any] = {"xla_allow_excess_precision": False}
"""Casts to a narrower dtype that the code asks for are done; XLA leaves some out, and others in float64.

What is in a narrow dtype from the beginning is computed as its user's, in wider numbers if XLA likes to.
"""


class Runnable:
    """A function of leaves, made to run.

    Parameters
    ----------
    call
        The function; it takes leaves by key.
    differentiates
        Whether it is a loss, of which the gradients by the leaves `wanted` are asked for.
    """

    is_seen = True

    def __init__(self, call: Call, differentiates: bool, wanted: Sequence[Key], device: str) -> None:
        kind, _, index = device.partition(":")
        self._differentiates, self._wanted = differentiates, wanted
        self._place = jax.devices(kind)[int(index or 0)]
        self._function = _differentiating(call, wanted) if differentiates else call
        self._traced: dict[tuple[str, ...], _Traced | None] = {}

    def run(self, values: Mapping[Key, Array], noise: Rounding | None) -> Any:
        """What the function returns, or the loss and its gradients by key."""
        with self._settings(values):
            given = {key: jax.device_put(value, self._place) for key, value in values.items()}
            traced = self._trace(given)
            if traced is None:
                result = self._function(given)
            elif noise is None:
                result = traced.run(given)
            else:
                result = traced.disturbed(given, noise)
            jax.block_until_ready(result)  # type: ignore[no-untyped-call]
        if not self._differentiates:
            return result
        loss, gradients = result
        return loss, dict(zip(self._wanted, gradients, strict=True))

    @property
    def draws(self) -> str | None:
        programs = [traced.program for traced in self._traced.values() if traced is not None]
        return next((name for p in programs for name in _primitives(p) if name in DRAWING), None)

    @contextmanager
    def _settings(self, values: Mapping[Key, Array]) -> Iterator[None]:
        x64 = any(value.dtype in (np.float64, np.int64, np.uint64) for value in values.values())
        precision = jax.default_matmul_precision("highest")
        with jax.enable_x64(x64), precision, jax.default_device(self._place):
            yield

    def _trace(self, given: Mapping[Key, Any]) -> "_Traced | None":
        """The function's program for these dtypes; None if it has none that holds for all values."""
        kinds = tuple(str(leaf.dtype) for leaf in given.values())
        if kinds not in self._traced:
            try:
                self._traced[kinds] = _Traced(self._function, given)
            except (JAXTypeError, JAXIndexError):
                self._traced[kinds] = None
        return self._traced[kinds]


def to_numpy(value: Any) -> Array | None:
    return np.asarray(value) if isinstance(value, jax.Array | np.ndarray | np.generic | float | int) else None


def _differentiating(call: Call, wanted: Sequence[Key]) -> Call:
    def differentiating(given: Mapping[Key, Any]) -> Any:
        def loss_of(leaves: Sequence[Any]) -> Any:
            loss = call({**given, **dict(zip(wanted, leaves, strict=True))})
            if not isinstance(loss, jax.Array) or loss.size != 1:
                what = f"an array of shape {loss.shape}" if isinstance(loss, jax.Array) else repr(loss)
                raise InvalidInput(f"it returned {what}: expected a scalar loss")
            return loss.reshape(())

        return jax.value_and_grad(loss_of)([given[key] for key in wanted])

    return differentiating


class _Traced:
    """A function's program, from two traces that must be equal: what Python does happens in tracing alone."""

    def __init__(self, function: Call, given: Mapping[Key, Any]) -> None:
        keys = list(given)

        def of_leaves(*leaves: Any) -> Any:
            return function(dict(zip(keys, leaves, strict=True)))

        trace = jax.make_jaxpr(of_leaves, return_shape=True)
        self.program, shape = trace(*given.values())
        again, _ = jax.make_jaxpr(lambda *leaves: of_leaves(*leaves), return_shape=True)(*given.values())
        _require_equal(self.program, again)
        self._structure = jax.tree_util.tree_structure(shape)
        self._loops: dict[int, Any] = {}
        narrow = any(leaf.dtype in (jax.numpy.float16, jax.numpy.bfloat16) for leaf in given.values())
        self._compiled = jax.jit(
            lambda *leaves: self._evaluated(leaves, None), compiler_options=None if narrow else AS_WRITTEN
        )

    def run(self, given: Mapping[Key, Any]) -> Any:
        return self._built(self._compiled(*given.values()))

    def disturbed(self, given: Mapping[Key, Any], rounding: Rounding) -> Any:
        return self._built(self._evaluated(list(given.values()), rounding))

    def _evaluated(self, leaves: Sequence[Any], rounding: Rounding | None) -> list[Any]:
        return _Interpreter(rounding, self._loops).evaluate(self.program.jaxpr, self.program.consts, leaves)

    def _built(self, found: Sequence[Any]) -> Any:
        return jax.tree_util.tree_unflatten(self._structure, found)


def _require_equal(one: Any, other: Any) -> None:
    pairs = [tuple(map(_bits, pair)) for pair in zip(one.consts, other.consts, strict=True)]
    same = str(one) == str(other) and all(
        np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact)) for a, b in pairs
    )
    if not same:
        raise InvalidInput(
            "traced twice it is not the same program: seed its randomness inside, and keep no state"
        )


def _bits(constant: Any) -> Array:
    """A constant as NumPy's array, the key of a random stream too."""
    is_key = jax.numpy.issubdtype(getattr(constant, "dtype", np.float64), jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(constant) if is_key else constant)


class _Interpreter:
    """Evaluates a program operation by operation.

    Parameters
    ----------
    loops
        The program's loops as they are once compiled, by the equation's identity.
    """

    def __init__(self, rounding: Rounding | TracedRounding | None, loops: dict[int, Any]) -> None:
        self._rounding, self._loops = rounding, loops

    def evaluate(self, program: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = dict(zip(program.constvars, consts, strict=True))
        known |= dict(zip(program.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else known[atom]

        for equation in program.eqns:
            inputs = [read(atom) for atom in equation.invars]
            if equation.primitive.name in ARITHMETIC:
                inputs = [
                    self._constant(value) if isinstance(atom, Literal) else value
                    for atom, value in zip(equation.invars, inputs, strict=True)
                ]
            known |= dict(zip(equation.outvars, self._apply(equation, inputs), strict=True))
        return [read(atom) for atom in program.outvars]

    def _apply(self, equation: Any, inputs: list[Any]) -> list[Any]:
        primitive = equation.primitive
        if primitive.name in INLINED:
            return self.evaluate(*_inner(equation.params), inputs)
        if primitive.name in LOOPS and self._rounding is not None:
            return self._loop(equation, inputs, self._rounding)
        bound = primitive.get_bind_params(equation.params)
        functions, options = bound if isinstance(bound, tuple) else ((), bound)  # JAX changed this in 0.10
        bind = partial(primitive.bind, *functions, **options)
        found = bind(*inputs)
        results = list(found) if primitive.multiple_results else [found]
        if self._rounding is None or _selects(primitive.name, inputs):
            return results
        if _is_exact(results, inputs, self._rounding):
            return results
        rounds = _round(equation, inputs, results, bind, _site(equation))
        return [_rounded(value, self._rounding, rounds) for value in results]

    def _constant(self, value: Any) -> Any:
        """A number that the program itself has; left alone in loops, where half of all errors lasts."""
        if isinstance(self._rounding, Rounding) and getattr(value, "dtype", None) == np.float64:
            return self._rounding.of_constants(np.asarray(value))
        return value

    def _loop(self, equation: Any, inputs: list[Any], rounding: Rounding | TracedRounding) -> list[Any]:
        if isinstance(rounding, TracedRounding):  # a loop in a loop: compiled with it
            return LOOPS[equation.primitive.name](equation, inputs, rounding, self._inside)
        if id(equation) not in self._loops:
            self._loops[id(equation)] = compiled(equation, rounding.dtype, self._inside)
        found: list[Any] = self._loops[id(equation)](rounding.salt(), *inputs)
        return found

    def _inside(self, program: Any, args: Sequence[Any], rounding: TracedRounding | None) -> list[Any]:
        held = _held(program)
        results = _Interpreter(rounding, self._loops).evaluate(*held, args)
        kinds: list[Any] = [getattr(atom.aval, "dtype", None) for atom in held[0].outvars]
        return [
            value if isinstance(value, jax.Array) else jax.numpy.asarray(value, kind)
            for value, kind in zip(results, kinds, strict=True)
        ]


def _selects(name: str, inputs: Sequence[Any]) -> bool:
    """Whether an operation returns its operands; the magnitude of a complex number is none."""
    return name in EXACT and not (name == "abs" and jax.numpy.iscomplexobj(inputs[0]))


def _is_exact(results: Sequence[Any], inputs: Sequence[Any], rounding: Rounding | TracedRounding) -> bool:
    """Whether an operation rounds nothing; inside of loops that is not known before they run."""
    kinds = {getattr(getattr(value, "dtype", None), "kind", "") for value in (*inputs, *results)}
    if isinstance(rounding, TracedRounding) or "c" in kinds:
        return False
    wide, made = (
        [np.asarray(value) for value in values if getattr(value, "dtype", None) == np.float64]
        for values in (inputs, results)
    )
    return all(is_exact(value, wide, rounding.dtype) for value in made)


def _rounded(value: Any, rounding: Rounding | TracedRounding, rounds: Callable[..., Any]) -> Any:
    """A value, rounded by `rounds`, which takes the rounding, an array, and the library that it is of."""
    if getattr(value, "dtype", None) not in (np.float64, np.complex128) or not value.size:
        return value
    if isinstance(rounding, TracedRounding):
        return rounds(rounding, value, xp=jax.numpy)
    return jax.numpy.asarray(rounds(rounding, np.asarray(value), xp=np))


def _primitives(value: Any) -> Iterator[str]:
    """The names of the operations of a program, and of the programs that they hold."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _primitives(part)
    elif isinstance(value, ClosedJaxpr | Jaxpr):
        for equation in _held(value)[0].eqns:
            yield equation.primitive.name
            yield from _primitives(list(equation.params.values()))


def _inner(params: Mapping[str, Any]) -> tuple[Jaxpr, Sequence[Any]]:
    """The program that an operation such as jit consists of, and its constants."""
    held = next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)
    return _held(held)


def _held(held: Any) -> tuple[Jaxpr, Sequence[Any]]:
    """A program and its constants, which it has itself since JAX 0.11, and a wrapper before."""
    return (held.jaxpr, held.consts) if hasattr(held, "consts") else (held, ())


def _round(
    equation: Any, inputs: Sequence[Any], results: Sequence[Any], bind: Callable[..., Any], site: Hashable
) -> Callable[..., Any]:
    """How an operation rounds, for `_rounded`; `bind` is the operation, `site` as `Rounding` takes it."""
    name, params = equation.primitive.name, equation.params
    terms = _terms(equation, inputs, results)
    is_complex = any(map(jax.numpy.iscomplexobj, results))
    if is_complex and name in ("cumsum", "scatter-add"):
        return _round_parts(equation, inputs, results, bind, site)
    if is_complex:
        return lambda rounding, array, xp: of_complex(rounding, array, name, terms, site, xp)
    if name in RUNNING:
        again = _again(inputs, bind)
        return partial(of_running_sums, again=again, axis=params["axis"], reverse=params["reverse"])
    if name == "scatter-add":
        scatter = partial(jax.lax.scatter_add, **{option: params[option] for option in SCATTERING})
        return partial(of_indexed_sums, again=_again(inputs, scatter))
    return lambda rounding, array, xp: rounding.of_result(array, terms, site)


def _round_parts(
    equation: Any, inputs: Sequence[Any], results: Sequence[Any], bind: Callable[..., Any], site: Hashable
) -> Callable[..., Any]:
    """As `_round`, of an operation that adds real parts up, and imaginary ones."""

    def of(part: Callable[[Any], Any]) -> Callable[..., Any]:
        given, made = ([part(v) if jax.numpy.iscomplexobj(v) else v for v in vs] for vs in (inputs, results))
        return _round(equation, given, made, bind, site)

    real, imaginary = of(jax.numpy.real), of(jax.numpy.imag)
    return lambda rounding, array, xp: (
        real(rounding, array.real, xp=xp) + 1j * imaginary(rounding, array.imag, xp=xp)
    )


def _site(equation: Any) -> Hashable:
    """Where in the code an operation was traced, or that which it is the derivative of."""
    traced = equation.source_info.traceback
    return None if traced is None else (hash(traced), equation.primitive.name)


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
