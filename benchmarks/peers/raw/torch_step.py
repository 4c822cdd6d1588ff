"""Autograd on leaf tensors, called as the manual shows."""

import torch
from torch.nn import functional


def build(layers, x, y, device):
    weights = [tuple(torch.tensor(p, device=device, requires_grad=True) for p in (W, b)) for W, b in layers]
    leaves = [leaf for pair in weights for leaf in pair]
    inputs, targets = torch.tensor(x, device=device), torch.tensor(y, device=device)

    def step():
        output = inputs
        for W, b in weights:
            output = torch.sigmoid(functional.linear(output, W, b))
        loss = functional.mse_loss(output, targets)
        return loss, torch.autograd.grad(loss, leaves)

    return step, torch.cuda.synchronize if device != "cpu" else lambda: None
