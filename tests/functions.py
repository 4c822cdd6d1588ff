"""One network as a user of each framework would write it: sigmoid layers, mean squared error."""

from collections.abc import Callable
from typing import Any

import numpy as np


def hand_written(spoil: Callable[[list[Any]], list[Any]] = lambda gradients: gradients) -> Callable[..., Any]:
    """A backprop for NumPy, with what `spoil` makes of its gradients."""

    def gradients(params: Any, x: Any, y: Any) -> Any:
        a = [x]
        for W, b in params:
            a.append(1 / (1 + np.exp(-(a[-1] @ W.T + b))))
        da, found = 2 * (a[-1] - y) / y.size, []
        for n in reversed(range(len(params))):
            dz = da * a[n + 1] * (1 - a[n + 1])
            found.insert(0, (dz.T @ a[n], dz.sum(axis=0)))
            da = dz @ params[n][0]
        return np.mean((a[-1] - y) ** 2), spoil(found)

    return gradients


def torch_loss(params: Any, x: Any, y: Any) -> Any:
    import torch
    from torch.nn import functional

    for W, b in params:
        x = torch.sigmoid(functional.linear(x, W, b))
    return functional.mse_loss(x, y)


def jax_loss(params: Any, x: Any, y: Any) -> Any:
    import jax

    for W, b in params:
        x = jax.nn.sigmoid(x @ W.T + b)
    return jax.numpy.mean((x - y) ** 2)
