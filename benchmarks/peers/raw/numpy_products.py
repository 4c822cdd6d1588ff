"""The matrix products of a step in NumPy, where arrays lie as its BLAS multiplies them fastest."""

import numpy as np

from crossgrad.backends.numpy.memory import copy, empty
from crossgrad.backends.numpy.multiply import layout_of, product_into


def build(layers, x, y, device):
    batch, dtype = len(x), x.dtype
    samples, orders = layout_of([W.shape for W, _ in layers], batch, dtype)
    weights = [copy(W, dtype, order) for (W, _), order in zip(layers, orders, strict=True)]
    inputs = [copy(x, dtype, samples)] + [empty((batch, len(W)), dtype, samples) for W in weights[:-1]]
    draw = np.random.default_rng(0)
    for a in inputs[1:]:
        a[...] = draw.uniform(-1, 1, a.shape)
    products = [
        (a, W.T, empty((batch, len(W)), dtype, samples)) for a, W in zip(inputs, weights, strict=True)
    ]
    for n, (a, W, order) in enumerate(zip(inputs, weights, orders, strict=True)):
        delta = empty((batch, len(W)), dtype, samples)
        delta[...] = draw.uniform(-1, 1, delta.shape)
        products.append((delta.T, a, empty(W.shape, dtype, order)))
        if n:
            products.append((delta, W, empty(a.shape, dtype, samples)))
    prepared = [(product_into(out, len(right)), left, right, out) for left, right, out in products]

    def step():
        for multiply, left, right, out in prepared:
            multiply(left, right, out)

    return step, lambda: None
