"""Who is wrong: the loss's own slope along the direction in which two gradients differ most.

Gradients g and h differ along ``v = (g - h) / |g - h|`` more than along any
other direction. The loss's slope along v is ``g . v`` if g is its gradient and
``h . v`` if h is; both differ by ``|g - h|``, so that even a rough slope tells them
apart. Slopes are central differences, extrapolated to step zero (Richardson
1911) from steps of several sizes, of which the one with the least estimated
error counts. Where the slopes to both sides differ, or the gradient jumps (at relu's kink, say),
they tell nothing: see ``kinks.py``.

A function is asked for its own loss: one whose gradient is that of its own loss is
consistent, even if it computes another loss than the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arguments import Arguments, Key, Values
from .measuring import Measured
from .plateau import unseen_on_plateau
from .points import Point
from .runs import FunctionFailed

STEPS = tuple(2.0**-k for k in range(8, 40, 4))
LARGE_STEPS = (1.0, 2.0**-4)
"""Of the parameters' size in the direction.

The large ones are taken only where the others do not tell enough: a bounded loss has slopes near zero
there, which agree with each other, and an iteration may not end so far from where it is meant to run.
"""

EPS = 2.0**-52
ROUNDINGS = 4
"""Ulp of itself that a loss in float64 may be off."""

SURE = 8.0
"""Estimated errors that a slope may be off."""

NEAR = 0.1
"""Of the distance between two gradients: a slope so near to one of them is that one's."""

FINEST = 3
"""Steps, of the smallest, over which a part of a loss that is computed in float32 stands still."""

HARDLY = 2.0**10
"""Ulp of a loss that it moves by where it stands still but for rounding."""

CLEAR = 0.01
"""Of itself that a slope may be off to count although the finest steps contradict it.

The slopes of what swings within the steps do not agree in proportion to themselves.
"""

NEAR_ENOUGH = 1e-3
"""Of the same distance: an error from which on larger steps are not tried."""


@dataclass(frozen=True)
class Slope:
    """The loss's slope along a direction, how far off it may be, and by how much it jumps.

    Parameters
    ----------
    finest
        What the finest steps tell instead, where they contradict it: a part of the loss may stand still
        within these, or bend beyond them.
    """

    value: float
    error: float
    kink: float
    finest: float | None = None


def follows(one: Measured, towards: Mapping[str, Array], arguments: Arguments) -> bool | None:
    """Whether the loss's slope in a direction is what the gradient says it is; None if unknown."""
    length = norm(towards)
    if not np.isfinite(length) or length == 0.0:
        return None
    direction = {name: part / length for name, part in towards.items()}
    slope = slope_along(one, direction, arguments, NEAR_ENOUGH * length)
    if slope is None or max(slope.error, slope.kink) > NEAR * length:
        return None
    mine = one.best
    own = sum(float(np.vdot(mine[name], part)) for name, part in direction.items())
    if abs(slope.value - own) <= NEAR * length:
        return True
    if slope.finest is not None and abs(slope.finest - own) <= NEAR * length:
        return None
    return None if _is_within_a_step(one, direction, own, arguments) else False


def _is_within_a_step(
    one: Measured, direction: Mapping[str, Array], own: float, arguments: Arguments
) -> bool:
    """Whether a slope would lead over the finest step further than the loss, which moves, goes over any.

    Then it may be one that bends within that step, as of ``x / max(norm(x), 1e-12)`` at zero: no
    difference can contradict it. Where the loss moves no faster near by than further off, nothing bends.
    """
    start, keys = arguments.in_float64, arguments.by_name
    size = size_along({name: start[keys[name]] for name in direction}, direction)
    try:
        middle = loss_at(one, start)
        losses = [
            loss_at(one, moved(start, keys, side * step * size, direction))
            for step in STEPS
            for side in (-1, 1)
        ]
    except (FunctionFailed, InvalidInput):
        return True
    least, most = min(losses), max(losses)
    reach = most - least
    if abs(own) * STEPS[-1] * size <= reach or reach <= HARDLY * EPS * max(abs(least), abs(most)):
        return False
    return not max(abs(loss - middle) for loss in losses[-2:]) <= reach / 4


def gradients_of(one: Measured) -> dict[str, Array]:
    """A function's gradient at its widest."""
    return {name: one.best[name] for name in one.got.gradients}


def between(one: Measured, other: Measured) -> dict[str, Array]:
    """The one gradient less the other."""
    mine, theirs = one.best, other.best
    return {name: mine[name] - theirs[name] for name in one.got.gradients if name in theirs}


def slope_along(
    one: Measured,
    direction: Mapping[str, Array],
    arguments: Arguments,
    enough: float,
    start: Values | None = None,
) -> Slope | None:
    """The slope of a function's own loss in float64, or None if it has no loss that can be followed.

    Parameters
    ----------
    enough
        The error from which on larger steps are not tried.
    start
        Where, instead of at the arguments.
    """
    if not has_loss_in_float64(one):
        return None
    start = arguments.in_float64 if start is None else start
    keys = arguments.by_name
    size = size_along({name: start[keys[name]] for name in direction}, direction)

    def loss_after(step: float) -> float:
        return loss_at(one, moved(start, keys, step, direction))

    def losses_at(steps: Sequence[float]) -> list[tuple[float, float]]:
        return [(loss_after(h), loss_after(-h)) for h in steps]

    small, large = ([size * step for step in steps] for steps in (STEPS, LARGE_STEPS))
    try:
        middle, losses = loss_at(one, start), losses_at(small)
        found = _told(small, losses, middle)
        stands = all(loss == middle for pair in losses for loss in pair)
        unseen = unseen_on_plateau(loss_after, size) if stands else None
        if unseen is not None and unseen / small[0] <= enough:
            return Slope(0.0, unseen / small[0], 0.0)
        if found is None or found.error > enough or found.value == 0.0:
            found = _told([*large, *small], [*losses_at(large), *losses], middle)
    except (FunctionFailed, InvalidInput):
        return None
    is_step = stands and unseen is None
    return None if is_step and found is not None and found.value == 0.0 else found


def _told(steps: Sequence[float], losses: Sequence[tuple[float, float]], middle: float) -> Slope | None:
    """The slope that all steps tell, or all but the finest where it is these that contradict a clear one."""
    found = extrapolated(steps, losses, middle)
    coarse = extrapolated(steps[:-FINEST], losses[:-FINEST], middle)
    if found is None or coarse is None or coarse.error > CLEAR * abs(coarse.value):
        return found
    if abs(coarse.value - found.value) <= SURE * (coarse.error + found.error):
        return found
    return replace(coarse, finest=found.value)


def extrapolated(
    steps: Sequence[float], losses: Sequence[tuple[float, float]], middle: float
) -> Slope | None:
    """The slope of least error of those that losses to both sides, at steps from large to small, tell."""
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


def size_along(values: Mapping[str, Array], direction: Mapping[str, Array]) -> float:
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
    told = np.nan_to_num(errors, nan=np.inf, posinf=np.inf)
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


def _kink(coarse: tuple[float, float], fine: tuple[float, float], noise: float) -> float:
    """How far slopes to both sides are apart, if they stay so as steps shrink, unlike a curve's or noise."""
    apart, closer = abs(coarse[0] - coarse[1]), abs(fine[0] - fine[1])
    return closer if closer > max(apart / 2, SURE * noise) else 0.0


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
