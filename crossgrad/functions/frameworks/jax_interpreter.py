"""An interpreter of JAX's programs, in which every operation rounds at random."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from ..rounding import Rounding
from .jax_by_numpy import by_numpy
from .jax_kernels import as_kernels_give, as_kernels_take
from .jax_loops import LOOPS, TracedRounding, compiled
from .jax_programs import INLINED, equations, held, inner
from .jax_rounds import rounded, rounds_nothing, rounds_of, selects

ARITHMETIC = {"add", "sub", "mul", "div", "pow"}
"""Operations in which a constant of the code is a number like others, and rounded to their dtype."""


class Interpreter:
    """Evaluates a program operation by operation.

    Parameters
    ----------
    kept
        What holds programs, loops say, once compiled: by the equation's identity, and how it is done.
    is_traced
        Whether JAX traces what is evaluated, so that there are no numbers yet.
    """

    def __init__(
        self, rounding: Rounding | TracedRounding | None, kept: dict[tuple[int, str], Any], is_traced: bool
    ) -> None:
        self._rounding, self._compiled, self._is_traced = rounding, kept, is_traced

    def evaluate(self, program: Any, args: Sequence[Any]) -> list[Any]:
        program, consts = held(program)
        known: dict[Any, Any] = dict(zip(program.constvars, map(self._constant, consts), strict=True))
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
            return self.evaluate(inner(equation.params), inputs)
        if primitive.name in LOOPS and self._rounding is not None:
            return self._loop(equation, inputs, self._rounding)
        if self._rounding is not None:
            inputs = as_kernels_take(primitive.name, inputs, self._rounding)
        options = equation.primitive.get_bind_params(equation.params)
        bind = partial(primitive.bind, **options)
        done = self._done(equation, bind)
        found = done(*inputs)
        results = list(found) if primitive.multiple_results else [found]
        if self._rounding is None or selects(primitive.name, inputs):
            return results
        if rounds_nothing(results, inputs, self._rounding):
            return results
        results = as_kernels_give(primitive.name, results, self._rounding)
        rounds = rounds_of(equation, inputs, results, done, _site(equation))
        return [rounded(value, self._rounding, rounds) for value in results]

    def _done(self, equation: Any, bind: Callable[..., Any]) -> Callable[..., Any]:
        """How an operation is done: by NumPy, or JAX; compiled once for all runs if it holds a program."""
        if self._is_traced:
            return bind
        done = by_numpy(equation)
        if done is not None:
            return done
        if next(equations(list(equation.params.values())), None) is None:
            return bind
        key = (id(equation), "plain")
        if key not in self._compiled:
            several = equation.primitive.multiple_results
            self._compiled[key] = jax.jit(lambda *given: list(bind(*given)) if several else bind(*given))
        whole: Callable[..., Any] = self._compiled[key]
        return whole

    def _constant(self, value: Any) -> Any:
        """What the program itself has; left alone in loops, where half of all errors lasts."""
        if isinstance(self._rounding, Rounding) and getattr(value, "dtype", None) == np.float64:
            return self._rounding.of_constants(np.asarray(value))
        return value

    def _loop(self, equation: Any, inputs: list[Any], rounding: Rounding | TracedRounding) -> list[Any]:
        if isinstance(rounding, TracedRounding):  # a loop in a loop: compiled with it
            return LOOPS[equation.primitive.name](equation, inputs, rounding, self._inside)
        key = (id(equation), "rounding")
        if key not in self._compiled:
            self._compiled[key] = compiled(equation, rounding.dtype, self._inside)
        found: list[Any] = self._compiled[key](rounding.salt(), *inputs)
        return found

    def _inside(self, program: Any, args: Sequence[Any], rounding: TracedRounding | None) -> list[Any]:
        results = Interpreter(rounding, self._compiled, is_traced=True).evaluate(program, args)
        kinds: list[Any] = [getattr(atom.aval, "dtype", None) for atom in held(program)[0].outvars]
        return [
            value if isinstance(value, jax.Array) else jax.numpy.asarray(value, kind)
            for value, kind in zip(results, kinds, strict=True)
        ]


def _site(equation: Any) -> Hashable:
    """Where in the code an operation was traced, or that which it is the derivative of."""
    traced = equation.source_info.traceback
    return None if traced is None else (hash(traced), equation.primitive.name)
