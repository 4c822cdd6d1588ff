"""Autograd on leaf tensors, called as the manual shows."""

import torch
from torch.nn import functional


def build(layers, x, y):
    weights = [(torch.tensor(W, requires_grad=True), torch.tensor(b, requires_grad=True)) for W, b in layers]
    leaves = [leaf for pair in weights for leaf in pair]
    inputs, targets = torch.tensor(x), torch.tensor(y)

    def step():
        output = inputs
        for W, b in weights:
            output = torch.sigmoid(functional.linear(output, W, b))
        loss = functional.mse_loss(output, targets)
        return loss, torch.autograd.grad(loss, leaves)

    return step, lambda: None
