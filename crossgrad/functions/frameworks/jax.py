"""JAX: arrays, grad, and an interpreter in which every operation rounds at random."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, Literal

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput
from ..arguments import Call, Key
from ..rounding import Rounding

INLINED = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
"""Operations that consist of the one program that they hold; loops and branches are not among them."""


def run(
    call: Call,
    differentiates: bool,
    values: Mapping[Key, Array],
    wanted: Sequence[Key],
    device: str,
    noise: Rounding | None,
) -> Any:
    kind, _, index = device.partition(":")
    place = jax.devices(kind)[int(index or 0)]
    x64 = any(value.dtype in (np.float64, np.int64, np.uint64) for value in values.values())
    with jax.enable_x64(x64), jax.default_matmul_precision("highest"), jax.default_device(place):
        given = {key: jax.device_put(value, place) for key, value in values.items()}
        function = _differentiating(call, wanted) if differentiates else call
        result = function(given) if noise is None else _disturbed(function, given, noise)
        return jax.block_until_ready(result)  # type: ignore[no-untyped-call]


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

        loss, found = jax.value_and_grad(loss_of)([given[key] for key in wanted])
        return loss, dict(zip(wanted, found, strict=True))

    return differentiating


def _disturbed(function: Call, given: Mapping[Key, Any], rounding: Rounding) -> Any:
    """What the function returns if each operation rounds at random."""
    keys = list(given)
    program, shape = jax.make_jaxpr(
        lambda *leaves: function(dict(zip(keys, leaves, strict=True))), return_shape=True
    )(*given.values())
    found = _Interpreter(rounding).evaluate(program.jaxpr, program.consts, list(given.values()))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shape), found)


class _Interpreter:
    """Evaluates a jaxpr operation by operation; what is inside of loops and branches is left as it is."""

    def __init__(self, rounding: Rounding) -> None:
        self._rounding = rounding

    def evaluate(self, program: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = dict(zip(program.constvars, consts, strict=True))
        known |= dict(zip(program.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else known[atom]

        for equation in program.eqns:
            inputs = [read(atom) for atom in equation.invars]
            known |= dict(zip(equation.outvars, self._apply(equation, inputs), strict=True))
        return [read(atom) for atom in program.outvars]

    def _apply(self, equation: Any, inputs: list[Any]) -> list[Any]:
        primitive = equation.primitive
        if primitive.name in INLINED:
            return self.evaluate(*_inner(equation.params), inputs)
        bound = primitive.get_bind_params(equation.params)
        functions, options = bound if isinstance(bound, tuple) else ((), bound)  # JAX changed this in 0.10
        found = primitive.bind(*functions, *inputs, **options)
        results = list(found) if primitive.multiple_results else [found]
        terms = _terms(equation, inputs, results)
        return [self._rounded(value, terms) for value in results]

    def _rounded(self, value: Any, terms: float) -> Any:
        if getattr(value, "dtype", None) != np.float64 or not value.size:
            return value
        return jax.numpy.asarray(self._rounding.of_result(np.asarray(value), terms))


def _inner(params: Mapping[str, Any]) -> tuple[Jaxpr, Sequence[Any]]:
    """The program that an operation such as jit consists of, and its constants."""
    held = next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)
    return (held, ()) if isinstance(held, Jaxpr) else (held.jaxpr, held.consts)


def _terms(equation: Any, inputs: Sequence[Any], results: Sequence[Any]) -> float:
    """How many terms each element of a result is the sum of."""
    name = equation.primitive.name
    if name == "dot_general":
        contracted = equation.params["dimension_numbers"][0][0]
        return float(np.prod([np.shape(inputs[0])[axis] for axis in contracted]))
    if name == "conv_general_dilated":
        kernel = np.shape(inputs[1])
        out = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return float(np.prod(kernel) / max(1, out))
    if name.startswith(("reduce", "cum")):
        return max(1.0, np.size(inputs[0]) / max(1, np.size(results[0])))
    return 1.0
