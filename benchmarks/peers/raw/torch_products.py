"""The matrix products of a step: torch.mm into outputs that are there already, or oneDNN's, if faster.

The latter is for float32 on the CPU, and by the operation that torch.compile has for what it froze. It
takes no outputs: what it frees is kept for the next, as by the engines.
"""

import time
from functools import partial

import torch

from crossgrad.backends.allocation import keep_freed_memory

by_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def build(layers, x, y, device):
    keep_freed_memory()
    weights = [torch.tensor(W, device=device) for W, _ in layers]
    first = torch.tensor(x, device=device)
    inputs = [first] + [first.new_full((len(x), len(W)), 0.5) for W in weights[:-1]]
    products = []
    for a, W in zip(inputs, weights, strict=True):
        products.append(product(a, W.t(), a.new_empty(len(a), len(W))))
    for n, (a, W) in enumerate(zip(inputs, weights, strict=True)):
        delta = a.new_full((len(a), len(W)), 0.5)
        products.append(product(delta.t(), a, torch.empty_like(W)))
        if n:
            products.append(product(delta, W, torch.empty_like(a)))

    def step():
        for multiply in products:
            multiply()

    return step, torch.cuda.synchronize if device != "cpu" else lambda: None


def product(left, right, out):
    plain = partial(torch.mm, left, right, out=out)
    if by_onednn is None or out.device.type != "cpu" or out.dtype is not torch.float32:
        return plain
    return min(plain, partial(by_onednn, left, right.t(), None, "none", [], ""), key=least_seconds)


def least_seconds(multiply):
    multiply()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        multiply()
        times.append(time.perf_counter() - start)
    return min(times)
