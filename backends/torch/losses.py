"""Losses as a PyTorch user writes them, ``(a (B, O), y (B, O)) -> scalar``."""

from collections.abc import Callable

import torch
from torch.nn.functional import mse_loss


def mse_sum(a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mse_loss(a, y, reduction="sum")


def half_mse(a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mse_loss(a, y, reduction="sum") / (2 * len(a))


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": mse_loss,
    "mse-sum": mse_sum,
    "half-mse": half_mse,
}
