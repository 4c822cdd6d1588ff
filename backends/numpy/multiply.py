"""How NumPy's products of matrices are fastest: which of two functions to call, and how W lies in memory."""

from collections.abc import Callable
from typing import Any

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
    if not out.flags.c_contiguous:
        return np.matmul  # np.dot refuses such an array
    return np.matmul if out.nbytes >= OVERWRITES_FROM and terms > 1 else np.dot
