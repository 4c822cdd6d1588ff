"""A case's loss as a user of each framework would write it: right functions for trials of the comparison."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..mathematics import LOSSES
from ..networks.cases import Case


def numpy_gradient(case: Case) -> Callable[..., Any]:
    """Backprop by hand, for sigmoid layers."""
    weight = _weight(case)

    def gradients(params: Any, x: Any, y: Any) -> Any:
        a = [x]
        for W, b in params:
            z = a[-1] @ W.T if b is None else a[-1] @ W.T + b
            small = np.exp(-np.abs(z))  # never overflows, as exp(-z) does in float16
            a.append(np.where(z >= 0, 1, small) / (1 + small))
        error = a[-1] - y
        found: list[Any] = []
        da = error * x.dtype.type(2 * weight)
        for n in reversed(range(len(params))):
            dz = da * a[n + 1] * (1 - a[n + 1])
            found.insert(0, (dz.T @ a[n], None if params[n][1] is None else dz.sum(axis=0)))
            da = dz @ params[n][0]
        return np.sum(error**2) * x.dtype.type(weight), found

    return gradients


def torch_loss(case: Case) -> Callable[..., Any]:
    weight = _weight(case)

    def of_torch(params: Any, x: Any, y: Any) -> Any:
        from torch import sigmoid
        from torch.nn.functional import linear

        for W, b in params:
            x = sigmoid(linear(x, W, b))
        return (x - y).square().sum() * weight

    return of_torch


def jax_loss(case: Case) -> Callable[..., Any]:
    weight = _weight(case)

    def of_jax(params: Any, x: Any, y: Any) -> Any:
        from jax.nn import sigmoid

        for W, b in params:
            x = sigmoid(x @ W.T if b is None else x @ W.T + b)
        return ((x - y) ** 2).sum() * weight

    return of_jax


def _weight(case: Case) -> float:
    """What the sum of squares is multiplied by."""
    samples, units = case.batch.y.shape
    return 1 / LOSSES[case.loss].count(samples, units)
