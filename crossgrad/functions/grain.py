"""Whether a loss in float64 moves in steps, as where part of it is rounded, or in a narrower dtype."""

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arbiter import EPS, has_loss_in_float64, loss_at, moved, norm
from .arguments import Arguments
from .measuring import Measured
from .runs import FunctionFailed

SPACINGS = tuple(2.0**-k for k in (30, 26, 22, 18, 14))
"""Of the parameters' size: losses so far apart differ by much of float64's resolution."""

POINTS = 8
ROUGH = 2.0**10
"""Roundings in float64 that differences of losses so near to each other have to exceed to be steps."""


def grain(one: Measured, arguments: Arguments) -> float:
    """By what steps the loss in float64 moves, 0 if by float64's own, or if it is not known.

    Very near to each other the losses of a smooth function lie on a line: their third differences are
    far below their first ones. Those of a loss in steps are as large, or it stands still where the
    gradient says that it moves. The steps are as high as the first that is met at a growing spacing,
    or at least as what it should have moved by.
    """
    gradients = {name: one.best[name] for name in one.got.gradients}
    length = norm(gradients)
    if not has_loss_in_float64(one) or not np.isfinite(length) or length == 0.0:
        return 0.0
    start = arguments.in_float64
    keys = {arguments.name(key): key for key in arguments.differentiated}
    size = norm({name: start[keys[name]] for name in gradients}) or 1.0
    direction = {name: part / length for name, part in gradients.items()}

    def near(spacing: float) -> Array:
        steps = [k * size * spacing for k in range(POINTS)]
        return np.array([loss_at(one, moved(start, keys, h, direction)) for h in steps])

    slope = (POINTS - 1) * size * length
    try:
        if not _is_rough(near(SPACINGS[0]), SPACINGS[0] * slope):
            return 0.0
        jumps = (float(np.abs(np.diff(near(spacing))).max()) for spacing in SPACINGS)
        return next((jump for jump in jumps if jump > 0), SPACINGS[-1] * slope)
    except (FunctionFailed, InvalidInput):
        return 0.0


def _is_rough(losses: Array, expected: float) -> bool:
    """Whether losses at even distances stand still, or jump, where they should move by `expected` in all."""
    first, third = (float(np.abs(np.diff(losses, order)).max()) for order in (1, 3))
    resolved = ROUGH * EPS * float(np.abs(losses).max())
    return expected > resolved if first == 0 else first > resolved and third >= first / 2
