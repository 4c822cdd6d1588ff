"""The matrix products of a step with numpy.matmul, into outputs that are there already."""

import numpy as np


def build(layers, x, y, device):
    weights = [W for W, _ in layers]
    inputs = [x] + [np.full((len(x), len(W)), 0.5, x.dtype) for W in weights[:-1]]
    products = []
    for a, W in zip(inputs, weights, strict=True):
        products.append((a, W.T, np.empty((len(a), len(W)), a.dtype)))
    for n, (a, W) in enumerate(zip(inputs, weights, strict=True)):
        delta = np.full((len(a), len(W)), 0.5, a.dtype)
        products.append((delta.T, a, np.empty_like(W)))
        if n:
            products.append((delta, W, np.empty_like(a)))

    def step():
        for left, right, out in products:
            np.matmul(left, right, out=out)

    return step, lambda: None
