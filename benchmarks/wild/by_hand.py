"""Layers written out in PyTorch, for parameters in any layout: the other side of the comparisons."""

from typing import Any

import torch


def sigmoid_layers(params: Any, x: Any) -> Any:
    """``params`` as pairs ``(W (O, I), b (O,))``."""
    for W, b in params:
        x = torch.sigmoid(x @ W.T + b)
    return x


def normalized(x: Any, scale: Any, bias: Any, epsilon: float, axes: tuple[int, ...] = (-1,)) -> Any:
    """Layer normalization over `axes`, by the biased variance."""
    mean = x.mean(axes, keepdim=True)
    variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    return (x - mean) / torch.sqrt(variance + epsilon) * scale + bias


def tanh_gelu(x: Any) -> Any:
    """The approximation by Hendrycks and Gimpel 2016."""
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def attention(q: Any, k: Any, v: Any) -> Any:
    """Scaled dot products, with q, k and v of shape ``(B, T, heads, width)``."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bhqk,bkhd->bqhd", torch.softmax(scores, -1), v)


def convolved(x: Any, kernel: Any, bias: Any) -> Any:
    """A convolution without padding, of ``x (B, H, W, C)`` by a kernel ``(h, w, C, O)``."""
    found = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias)
    return found.permute(0, 2, 3, 1)


def over_time(cell: Any, x: Any, width: int, states: int = 1) -> Any:
    """Every output of a recurrent cell along ``x (B, T, I)``; its first state is the output."""
    state = tuple(x.new_zeros(x.shape[0], width) for _ in range(states))
    outputs = []
    for t in range(x.shape[1]):
        state = cell(state, x[:, t])
        outputs.append(state[0])
    return torch.stack(outputs, 1)


def mean_square(output: Any, y: Any) -> Any:
    return ((output - y) ** 2).mean()
