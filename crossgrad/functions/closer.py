"""A closer look at functions of which the direction of their difference does not tell who is wrong.

It does not where the loss is as wrong as the gradient in nearly everything (an input that the
forward pass leaves out, and the gradient does not), where the gradient is too small beside the loss
(a saturated layer), and where a loss is too rough to be followed. So here a function is asked

- for its own loss's slopes along random directions in which every leaf has a part, which only a
  gradient that is right in all elements meets: at the arguments, and where what is differentiated
  by is an eighth of that, and a sixty-fourth, and fewer units are saturated;
- whether its loss in float64 moves in steps, as one that is computed in a narrower dtype does.
"""

from collections.abc import Mapping

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arbiter import EPS, SURE, has_loss_in_float64, loss_at, moved, norm, slope_along
from .arguments import Arguments, Values
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed

SCALES = (1.0, 1 / 8, 1 / 64)
"""Of what is differentiated by."""

LEAST = 1e-9
"""Of the longest leaf of a gradient: shorter ones get no more weight than this one would."""

CLOSE = 1e-5
"""Of the gradient's length, which it has to be off to be wrong."""

DECISIVE = 1e-3
"""Of the same, up to which a slope's error leaves room to call a gradient right."""

SPACINGS = tuple(2.0**-k for k in (30, 26, 22, 18, 14))
"""Of the parameters' size: losses so far apart differ by much of float64's resolution."""

SMOOTH = 3
"""Of these, on which the third difference of a smooth loss is below its rounding: 2**-22 cubed is 1e-20."""

POINTS = 8
ROUGH = 2.0**10
"""Roundings in float64 that it stays below."""


def is_consistent(one: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's gradient is that of its own loss in all that was tried; None if nothing told."""
    if not has_loss_in_float64(one):
        return None
    answers = [answer for scale in SCALES for answer in _answers(one, arguments, scale)]
    if False in answers:
        return False
    return True if True in answers else None


def grain(one: Measured, arguments: Arguments) -> float:
    """By about what steps the loss in float64 moves, 0 if by float64's own.

    Third differences of losses that lie very near to each other are their rounding errors, and where
    the gradient says that the loss moves, it does; a loss in steps jumps there or stands still.
    """
    gradients = {name: one.best[name] for name in one.got.gradients}
    length = norm(gradients)
    if not has_loss_in_float64(one) or not np.isfinite(length) or length == 0.0:
        return 0.0
    start = arguments.in_float64
    keys = {arguments.name(key): key for key in arguments.differentiated}
    steps = [(norm({name: start[keys[name]] for name in gradients}) or 1.0) * spacing for spacing in SPACINGS]
    direction = {name: part / length for name, part in gradients.items()}
    try:
        found = np.array(
            [[loss_at(one, moved(start, keys, k * h, direction)) for k in range(POINTS)] for h in steps]
        )
    except (FunctionFailed, InvalidInput):
        return 0.0
    jumps = np.abs(np.diff(found, 3)).max(axis=1)
    resolved = ROUGH * EPS * float(np.abs(found).max())
    expected = np.array(steps) * (POINTS - 1) * length
    stands = (np.ptp(found, axis=1) == 0) & (expected > resolved)
    rough = bool(np.any((jumps[:SMOOTH] > resolved) | stands[:SMOOTH]))
    return float(max(jumps.max(), expected[stands].max(initial=0.0))) if rough else 0.0


def _answers(one: Measured, arguments: Arguments, scale: float) -> list[bool | None]:
    """For each direction, whether the gradient at the scaled arguments says how steep the loss is."""
    start = arguments.in_float64
    at: Values = {**start, **{key: scale * start[key] for key in arguments.differentiated}}
    try:
        found = one.runner.run(Point(at, wide=True)).gradients
    except (FunctionFailed, InvalidInput):
        return []
    gradients = {name: np.asarray(part, np.float64) for name, part in found.items()}
    if not np.isfinite(norm(gradients)):
        return []
    draw = np.random.default_rng(0)
    return [
        _meets(one, gradients, _direction(gradients, draw, levelled), arguments, at)
        for levelled in (False, True)
    ]


def _meets(
    one: Measured,
    gradients: Mapping[str, Array],
    direction: Mapping[str, Array],
    arguments: Arguments,
    at: Values,
) -> bool | None:
    slope = slope_along(one, direction, arguments, at)
    if slope is None or slope.sides is not None:
        return None
    parts = {name: float(np.vdot(gradients[name], part)) for name, part in direction.items()}
    length = sum(float(np.linalg.norm(gradients[n]) * np.linalg.norm(part)) for n, part in direction.items())
    off = abs(slope.value - sum(parts.values()))
    if off > SURE * slope.error + CLOSE * length:
        return False
    return True if slope.error <= DECISIVE * length else None


def _direction(gradients: Mapping[str, Array], draw: np.random.Generator, levelled: bool) -> dict[str, Array]:
    """Of every leaf its own gradient with random signs, and for where that is zero a random part as long.

    Parameters
    ----------
    levelled
        Whether leaves have the more of the direction the shorter their gradient is.
    """
    sizes = {name: float(np.linalg.norm(part)) for name, part in gradients.items()}
    least = LEAST * max(sizes.values()) or 1.0
    direction = {}
    for name, part in gradients.items():
        along, across = part * draw.choice([-1.0, 1.0], part.shape), draw.standard_normal(part.shape)
        mixed = along / (sizes[name] or 1.0) + across / (np.linalg.norm(across) or 1.0)
        direction[name] = mixed / max(sizes[name], least) if levelled else mixed
    length = norm(direction) or 1.0
    return {name: part / length for name, part in direction.items()}
