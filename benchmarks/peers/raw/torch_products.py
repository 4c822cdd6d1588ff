"""The matrix products of a step: torch.mm into outputs that are there already, or oneDNN's, if faster.

The latter is for float32 on the CPU, by the operation that torch.compile has for what it froze. It
takes no outputs: of large ones, what it frees is kept for the next, as by the engines.
"""

from functools import partial

import torch

from crossgrad.backends.allocation import keep_freed_memory
from crossgrad.backends.torch.engine import KEEPS_FROM
from crossgrad.backends.torch.onednn import offers_onednn
from crossgrad.backends.torch.products import TWO_WAYS_FROM, faster


def build(layers, x, y, device):
    weights = [torch.tensor(W, device=device) for W, _ in layers]
    first = torch.tensor(x, device=device)
    torch.manual_seed(0)
    inputs = [first] + [drawn(first, len(x), len(W)) for W in weights[:-1]]
    operands = []
    for a, W in zip(inputs, weights, strict=True):
        operands.append((a, W.t(), a.new_empty(len(a), len(W))))
    for n, (a, W) in enumerate(zip(inputs, weights, strict=True)):
        delta = drawn(a, len(a), len(W))
        operands.append((delta.t(), a, torch.empty_like(W)))
        if n:
            operands.append((delta, W, torch.empty_like(a)))
    if max(out.nbytes for _, _, out in operands) >= KEEPS_FROM:
        keep_freed_memory()
    products = [product(*of) for of in operands]

    def step():
        for multiply in products:
            multiply()

    return step, torch.cuda.synchronize if device != "cpu" else lambda: None


def drawn(like, *shape):
    """Of both signs, as an engine's are: a GPU at the limit of its power multiplies constants faster."""
    return like.new_empty(shape).uniform_(-1, 1)


def product(left, right, out):
    plain = partial(torch.mm, left, right, out=out)
    if not offers_onednn(out.dtype, out.device) or left.numel() * right.shape[1] < TWO_WAYS_FROM:
        return plain
    by_onednn = partial(torch.ops.mkldnn._linear_pointwise, left, right.t(), None, "none", [], "")
    return faster(plain, by_onednn)
