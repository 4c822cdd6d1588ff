"""JAX's loops and branches, rebuilt of bodies in which every operation rounds at random.

The body of a loop is a program that XLA runs as often as it is to. Rounding is
done inside of it, by JAX, with the formulas of ``rounding.py``; but half of an
operation's error, in variance, is the same in every turn. What a loop adds up or draws near to
changes little from turn to turn, and so do errors: they do not cancel, they grow
with the number of turns, and not with its root alone.

How often a `while` turns is decided without errors: a loop until changes are small
would never end with errors that are not.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr

from ...networks.dtypes import DType
from ..rounding import LARGEST, UNIFORM, spread

Evaluate = Callable[[ClosedJaxpr, Sequence[Any], "TracedRounding | None"], list[Any]]
"""Evaluates a program operation by operation."""


class TracedRounding:
    """`Rounding.of_result` for what JAX traces.

    Parameters
    ----------
    salt
        An unsigned integer of 64 bits, which JAX may trace too.
    turn
        The turn of a loop, from which half of each error is drawn anew.
    """

    def __init__(self, dtype: DType, salt: Any, turn: Any = 0) -> None:
        self._dtype, self._salt, self._operations = dtype, salt, 0
        self._turn = jnp.uint64(turn) * jnp.uint64(0xA0761D6478BD642F)

    @property
    def dtype(self) -> DType:
        return self._dtype

    def at(self, turn: Any) -> "TracedRounding":
        """Another one for each turn of a loop."""
        self._operations += 1
        return TracedRounding(self._dtype, self._next_salt(), turn)

    def of_result(self, array: Any, terms: float, site: Hashable = None, squares: Any = None) -> Any:
        """The result of an operation that adds up so many terms for each element, and rounds.

        Where that is in the code says nothing of a loop's turns, in which it is one and the same.
        """
        self._operations += 1
        size = jnp.where(jnp.isfinite(array), jnp.abs(array), 0.0)
        if terms > 1:
            own = jnp.square(size)
            if squares is None:
                walked = jnp.mean(own, axis=-1, keepdims=True) if array.ndim else own
            else:
                walked = squares()
            partial = jnp.sqrt(own + jnp.where(jnp.isfinite(walked), walked, 0.0))
            size = jnp.maximum(size, jnp.where(size > 0, partial, 0.0))
        sigma = jnp.maximum(self._dtype.unit_roundoff * spread(terms) * size, self._underflow(size))
        draw = self._draw(array, self._next_salt() + self._turn)
        # Rounding, and most functions, treat a number and its negative alike.
        draw += self._draw(0.0, self._next_salt()) * jnp.sign(array)
        found = array + draw * np.sqrt(3 / 2) * sigma
        found = jnp.where(jnp.isfinite(array), jnp.clip(found, -LARGEST, LARGEST), found)
        return jnp.copysign(found, array) if terms == 1 else found  # flushed to zero at most

    def draw_of_places(self, shape: tuple[int, ...]) -> Any:
        """Uniform, of a variance of one, by the place in an array; half of it in every turn the same."""
        self._operations += 1
        # Numbers that every format tells apart.
        places = jnp.reshape(jnp.arange(math.prod(shape), dtype=jnp.uint64), shape)
        salts = self._next_salt() + places * jnp.uint64(0xE7037ED1A0B428DB)
        lasting = self._draw(0.0, salts)
        return (lasting + self._draw(1.0, salts + self._turn)) * np.sqrt(3 / 2)

    def _next_salt(self) -> Any:
        return self._salt + jnp.uint64(self._operations * 0xD1342543DE82EF95 % 2**64)

    def _underflow(self, size: Any) -> Any:
        below = (size < 2.0**self._dtype.min_exponent) & (size > 0)
        least = self._dtype.smallest_subnormal * UNIFORM
        return jnp.where(below, least if self._dtype.name == "float16" else size, 0.0)

    def _draw(self, array: Any, salt: Any) -> Any:
        below = 53 - self._dtype.precision
        bits = lax.bitcast_convert_type(jnp.float64(array), jnp.uint64) + jnp.uint64((1 << below) >> 1)
        bits = (bits >> jnp.uint64(below)) * jnp.uint64(0x9E3779B97F4A7C15) + salt
        half = (bits >> jnp.uint64(32)).astype(jnp.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            half = (half ^ (half >> jnp.uint32(shift))) * jnp.uint32(factor)
        return lax.bitcast_convert_type(half, jnp.int32).astype(jnp.float64) * 2.0**-31


def _scan(equation: Any, inputs: Sequence[Any], rounding: TracedRounding, evaluate: Evaluate) -> list[Any]:
    params, body = equation.params, equation.params["jaxpr"]
    # By the values' axes: the options that would tell have other names since JAX 0.11.
    carried = _kept_whole(body.out_avals, equation.outvars)
    consts, carry, xs = _split(inputs, _kept_whole(body.in_avals, equation.invars) - carried, carried)

    def turn(state: Any, x: Any) -> Any:
        number, carry = state
        found = evaluate(body, [*consts, *carry, *x], rounding.at(number))
        return (number + 1, found[:carried]), found[carried:]

    start = jnp.uint64(0), carry
    (_, carry), ys = lax.scan(turn, start, xs, length=params["length"], reverse=params["reverse"])
    return [*carry, *ys]


def _kept_whole(inside: Sequence[Any], outside: Sequence[Any]) -> int:
    """How many values a body takes, or gives, as they are; of the others it has one entry a turn."""
    return sum(len(here.shape) == len(there.aval.shape) for here, there in zip(inside, outside, strict=True))


def _while(equation: Any, inputs: Sequence[Any], rounding: TracedRounding, evaluate: Evaluate) -> list[Any]:
    """Of a batch (vmap) each has its own decision, and those that have ended stay as they are."""
    params = equation.params
    asked, given, start = _split(inputs, params["cond_nconsts"], params["body_nconsts"])
    batch = params["cond_jaxpr"].out_avals[0].shape

    def goes_on(carry: Any) -> Any:
        (decision,) = evaluate(params["cond_jaxpr"], [*asked, *carry], None)
        return decision

    def turned(carry: Any, goes_on: Any, rounding: TracedRounding | None) -> list[Any]:
        found = evaluate(params["body_jaxpr"], [*given, *carry], rounding)
        return [_where(goes_on, *pair) for pair in zip(found, carry, strict=True)] if batch else found

    def counted(state: Any) -> Any:
        turns, carry = state
        decision = goes_on(carry) if batch else True
        return turns + jnp.uint64(decision), turned(carry, decision, None)

    def disturbed(state: Any) -> Any:
        number, carry = state
        return number + 1, turned(carry, number < turns, rounding.at(number))

    zero = jnp.zeros(batch, jnp.uint64)
    turns, _ = lax.while_loop(lambda state: jnp.any(goes_on(state[1])), counted, (zero, start))
    most = jnp.max(turns, initial=0)
    _, carry = lax.while_loop(lambda state: state[0] < most, disturbed, (jnp.uint64(0), start))
    return list(carry)


def _where(decided: Any, one: Any, other: Any) -> Any:
    """By a decision for each of a batch, which is along the first axes."""
    return jnp.where(jnp.reshape(decided, decided.shape + (1,) * (one.ndim - decided.ndim)), one, other)


def _branch(equation: Any, inputs: Sequence[Any], rounding: TracedRounding, evaluate: Evaluate) -> list[Any]:
    index, *operands = inputs
    at = rounding.at(jnp.uint64(0))
    branches = [lambda *given, program=p: evaluate(program, given, at) for p in equation.params["branches"]]
    return list(lax.switch(index, branches, *operands))


LOOPS = {"scan": _scan, "while": _while, "cond": _branch}
"""How operations that hold programs to be run often, or perhaps, are rebuilt."""


def compiled(equation: Any, dtype: DType, evaluate: Evaluate) -> Callable[..., list[Any]]:
    """An operation of `LOOPS`, as a function of a salt and of the operation's inputs."""
    rebuilt = LOOPS[equation.primitive.name]
    return jax.jit(lambda salt, *inputs: rebuilt(equation, inputs, TracedRounding(dtype, salt), evaluate))


def _split(values: Sequence[Any], first: int, second: int) -> tuple[list[Any], list[Any], list[Any]]:
    return list(values[:first]), list(values[first : first + second]), list(values[first + second :])
