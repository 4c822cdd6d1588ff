"""Matrix products in the layout that XLA multiplies fastest on a CPU.

The derivative of ``a_prev @ W.T`` by W, as JAX finds it, sums over the samples, the first dimension of
both operands: ``dz.T @ a_prev``. XLA folds the transpose into its product, and multiplies
along columns, in float64 in twice the time of the same product along rows, and in float32 by another
library, Eigen in place of YNNPACK, which has no such product (jaxlib 0.10.2). ``W.T`` on the
right costs nothing.

So the program that JAX has derived is run as it is but for these products, whose left operand is
copied to where its rows are what is summed over, behind a barrier that XLA does not fold. No
derivative is written here: a product has the same terms before and after. ``benchmarks/cores.py`` has the
steps beside raw code, which is compiled as JAX derives it. XLA compiles longer for it, which is why
small products are left alone. It does not gain everywhere: in float32, three layers of 256 at batch 128
took a tenth longer when the limits below were chosen, on two cores of a Zen 5.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from jax.extend.core import Literal

from ...networks.cases import Case

FLOAT64_FROM = 500_000
OTHERS_FROM = 2_000_000
"""Multiplications of a product, in float64 and in other dtypes, from which a copy of its left operand
is worth its time, and the time to compile it."""

FEWEST = 8
"""Samples and inputs below which the copy takes as long as the product."""


def gains(batch: int, outputs: int, inputs: int, dtype: Any) -> bool:
    """Whether the product of ``(B, O).T`` and ``(B, I)`` is faster behind a copy.

    Except in float64, those of layers with fewer outputs than inputs are slower with one.
    """
    if min(batch, inputs) < FEWEST:
        return False
    multiplications = batch * outputs * inputs
    if dtype == "float64":
        return multiplications >= FLOAT64_FROM
    return multiplications >= OTHERS_FROM and outputs >= inputs


def gains_somewhere(case: Case) -> bool:
    """Whether one of a network's products of that kind gains."""
    return any(gains(case.batch_size, *shape, case.format.storage) for shape in case.network.shapes)


def along_rows(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same results, to be compiled, that sums along rows where that `gains`."""

    @wraps(function)
    def rearranged(*arguments: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        found = _run(program, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return rearranged


def _run(program: Any, arguments: list[Any]) -> list[Any]:
    """Run a program operation by operation; programs that its operations hold are run as they are."""
    inner = program.jaxpr
    values = dict(zip((*inner.constvars, *inner.invars), (*program.consts, *arguments), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in inner.eqns:
        operands = [read(atom) for atom in equation.invars]
        found = _product(equation, *operands) if _sums_columns(equation) else _bound(equation, operands)
        values |= zip(equation.outvars, found, strict=True)
    return [read(atom) for atom in inner.outvars]


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
