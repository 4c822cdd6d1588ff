"""JAX's programs: how a function is traced, and what a program holds.

JAX keeps what it has made of an array of NumPy's that a function takes from around it, for as long as a
program that it is in is alive; it is in 32 bits if x64 was off then, and is taken for the array where x64 is
on too. So a program has copies here, and what JAX's caches hold, as of a function that is compiled, is
forgotten where it is of the other mode.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import ref

import jax
import numpy as np
from jax.errors import JAXIndexError, JAXTypeError
from jax.extend.core import ClosedJaxpr, Jaxpr

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput

NARROW = {np.dtype(name) for name in ("float32", "int32", "uint32", "complex64")}
WIDE = {np.dtype(name) for name in ("float64", "int64", "uint64", "complex128")}
"""What numbers of NumPy's may be in programs: `NARROW` is all that there is with x64 off."""

Program = tuple[Any, Any]
"""A program with constants of its own, and the structure of what it returns."""


def program_of(function: Callable[..., Any], leaves: Sequence[Any]) -> Program:
    """The program of a function of leaves, in the x64 mode of the moment.

    Raises
    ------
    InvalidInput
        If another trace is another program: what Python does happens in tracing alone.
    """
    try:
        program, doubtful = _traced(function, leaves)
    except (JAXTypeError, JAXIndexError):
        raise
    except TypeError:  # operands of 32 and of 64 bits
        program, doubtful = None, []
    if program is None or _are_held(doubtful):
        jax.clear_caches()  # type: ignore[no-untyped-call]
        gc.collect()
        program, _ = _traced(function, leaves)
    return program


def primitives(value: Any) -> Iterator[str]:
    """The names of the operations of a program, and of the programs that they hold."""
    for program in _programs(value):
        for equation in held(program)[0].eqns:
            yield equation.primitive.name
            yield from primitives(list(equation.params.values()))


def held(program: Any) -> tuple[Jaxpr, Sequence[Any]]:
    """A program and its constants, which it has itself since JAX 0.11, and a wrapper before."""
    return (program.jaxpr, program.consts) if hasattr(program, "consts") else (program, ())


def _traced(function: Callable[..., Any], leaves: Sequence[Any]) -> tuple[Program, list[Any]]:
    """A program, and references to those of JAX's constants that may be of the other x64 mode."""
    trace = jax.make_jaxpr(lambda *given: function(*given), return_shape=True)
    once, shape = trace(*leaves)
    again = jax.make_jaxpr(lambda *given: function(*given))(*leaves)
    _require_equal(once, again)
    others = NARROW if jax.config.jax_enable_x64 else WIDE  # type: ignore[attr-defined]
    doubtful = [ref(c) for c in _constants(once) if isinstance(c, np.ndarray) and c.dtype in others]
    return (_with_copies(once), jax.tree_util.tree_structure(shape)), doubtful


def _are_held(references: Sequence[Any]) -> bool:
    """Whether anything refers to what they refer to; JAX's objects refer to each other."""
    if any(reference() is not None for reference in references):
        gc.collect()
    return any(reference() is not None for reference in references)


def _with_copies(value: Any) -> Any:
    """A program whose constants are others than JAX's; so are those of the programs that it holds."""
    if isinstance(value, tuple | list):
        return type(value)(map(_with_copies, value)) if any(_programs(value)) else value
    if not isinstance(value, ClosedJaxpr | Jaxpr):
        return value
    program, consts = held(value)
    equations = [
        equation.replace(params={name: _with_copies(param) for name, param in equation.params.items()})
        for equation in program.eqns
    ]
    new: dict[str, Any] = {"eqns": equations}
    if program is not value:
        new = {"jaxpr": program.replace(**new)}  # type: ignore[no-untyped-call]
    if consts:
        new["consts"] = [np.array(c) if isinstance(c, np.ndarray) else c for c in consts]
    return value.replace(**new)


def _constants(value: Any) -> Iterator[Any]:
    for program in _programs(value):
        jaxpr, consts = held(program)
        yield from consts
        for equation in jaxpr.eqns:
            yield from _constants(list(equation.params.values()))


def _programs(value: Any) -> Iterator[Any]:
    """Those among the values of an equation's parameters."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _programs(part)
    elif isinstance(value, ClosedJaxpr | Jaxpr):
        yield value


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
