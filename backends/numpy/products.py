"""The matrix products of a case in NumPy, and nothing else: what its BLAS takes for them."""

import numpy as np

from ...networks.cases import Case
from ...networks.dtypes import Array
from ..base import Products, bytes_to_copy
from .memory import Order, copy, empty
from .multiply import Product, layout_of, product_into


class NumpyProducts(Products):
    """On prepared operands into prepared outputs; BLAS takes transposed views as they are.

    The operands are uniform in [-1, 1]: of order 1, and none so small that it is slow.
    """

    def __init__(self, case: Case) -> None:
        dtype, batch, widths = case.format.storage, case.batch_size, case.network.widths
        random = np.random.default_rng(0)

        def drawn(shape: tuple[int, int], order: Order) -> Array:
            return copy(random.uniform(-1, 1, shape), dtype, order)

        shapes = case.network.shapes
        samples, orders = layout_of(shapes, batch, dtype)
        inputs = [drawn((batch, i), samples) for i in widths[:-1]]
        weights = [drawn(*both) for both in zip(shapes, orders, strict=True)]
        dz = [drawn((batch, o), samples) for o in widths[1:]]
        z = [empty(d.shape, dtype, samples) for d in dz]
        dW = [empty(shape, dtype, order) for shape, order in zip(shapes, orders, strict=True)]
        da = [empty(a.shape, dtype, samples) for a in inputs[1:]]
        self._forward = [_prepared(a, W.T, out) for a, W, out in zip(inputs, weights, z, strict=True)]
        self._backward = [_prepared(d.T, a, out) for d, a, out in zip(dz, inputs, dW, strict=True)]
        self._backward += [_prepared(d, W, out) for d, W, out in zip(dz[1:], weights[1:], da, strict=True)]
        touched = sum(array.nbytes for group in (inputs, weights, dz, z, dW, da) for array in group)
        size = bytes_to_copy(touched, on_cpu=True)
        self._source, self._target = np.ones(size, np.uint8), np.zeros(size, np.uint8)

    def forward(self) -> list[Array]:
        return [multiply(left, right, out) for multiply, left, right, out in self._forward]

    def step(self) -> list[Array]:
        return self.forward() + [multiply(left, right, out) for multiply, left, right, out in self._backward]

    def copy(self) -> Array:
        np.copyto(self._target, self._source)
        return self._target

    @property
    def copied_bytes(self) -> int:
        return self._source.nbytes


def _prepared(left: Array, right: Array, out: Array) -> tuple[Product, Array, Array, Array]:
    return product_into(out, len(right)), left, right, out
