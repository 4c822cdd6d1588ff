"""Who is wrong: the loss's own slope along the direction in which two gradients differ most.

Gradients g and h differ along ``v = (g - h) / |g - h|`` more than along any
other direction. The loss's slope along v is ``g . v`` if g is its gradient and
``h . v`` if h is; both differ by ``|g - h|``, so that even a rough slope tells them
apart. Slopes are central differences, extrapolated to step zero (Richardson
1911) from steps of several sizes, of which the one with the least estimated
error counts. Where the slopes to both sides differ (at relu's kink, say), every number
between them is right, and frameworks choose differently.

A function is asked for its own loss: one whose gradient is that of its own loss is
consistent, even if it computes another loss than the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arguments import Arguments, Values
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed

STEPS = tuple(2.0**-k for k in range(4, 28, 4))
"""Of the parameters' size in the direction."""

EPS = 2.0**-52
ROUNDINGS = 4
"""Ulp of itself that a loss in float64 may be off."""

NEAR = 0.1
"""Of the distance between two gradients: a slope so near to one of them is that one's."""


@dataclass(frozen=True)
class Slope:
    """The loss's slope along a direction, and how far off it may be.

    Parameters
    ----------
    sides
        At a kink, the lower and the higher of the slopes to both sides.
    """

    value: float
    error: float
    sides: tuple[float, float] | None = None


def is_its_own(one: Measured, other: Measured, arguments: Arguments) -> bool | None:
    """Whether `one`'s gradient is that of its own loss, where it differs from `other`'s; None if unknown."""
    mine, theirs = one.best, other.best
    shared = [name for name in one.got.gradients if name in theirs]
    if not all(np.isfinite(theirs[name]).all() for name in shared):
        return is_of_its_loss(one, arguments)  # there is no direction to NaN
    return _follows(one, {name: mine[name] - theirs[name] for name in shared}, arguments)


def is_of_its_loss(one: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's gradient is as long as its own loss is steep: for gradients that do not differ."""
    return _follows(one, {name: one.best[name] for name in one.got.gradients}, arguments)


def _follows(one: Measured, towards: Mapping[str, Array], arguments: Arguments) -> bool | None:
    """Whether the loss's slope in a direction is what the gradient says it is."""
    length = _norm(towards)
    if not np.isfinite(length) or length == 0.0:
        return None
    direction = {name: part / length for name, part in towards.items()}
    slope = slope_along(one, direction, arguments)
    if slope is None:
        return None
    mine = one.best
    own = sum(float(np.vdot(mine[name], part)) for name, part in direction.items())
    if slope.sides is not None and slope.sides[1] - slope.sides[0] > (1 - NEAR) * length:
        return slope.sides[0] - NEAR * length <= own <= slope.sides[1] + NEAR * length
    return None if slope.error > NEAR * length else abs(slope.value - own) <= NEAR * length


def slope_along(one: Measured, direction: Mapping[str, Array], arguments: Arguments) -> Slope | None:
    """The slope of a function's own loss in float64, or None if it has no loss that can be followed."""
    if one.got.loss is None or (one.reference is None and not one.got.is_wide):
        return None
    keys = {arguments.name(key): key for key in arguments.differentiated}
    start = arguments.in_float64
    size = _norm({name: start[keys[name]] for name in direction}) or 1.0

    def loss_at(step: float) -> float:
        values: dict[tuple[int, str], Array] = dict(start)
        for name, part in direction.items():
            values[keys[name]] = start[keys[name]] + step * part
        return _loss(one, values)

    steps = [size * step for step in STEPS]
    try:
        middle, losses = loss_at(0.0), [(loss_at(h), loss_at(-h)) for h in steps]
    except (FunctionFailed, InvalidInput):
        return None
    slopes = [(above - below) / (2 * h) for h, (above, below) in zip(steps, losses, strict=True)]
    # Each step is a sixteenth of the one before: the error of order h**2 is 256 times smaller.
    better = [(256 * fine - coarse) / 255 for coarse, fine in pairwise(slopes)]
    rounding = [ROUNDINGS * EPS * abs(float(one.got.loss)) / h for h in steps[2:]]
    errors = [abs(b - a) + noise for (a, b), noise in zip(pairwise(better), rounding, strict=True)]
    best = int(np.argmin(np.nan_to_num(errors, nan=np.inf)))
    if not np.isfinite(errors[best]):
        return None
    sides = [
        ((above - middle) / h, (middle - below) / h)
        for h, (above, below) in zip(steps[best + 1 : best + 3], losses[best + 1 : best + 3], strict=True)
    ]
    return Slope(better[best + 1], errors[best], _kink(*sides))


def _kink(coarse: tuple[float, float], fine: tuple[float, float]) -> tuple[float, float] | None:
    """The slopes to both sides, if they stay apart as steps shrink, as those of a curve do not."""
    apart, closer = abs(coarse[0] - coarse[1]), abs(fine[0] - fine[1])
    return (min(fine), max(fine)) if closer > apart / 2 else None


def _loss(one: Measured, values: Values) -> float:
    found = one.runner.run(Point(values, wide=True)).loss
    return float("nan") if found is None else float(found)


def _norm(parts: Mapping[str, Array]) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts.values())))
