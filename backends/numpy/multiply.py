"""How NumPy multiplies matrices fastest: which function to call, and how they lie in memory."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...networks.dtypes import Array
from .memory import Order

Product = Callable[[Array, Array, Array], Array]
"""``product(left, right, out)``."""

OVERWRITES_FROM = 2**17
"""Bytes of a product from which `np.matmul` is faster than `np.dot`, on two cores of a Zen 4.

Both call the same BLAS. Before it overwrites an array that is given, `np.dot` sets that to zero, a
pass over memory; `np.matmul` does not, and takes 0.4 us longer to find out what it is given.
"""

TRANSPOSED_FROM = 10**6
"""Multiplications of a product from which the layout of W and dW matters more than it costs."""

WIDE_FROM = 256
"""Units of each hidden layer from which products of few samples gain if these lie transposed."""

FEW = range(8, 129)
"""Samples with which products are faster, in float32, if the values of a unit lie together."""


class Layout(NamedTuple):
    """How the matrices of a step lie in memory, row after row or column after column.

    Attributes
    ----------
    samples
        Of arrays ``(B, width)``: sample after sample, or, transposed, unit after unit.
    weights
        Of each layer's W and dW ``(O, I)``.
    """

    samples: Order
    weights: tuple[Order, ...]


def layout_of(shapes: Sequence[tuple[int, int]], batch: int, dtype: Any) -> Layout:
    """The layout with which the products of layers ``(O, I)`` take the least time.

    ``a_prev @ W.T`` of a few samples takes OpenBLAS longer, in float32, than ``(W @ a_prev.T).T`` with all
    operands transposed in memory: up to twice as long on a Zen 5, less with kernels for a Haswell. Fewer
    samples than `FEW`, and narrow layers, lose more in the derivatives than they gain; more samples gain
    nothing; in float64 wide layers lose.
    """
    wide = [outputs >= WIDE_FROM for outputs, _ in shapes[:-1]]
    if dtype == np.float32 and batch in FEW and wide and all(wide):
        return Layout("F", tuple("C" for _ in shapes))
    return Layout("C", tuple(order_of_weights(shape, batch, dtype) for shape in shapes))


def order_of_weights(shape: tuple[int, int], batch: int, dtype: Any) -> Order:
    """How ``(O, I)`` weights and their gradient are to lie in memory: by outputs, or transposed.

    OpenBLAS divides a product among its threads, and into panels, by the dimensions as they lie in memory.
    Where a layer has fewer outputs than inputs, ``dz.T @ a_prev`` in float32 takes less time if it is written
    transposed (two cores of a Zen 5, with the kernels for it and those for a Haswell), and ``a_prev @ W.T``
    no more; ``dz @ W`` loses less than that. Small products lose more than they gain; so do layers with
    more outputs than inputs. In float64, steps gain with Haswell's kernels and lose with those for
    AVX-512, so that nothing is transposed. A product of one term `np.matmul` makes without BLAS.
    """
    outputs, inputs = shape
    narrowing = outputs < inputs and batch > 1 and batch * outputs * inputs >= TRANSPOSED_FROM
    return "F" if narrowing and dtype == np.float32 else "C"


def product_into(out: Array, terms: int) -> Product:
    """The faster one for an output of that size, whose elements are sums of so many terms.

    An outer product, of one term, `np.matmul` makes without BLAS, in several times as long.
    """
    if out.nbytes >= OVERWRITES_FROM and terms > 1:
        return np.matmul
    return np.dot if out.flags.c_contiguous else _dot_transposed


def _dot_transposed(left: Array, right: Array, out: Array) -> Array:
    """Into what lies column after column, which `np.dot` refuses."""
    np.dot(right.T, left.T, out.T)
    return out
