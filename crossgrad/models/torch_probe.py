"""What was read of a module, held to the module: the same bits, forward and backward, on a drawn batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..networks.errors import InvalidInput, first_line
from .model import WAY_OUT, Affine, Step
from .torch_rules import RULES

SAMPLES = 3


def snapshot(module: nn.Module) -> list[torch.Tensor]:
    """The numbers of every parameter that has any, copied."""
    return [p.detach().clone() for p in module.parameters() if not nn.parameter.is_lazy(p)]


@contextmanager
def in_mode(module: nn.Module, *, other: bool) -> Iterator[None]:
    """As it is, or with training and evaluation exchanged; restored, part by part."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, training in modes:
            part.training = training != other
        yield
    finally:
        for part, training in modes:
            part.training = training


def require_same(
    module: nn.Module, steps: Sequence[Step], before: Sequence[torch.Tensor], other_mode: bool
) -> None:
    """Refuse a module that computes something else than `steps`, or writes to its parameters.

    The steps run on the module's own tensors in the same order, so that equal
    means equal in every bit: no tolerance hides a detached or narrower part.

    Parameters
    ----------
    before
        The `snapshot` from before anything of the module was called.
    other_mode
        Whether to look in training if it is in evaluation, and in evaluation if in training.
    """
    kind = type(module).__name__
    x, cotangent = _drawn(steps)
    leaves = [x, *(p for s in steps if isinstance(s, Affine) for p in (s.W, s.b) if p is not None)]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    random = torch.random.fork_rng(range(torch.cuda.device_count()))
    with torch.enable_grad(), random, in_mode(module, other=other_mode):
        expected = _chain(steps, x)
        try:
            found = module(x)
            gradients = torch.autograd.grad(found, wanted, cotangent, allow_unused=True)
        except Exception as error:  # the module's forward is the user's code: it may raise anything
            told = first_line(error)
            raise InvalidInput(
                f"{kind} cannot be called on x of shape {tuple(x.shape)}, or differentiated there "
                f"({type(error).__name__}: {told}): {WAY_OUT}"
            ) from None
        right = torch.autograd.grad(expected, wanted, cotangent)
    if not all(map(torch.equal, snapshot(module), before)):
        raise InvalidInput(f"{kind} writes to its parameters when it is called: {WAY_OUT}")
    same = _equal(found, expected) and all(map(_equal, gradients, right))
    if not same:
        raise InvalidInput(
            f"{kind} computes something else than its layers in their order, forward or backward: "
            f"numbers that are detached or converted on the way, or what depends on training, say; {WAY_OUT}"
        )


def _drawn(steps: Sequence[Step]) -> tuple[torch.Tensor, torch.Tensor]:
    """x and a cotangent, from a generator of its own: the user's random numbers stay as they are."""
    layers = [step for step in steps if isinstance(step, Affine)]
    random = torch.Generator().manual_seed(0)

    def drawn(width: int) -> torch.Tensor:
        numbers = torch.rand((SAMPLES, width), generator=random, dtype=torch.float64) - 0.5
        return numbers.to(layers[0].W.device, layers[0].W.dtype)

    return drawn(layers[0].W.shape[1]).requires_grad_(), drawn(layers[-1].W.shape[0])


def _chain(steps: Sequence[Step], x: torch.Tensor) -> torch.Tensor:
    for step in steps:
        x = (
            nn.functional.linear(x, step.W, step.b)
            if isinstance(step, Affine)
            else RULES[step.name].module(x)
        )
    return x


def _equal(found: Any, expected: torch.Tensor) -> bool:
    return isinstance(found, torch.Tensor) and torch.equal(found, expected) and found.dtype == expected.dtype
