"""A closer look at functions of which the direction of their difference does not tell who is wrong.

It does not where the loss is as wrong as the gradient in nearly everything (an input that the
forward pass leaves out, and the gradient does not), where the gradient is too small beside the loss
(a saturated layer), and where a loss is too rough to be followed. So here a function is asked

- for its own loss's slopes along random directions in which every leaf has a part, which only a
  gradient that is right in all elements meets: a little beside the arguments, off kinks, and where what is
  differentiated by is an eighth of that, and a sixty-fourth, and fewer units are saturated;
- whether its loss in float64 moves in steps, as one that is computed in a narrower dtype does.
"""

from collections.abc import Mapping

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arbiter import EPS, SURE, has_loss_in_float64, loss_at, moved, norm, slope_along
from .arguments import Arguments, Key, Values
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed

SCALES = (1.0, 1 / 8, 1 / 64)
"""Of what is differentiated by."""

LEAST = 1e-9
"""Of the longest leaf of a gradient: shorter ones get no more weight than this one would."""

LEVEL = 1e-4
"""Of the same, down to which a leaf's gradient shows beside the others."""

CLOSE = 1e-5
"""Of the gradient's length, which it has to be off to be wrong."""

DECISIVE = 1e-3
"""Of the same, up to which a slope's error leaves room to call a gradient right."""

NUDGE = 2.0**-10
"""Of a leaf's root mean square, by which its numbers are moved: off kinks that they may be at."""

SAME = 0.1
"""Of how far gradients differ at the arguments: beside them they differ by less if a kink is the reason."""

SPACINGS = tuple(2.0**-k for k in (30, 26, 22, 18, 14))
"""Of the parameters' size: losses so far apart differ by much of float64's resolution."""

POINTS = 8
ROUGH = 2.0**10
"""Roundings in float64 that differences of losses so near to each other have to exceed to be steps."""


def is_consistent(one: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's gradient is that of its own loss in all that was tried; None if nothing told."""
    if not has_loss_in_float64(one):
        return None
    seen: list[bool | None] = []
    for scale in SCALES:
        gradients, at = _gradients(one, arguments, scale), _beside(arguments, scale)
        draw = np.random.default_rng(0)
        for levelled in (False, True) if gradients else ():
            direction = _direction(gradients, draw, levelled)
            seen.append(_meets(one, gradients, direction, arguments, at))
            if seen[-1] is False:
                return False
        if gradients and None not in seen and _is_level(gradients):
            break  # nothing is too small here to be seen
    return True if True in seen else None


def agree_beside(one: Measured, other: Measured, arguments: Arguments) -> bool:
    """Whether gradients that differ at the arguments do not beside them: what differs is taken at a kink."""
    at = _beside(arguments, 1.0)
    try:
        ours, theirs = (measured.runner.run(Point(at, wide=True)).gradients for measured in (one, other))
    except (FunctionFailed, InvalidInput):
        return False
    shared = [name for name in ours if name in theirs]
    apart = norm({name: one.best[name] - other.best[name] for name in shared})
    return norm({name: ours[name] - theirs[name] for name in shared}) <= SAME * apart


def grain(one: Measured, arguments: Arguments) -> float:
    """By what steps the loss in float64 moves, 0 if by float64's own.

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
    steps = [(norm({name: start[keys[name]] for name in gradients}) or 1.0) * spacing for spacing in SPACINGS]
    direction = {name: part / length for name, part in gradients.items()}

    def near(h: float) -> Array:
        return np.array([loss_at(one, moved(start, keys, k * h, direction)) for k in range(POINTS)])

    try:
        losses = near(steps[0])
        first, third = (float(np.abs(np.diff(losses, order)).max()) for order in (1, 3))
        resolved, expected = ROUGH * EPS * float(np.abs(losses).max()), (POINTS - 1) * length
        stands, jumps = first == 0 and steps[0] * expected > resolved, first > resolved and third >= first / 2
        if not (stands or jumps):
            return 0.0
        found = (float(np.abs(np.diff(near(h))).max()) for h in steps)
        return next((largest for largest in found if largest > 0), steps[-1] * expected)
    except (FunctionFailed, InvalidInput):
        return 0.0


def _gradients(one: Measured, arguments: Arguments, scale: float) -> dict[str, Array]:
    """The gradient in float64 at the scaled arguments; nothing if there is none that is finite."""
    try:
        found = one.runner.run(Point(_beside(arguments, scale), wide=True)).gradients
    except (FunctionFailed, InvalidInput):
        return {}
    gradients = {name: np.asarray(part, np.float64) for name, part in found.items()}
    return gradients if np.isfinite(norm(gradients)) else {}


def _is_level(gradients: Mapping[str, Array]) -> bool:
    """Whether every leaf has a gradient that shows beside the others."""
    sizes = [float(np.linalg.norm(part)) for part in gradients.values() if part.size]
    return not sizes or min(sizes) > LEVEL * max(sizes)


def _beside(arguments: Arguments, scale: float) -> Values:
    """The arguments with what is differentiated by scaled, and a little beside that."""
    draw = np.random.default_rng(0)
    start = arguments.in_float64
    found: dict[Key, Array] = dict(start)
    for key in arguments.differentiated:
        value = start[key]
        size = float(np.sqrt(np.mean(value**2))) if value.size else 0.0
        moved_by = NUDGE * (size or 1.0) * draw.standard_normal(value.shape)
        found[key] = np.asarray(scale * (value + moved_by))
    return found


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
