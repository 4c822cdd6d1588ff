"""Matrix products in the layout that XLA multiplies fastest on a CPU.

Autodiff leaves two kinds of products that XLA (jaxlib 0.10.2) multiplies faster in another way:

- ``dz.T @ a_prev``, the derivative by W, sums over the samples, the first dimension of both operands. XLA
  folds the transpose into its product, and multiplies along columns, which is slower than along rows: in
  float32 by another library, Eigen in place of YNNPACK, which has no such product. So the left operand
  is copied to where its rows are what is summed over.
- ``a_prev @ W.T`` of few samples takes longer than ``(W @ a_prev.T).T``, in which W comes first, and is
  read along its rows.

Both stand behind a barrier that XLA does not fold. The program that JAX has derived is run as it is
but for these products. No derivative is written here, and a product has the same terms before and
after. XLA compiles longer for it, which is why small products are left alone. `benchmarks/layouts.py` has
steps with each beside those without.
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

TURNED_FROM = 2**16
"""Elements of W from which a product of few samples may have W as its left operand: below it is no matter."""

FEW, VECTOR = 32, 8
"""Samples that are few; and those that fill a vector, of which more than one are to be whole ones."""


def gains_by_copy(batch: int, outputs: int, inputs: int, dtype: Any) -> bool:
    """Whether the product of ``(B, O).T`` and ``(B, I)`` is faster behind a copy.

    Except in float64, those of layers with fewer outputs than inputs are slower with one.
    """
    if min(batch, inputs) < FEWEST:
        return False
    multiplications = batch * outputs * inputs
    if dtype == "float64":
        return multiplications >= FLOAT64_FROM
    return multiplications >= OTHERS_FROM and outputs >= inputs


def gains_by_turning(batch: int, outputs: int, inputs: int, dtype: Any) -> bool:
    """Whether the product of ``(B, I)`` and ``(O, I).T`` is faster with the latter on the left.

    A single sample is a vector: there is no way but one. Two and three in float64 do not gain.
    """
    if dtype not in ("float32", "float64") or outputs * inputs < TURNED_FROM:
        return False
    fewest = 4 if dtype == "float64" else 2
    return fewest <= batch <= FEW and (batch <= VECTOR or batch % VECTOR == 0)


def gains_somewhere(case: Case) -> bool:
    """Whether one of a network's products gains."""
    dtype = case.format.storage
    return any(
        gains(case.batch_size, *shape, dtype)
        for shape in case.network.shapes
        for gains in (gains_by_copy, gains_by_turning)
    )


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, where there is nothing to gain."""
    return function


def laid_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same results, to be compiled, whose products are run in the way that gains."""

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
        found = _way_of(equation)(equation, *map(read, equation.invars))
        values |= zip(equation.outvars, found, strict=True)
    return [read(atom) for atom in inner.outvars]


def _way_of(equation: Any) -> Callable[..., list[Any]]:
    """How to run an operation: as it is, unless it is a product of two matrices that gains."""
    if equation.primitive.name != "dot_general":
        return _unchanged
    left, right = (atom.aval for atom in equation.invars)
    summed, batched = equation.params["dimension_numbers"]
    if (
        batched != ((), ())
        or left.ndim != 2
        or right.ndim != 2
        or equation.params["out_sharding"] is not None
    ):
        return _unchanged
    batch, (rows, columns) = left.shape[0], right.shape
    if summed == ((0,), (0,)) and gains_by_copy(batch, left.shape[1], columns, left.dtype):
        return _along_rows
    if summed == ((1,), (1,)) and gains_by_turning(batch, rows, columns, left.dtype):
        return _turned
    return _unchanged


def _unchanged(equation: Any, *operands: Any) -> list[Any]:
    options = equation.primitive.get_bind_params(equation.params)
    found = equation.primitive.bind(*operands, **options)
    return list(found) if equation.primitive.multiple_results else [found]


def _along_rows(equation: Any, left: jax.Array, right: jax.Array) -> list[Any]:
    rows = jax.lax.optimization_barrier(left.T)  # type: ignore[no-untyped-call]
    along = {**equation.params, "dimension_numbers": (((1,), (0,)), ((), ()))}
    return [equation.primitive.bind(rows, right, **along)]


def _turned(equation: Any, left: jax.Array, right: jax.Array) -> list[Any]:
    precision = equation.params["precision"]
    of_each = {"precision": precision[::-1] if isinstance(precision, tuple) else precision}
    product = equation.primitive.bind(right, left, **equation.params | of_each)
    return [jax.lax.optimization_barrier(product).T]  # type: ignore[no-untyped-call]
