"""Losses that move in steps, in a dispute: of all alike, or of one."""

from collections.abc import Collection, Mapping

import numpy as np

from .arbiter import gradients_of
from .arguments import LOSS_NAME, Arguments
from .dispute import Dispute
from .grain import grain
from .kinks import jumps
from .measuring import Measured

FEW = 16.0
"""Steps that a loss moves in by which it may be off, and ulp of its dtype that a step has to exceed."""

ALIKE = 2.0**-10
"""Share of a step by which losses differ that are all rounded; one rounded alone seldom comes so near."""


def grains_of(dispute: Dispute) -> dict[str, float]:
    """By name, the step that each loss moves in; 0 where it is smooth, or not known."""
    # Beside other leaves, with which it moves smoothly, a loss shows no steps.
    leaves = {
        leaf
        for name in dispute.functions
        for other in dispute.functions
        for leaf in dispute.apart(name, other)
    }
    names = leaves - {LOSS_NAME} or set(dispute.arguments.by_name)
    return {name: _grain(m, names, dispute.arguments) for name, m in dispute.functions.items()}


def is_stepped_alike(dispute: Dispute, grains: Mapping[str, float]) -> bool:
    """Whether the losses differ by next to nothing of the steps that they move in: those of all, then."""
    losses = [float(m.best[LOSS_NAME]) for m in dispute.functions.values() if m.got.loss is not None]
    return len(losses) > 1 and bool(np.ptp(losses) < ALIKE * max(grains.values()))


def _grain(one: Measured, leaves: Collection[str], arguments: Arguments) -> float:
    """As `grain`; at a kink it is not known, as a loss may stand still to one side."""
    return 0.0 if jumps(one, gradients_of(one), arguments) else grain(one, leaves, arguments)


def is_as_near(one: Measured, other: Measured, step: float) -> bool:
    """Whether the losses differ by a few of the steps that one of them moves in, and not as two losses do."""
    return abs(float(one.best[LOSS_NAME]) - float(other.best[LOSS_NAME])) <= FEW * step


def is_coarse(one: Measured, step: float, dispute: Dispute) -> bool:
    """Whether a loss moves in steps that its dtype does not explain."""
    return step > FEW * dispute.arguments.format.eps * abs(float(one.best[LOSS_NAME]))
