"""Matrix products in the layout that XLA multiplies fastest on a CPU.

The derivative of ``a_prev @ W.T`` by W, as JAX finds it, sums over the samples, the first dimension of
both operands: ``dz.T @ a_prev``. XLA folds the transpose into its product, and multiplies
along columns, in float64 in twice the time of the same product along rows, and in float32 by another
library, Eigen in place of YNNPACK, which has no such product (jaxlib 0.10.2). ``W.T`` on the
right costs nothing.

So the program that JAX has derived is run as it is but for these products, whose left operand is
copied to where its rows are what is summed over, behind a barrier that XLA does not fold. No
derivative is written here: a product has the same terms before and after. In float64 the steps of
eleven networks took 0.57 to 0.86 times as long, of one 1.05 times; in float32, of layers
with no fewer outputs than inputs, 0.73 to 0.97 times, of one 1.11 times (two cores of a Zen 5, batches of
10 to 1024).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from jax.extend.core import Literal

COPIED_FROM = 200_000
"""Multiplications of a product from which a copy of its left operand is worth its time."""


def gains(batch: int, outputs: int, inputs: int, dtype: Any) -> bool:
    """Whether the product of ``(B, O).T`` and ``(B, I)`` is faster behind a copy.

    But in float64, layers that have fewer outputs than inputs take up to 1.5 times as long with one.
    """
    return batch * outputs * inputs >= COPIED_FROM and (dtype == "float64" or outputs >= inputs)


def along_rows(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same results, to be compiled, that sums along rows where that `gains`."""

    @wraps(function)
    def rearranged(*arguments: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found = _run(program, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return rearranged


def _run(program: Any, arguments: list[Any]) -> list[Any]:
    """Run a program operation by operation, as ``jax.core.eval_jaxpr`` would."""
    # A program has its constants itself since JAX 0.11, and a wrapper had them before.
    program, constants = (program.jaxpr, program.consts) if hasattr(program, "consts") else (program, ())
    values = dict(zip((*program.constvars, *program.invars), (*constants, *arguments), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in program.eqns:
        operands = [read(atom) for atom in equation.invars]
        found = _product(equation, *operands) if _sums_columns(equation) else _bound(equation, operands)
        values |= zip(equation.outvars, found, strict=True)
    return [read(atom) for atom in program.outvars]


def _sums_columns(equation: Any) -> bool:
    """Whether it is a product that sums over the first dimension of two matrices, and gains by a copy."""
    if equation.primitive.name != "dot_general":
        return False
    left, right = (atom.aval for atom in equation.invars)
    if equation.params["dimension_numbers"] != (((0,), (0,)), ((), ())) or left.ndim != 2 or right.ndim != 2:
        return False
    (batch, outputs), inputs = left.shape, right.shape[1]
    return gains(batch, outputs, inputs, left.dtype)


def _product(equation: Any, left: jax.Array, right: jax.Array) -> list[Any]:
    rows = jax.lax.optimization_barrier(left.T)  # type: ignore[no-untyped-call]
    along = {**equation.params, "dimension_numbers": (((1,), (0,)), ((), ()))}
    return [equation.primitive.bind(rows, right, **along)]


def _bound(equation: Any, operands: list[Any]) -> list[Any]:
    bound = equation.primitive.get_bind_params(equation.params)
    functions, options = bound if isinstance(bound, tuple) else ((), bound)  # JAX changed this in 0.10
    found = equation.primitive.bind(*functions, *operands, **options)
    return list(found) if equation.primitive.multiple_results else [found]
