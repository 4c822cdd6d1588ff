"""A specification as a PyTorch module."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from ..networks.dtypes import Array
from ..networks.spec import Network
from .leaving import in_dtype
from .torch_rules import RULES


def write_module(network: Network, parameters: Sequence[Any], dtype: object) -> nn.Sequential:
    """``nn.Linear``, activation, ``nn.Linear`` ...; see `crossgrad.to_torch`."""
    given, name = in_dtype(network, parameters, dtype)
    modules = list[nn.Module]()
    for layer, (W, b) in zip(network.layers, given, strict=True):
        modules += [_linear(W, b, getattr(torch, name)), deepcopy(RULES[layer.activation].module)]
    return nn.Sequential(*modules)


def _linear(W: Array, b: Array | None, dtype: torch.dtype) -> nn.Linear:
    # On meta, nothing is drawn: the user's random numbers stay as they are.
    linear = nn.Linear(W.shape[1], W.shape[0], b is not None, device="meta", dtype=dtype)
    linear.weight = nn.Parameter(_tensor(W))
    if b is not None:
        linear.bias = nn.Parameter(_tensor(b))
    return linear


def _tensor(array: Array) -> torch.Tensor:
    """The same bits; torch takes no bfloat16 from NumPy, but integers of its width."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)
