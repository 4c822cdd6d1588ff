"""JAX's programs: how a function is traced, and what a program holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput

INLINED = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
"""Operations that consist of the one program that they hold, `inner`; no loops, no branches."""


def program_of(function: Callable[..., Any], leaves: Sequence[Any]) -> tuple[Any, Any]:
    """The program of a function of leaves, and the structure of what it returns.

    Raises
    ------
    InvalidInput
        If another trace is another program: what Python does happens in tracing alone.
    """
    program, shape = jax.make_jaxpr(lambda *given: function(*given), return_shape=True)(*leaves)
    _require_equal(program, jax.make_jaxpr(lambda *given: function(*given))(*leaves))
    return program, jax.tree_util.tree_structure(shape)


def equations(value: Any) -> Iterator[Any]:
    """The operations of a program, and of the programs that they hold."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from equations(part)
    elif isinstance(value, ClosedJaxpr | Jaxpr):
        for equation in held(value)[0].eqns:
            yield equation
            yield from equations(list(equation.params.values()))


def primitives(value: Any) -> Iterator[str]:
    """The names of the operations of a program, and of the programs that they hold."""
    return (equation.primitive.name for equation in equations(value))


def has_results_in(program: Any, dtype: str) -> bool:
    """Whether an operation of a program, or of those that it holds, has a result in a dtype."""
    return any(
        str(getattr(atom.aval, "dtype", "")) == dtype
        for equation in equations(program)
        for atom in equation.outvars
    )


def held(program: Any) -> tuple[Jaxpr, Sequence[Any]]:
    """A program and its constants, which it has itself since JAX 0.11, and a wrapper before."""
    return (program.jaxpr, program.consts) if hasattr(program, "consts") else (program, ())


def inner(params: Mapping[str, Any]) -> Any:
    """The program that an operation such as jit consists of."""
    return next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)


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
