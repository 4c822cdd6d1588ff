"""A program of JAX's in a dtype, as one in float64.

A function that names its dtype, by ``jnp.zeros(n, jnp.float32)`` for what a loop carries say, cannot be
traced for arguments in float64, or is in float32 in part. Its program for those in float32 can be
traced again, with float64 in place of float32 throughout: as it was the arguments' own dtype, it still is.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from .jax_programs import INLINED, held, inner, primitives

BITS = {"bitcast_convert_type", "reduce_precision"}
"""Operations on how numbers are stored: on other ones in float64. Drawing random numbers is made of them."""


class Widening:
    """Evaluates a program, with float64 in place of a dtype."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def traced(self, program: Any, leaves: Sequence[Any]) -> Any:
        """The program for such leaves; whatever JAX raises where operations cannot be in float64."""
        found = BITS.intersection(primitives(program))
        if found:
            raise TypeError(f"{sorted(found)} in float64 are other operations")
        return jax.make_jaxpr(partial(self._evaluated, program))(*leaves)

    def _evaluated(self, program: Any, *args: Any) -> list[Any]:
        program, consts = held(program)
        known: dict[Any, Any] = dict(zip(program.constvars, map(self._constant, consts), strict=True))
        known |= dict(zip(program.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return self._number(atom.val) if isinstance(atom, Literal) else known[atom]

        for equation in program.eqns:
            results = self._apply(equation, [read(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in program.outvars]

    def _apply(self, equation: Any, inputs: list[Any]) -> list[Any]:
        primitive = equation.primitive
        if primitive.name in INLINED:
            return self._evaluated(inner(equation.params), *inputs)
        options = equation.primitive.get_bind_params(equation.params)
        options = {name: self._option(value) for name, value in options.items()}
        found = primitive.bind(*inputs, **options)
        return list(found) if primitive.multiple_results else [found]

    def _option(self, value: Any) -> Any:
        """An option of an operation: a dtype, or programs that it holds."""
        if isinstance(value, tuple) and any(isinstance(part, ClosedJaxpr | Jaxpr) for part in value):
            parts = map(self._option, value)
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if isinstance(value, ClosedJaxpr | Jaxpr):
            found = self.traced(value, [self._kind(aval) for aval in value.in_avals])
            return found if isinstance(value, ClosedJaxpr) else held(found)[0]
        return self._wide(value) if isinstance(value, np.dtype) else value

    def _kind(self, aval: Any) -> Any:
        kind: Any = jax.ShapeDtypeStruct
        return kind(aval.shape, self._wide(aval.dtype))

    def _wide(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.float64) if dtype == self._dtype else dtype

    def _constant(self, value: Any) -> Any:
        return np.asarray(value, np.float64) if getattr(value, "dtype", None) == self._dtype else value

    def _number(self, value: Any) -> Any:
        """A number of the code as it may have been written there: 0.1, not the number next to it."""
        if getattr(value, "dtype", None) != self._dtype:
            return value
        exact = float(value)
        written = (float(f"{exact:.{digits}g}") for digits in range(1, 17))
        return np.float64(next((w for w in written if np.asarray(w, self._dtype) == value), exact))
