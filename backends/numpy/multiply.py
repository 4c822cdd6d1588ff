"""Which of NumPy's two products of matrices to call, by what it adds up and what it writes to."""

from collections.abc import Callable

import numpy as np

from ...networks.dtypes import Array

Product = Callable[[Array, Array, Array], Array]
"""``product(left, right, out)``."""

OVERWRITES_FROM = 2**17
"""Bytes of a product from which `np.matmul` is faster than `np.dot`, on two cores of a Zen 4.

Both call the same BLAS. Before it overwrites an array that is given, `np.dot` sets that to zero, a
pass over memory; `np.matmul` does not, and takes 0.4 us longer to find out what it is given.
"""


def product_into(out: Array, terms: int) -> Product:
    """The faster one for an output of that size, whose elements are sums of so many terms.

    An outer product, of one term, `np.matmul` makes without BLAS, in several times as long.
    """
    return np.matmul if out.nbytes >= OVERWRITES_FROM and terms > 1 else np.dot
