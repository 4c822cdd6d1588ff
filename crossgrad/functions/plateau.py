"""Whether a loss that stands still is constant there, or moves in steps that are wider than that.

Both have a slope of nothing. A hinge loss whose margins are all met is constant, and its gradient is
zero: where it ends it starts from where it was. What is rounded on the way jumps there, and its gradient
may be meant to go straight through that. So the place where the loss first moves, to either side, is
closed in on: what moves it over next to no distance as much as over a great one is a jump.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .runs import FunctionFailed

DISTANCES = tuple(2.0**k for k in range(-13, 4))
"""Of the size of what is moved. Weights of an eighth of what they are rounded to are rounded to zero."""

HALVINGS = 40

JUMP = 2.0**-16
"""Of how far a loss first moves, that it jumps by at least: by more than steps of float32."""

ROUGH = 2.0**10
"""Roundings in float64, of the largest loss that was met, that a loss may be off by."""

EPS = 2.0**-52


def unseen_on_plateau(loss_at: Callable[[float], float], size: float) -> float | None:
    """By how much a loss that stands still at 0 may move there unseen; None if it stands on a step.

    Where a loss is next to nothing it may have been rounded beside numbers that cancel: as large as it is
    further on.
    """
    middle = loss_at(0.0)
    sides = [list(_met(loss_at, side * size)) for side in (1.0, -1.0)]
    largest = max(abs(loss) for loss in (middle, *(loss for side in sides for _, loss in side)))
    unseen = ROUGH * EPS * largest
    if not all(side for side in sides) or any(_jumps(loss_at, middle, side, unseen) for side in sides):
        return None
    return unseen


def _met(loss_at: Callable[[float], float], size: float) -> Iterator[tuple[float, float]]:
    """Distances and losses there, as far as there are any."""
    for distance in DISTANCES:
        try:
            loss = loss_at(size * distance)
        except FunctionFailed:
            return
        if not np.isfinite(loss):
            return
        yield size * distance, loss


def _jumps(
    loss_at: Callable[[float], float], middle: float, met: list[tuple[float, float]], unseen: float
) -> bool:
    """Whether the loss jumps where the plateau ends."""
    last, near = middle, 0.0
    for far, loss in met:
        moved = abs(loss - middle)
        if moved > unseen:
            break
        last, near = loss, far
    else:
        return False
    for _ in range(HALVINGS):
        between = (near + far) / 2
        at = loss_at(between)
        if abs(at - middle) > unseen:
            far, loss = between, at
        else:
            near, last = between, at
    return abs(loss - last) > max(unseen, JUMP * moved)
