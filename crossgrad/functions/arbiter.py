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
from .arguments import Arguments, Key, Values
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed

STEPS = tuple(2.0**-k for k in range(0, 28, 4))
"""Of the parameters' size in the direction."""

EPS = 2.0**-52
ROUNDINGS = 4
"""Ulp of itself that a loss in float64 may be off."""

SURE = 8.0
"""Estimated errors that a slope may be off."""

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
    between = _between(one, other)
    if not np.isfinite(norm(between)):
        return is_of_its_loss(one, arguments)  # there is no direction to NaN
    return _follows(one, between, arguments)


def is_at_kink(one: Measured, other: Measured, arguments: Arguments) -> bool:
    """Whether `one`'s loss has a kink between its gradient and `other`'s."""
    between = _between(one, other)
    length = norm(between)
    if not np.isfinite(length) or length == 0.0:
        return False
    slope = slope_along(one, {name: part / length for name, part in between.items()}, arguments)
    return slope is not None and slope.sides is not None and _spans(slope.sides, length)


def is_of_its_loss(one: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's gradient is as long as its own loss is steep: for gradients that do not differ."""
    return _follows(one, {name: one.best[name] for name in one.got.gradients}, arguments)


def _follows(one: Measured, towards: Mapping[str, Array], arguments: Arguments) -> bool | None:
    """Whether the loss's slope in a direction is what the gradient says it is."""
    length = norm(towards)
    if not np.isfinite(length) or length == 0.0:
        return None
    direction = {name: part / length for name, part in towards.items()}
    slope = slope_along(one, direction, arguments)
    if slope is None:
        return None
    mine = one.best
    own = sum(float(np.vdot(mine[name], part)) for name, part in direction.items())
    if slope.sides is not None and _spans(slope.sides, length):
        return slope.sides[0] - NEAR * length <= own <= slope.sides[1] + NEAR * length
    return None if slope.error > NEAR * length else abs(slope.value - own) <= NEAR * length


def _between(one: Measured, other: Measured) -> dict[str, Array]:
    """The one gradient less the other."""
    mine, theirs = one.best, other.best
    return {name: mine[name] - theirs[name] for name in one.got.gradients if name in theirs}


def _spans(sides: tuple[float, float], length: float) -> bool:
    """Whether slopes to both sides are as far apart as two gradients are."""
    return sides[1] - sides[0] > (1 - NEAR) * length


def slope_along(
    one: Measured, direction: Mapping[str, Array], arguments: Arguments, start: Values | None = None
) -> Slope | None:
    """The slope of a function's own loss in float64, or None if it has no loss that can be followed.

    Parameters
    ----------
    start
        Where, instead of at the arguments.
    """
    if not has_loss_in_float64(one):
        return None
    start = arguments.in_float64 if start is None else start
    keys = {arguments.name(key): key for key in arguments.differentiated}
    size = _size({name: start[keys[name]] for name in direction}, direction)
    steps = [size * step for step in STEPS]
    offsets = (0.0, *(side * h for h in steps for side in (1, -1)))
    try:
        middle, *found = [loss_at(one, moved(start, keys, h, direction)) for h in offsets]
    except (FunctionFailed, InvalidInput):
        return None
    losses = list(zip(found[::2], found[1::2], strict=True))
    slopes = _known([(above - below) / (2 * h) for h, (above, below) in zip(steps, losses, strict=True)])
    # Each step is a sixteenth of the one before: the error of order h**2 is 256 times smaller.
    better = [(256 * fine - coarse) / 255 for coarse, fine in pairwise(slopes)]
    rounding = [ROUNDINGS * EPS * abs(middle) / h for h in steps[2:]]
    errors = [abs(b - a) + noise for (a, b), noise in zip(pairwise(better), rounding, strict=True)]
    errors = _borne_out(better[1:], errors)
    best = int(np.argmin(errors))
    if not np.isfinite(errors[best]):
        return None
    coarse, fine = [
        ((above - middle) / h, (middle - below) / h)
        for h, (above, below) in zip(steps[best + 1 : best + 3], losses[best + 1 : best + 3], strict=True)
    ]
    return Slope(better[best + 1], errors[best], _kink(coarse, fine, rounding[best]))


def _size(values: Mapping[str, Array], direction: Mapping[str, Array]) -> float:
    """The length of what a direction moves; leaves that have no part in it have none in its size."""
    parts = {name: float(np.linalg.norm(part)) for name, part in direction.items()}
    return float(np.hypot.reduce([parts[name] * np.linalg.norm(values[name]) for name in parts])) or 1.0


def _known(slopes: list[float]) -> list[float]:
    """Without those of steps over which the loss did not move, if over others it did.

    Too small a step for what the loss is computed in finds that, and one so large that all is saturated.
    """
    return [slope or float("nan") for slope in slopes] if any(slopes) else slopes


def _borne_out(found: list[float], errors: list[float]) -> list[float]:
    """Infinite errors for what finer steps contradict, as far as these can tell."""
    told = np.nan_to_num(errors, nan=np.inf)
    return [
        error
        if np.isfinite(error)
        and all(
            abs(value - finer) <= SURE * (error + off)
            for finer, off in zip(found[n + 1 :], told[n + 1 :], strict=True)
            if np.isfinite(off)
        )
        else float("inf")
        for n, (value, error) in enumerate(zip(found, told, strict=True))
    ]


def _kink(coarse: tuple[float, float], fine: tuple[float, float], noise: float) -> tuple[float, float] | None:
    """The slopes to both sides, if they stay apart as steps shrink, as a curve's do not, nor noise."""
    apart, closer = abs(coarse[0] - coarse[1]), abs(fine[0] - fine[1])
    return (min(fine), max(fine)) if closer > max(apart / 2, SURE * noise) else None


def has_loss_in_float64(one: Measured) -> bool:
    return one.got.loss is not None and (one.reference is not None or one.got.is_wide)


def moved(start: Values, keys: Mapping[str, Key], step: float, direction: Mapping[str, Array]) -> Values:
    """The values a step in a direction further."""
    found = {keys[name]: np.asarray(start[keys[name]] + step * part) for name, part in direction.items()}
    return {**start, **found}  # as arrays: NumPy makes scalars of those without dimensions


def loss_at(one: Measured, values: Values) -> float:
    """A function's loss in float64; NaN where it gives none."""
    found = one.runner.run(Point(values, wide=True)).loss
    return float("nan") if found is None else float(found)


def norm(parts: Mapping[str, Array]) -> float:
    """The length of a vector given in parts."""
    with np.errstate(over="ignore"):
        return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts.values())))
