"""Whether a function that has no loss in float64 computes that of another, which has.

At the arguments losses may be equal but for the dtype's noise, and yet be two: with another epsilon, say.
Then their gradients g and h are right both. Along v = (g - h) / |g - h| such losses part by t |g - h| on each
side; one and the same loss does not, wherever it is taken.
"""

import numpy as np

from ..networks.errors import InvalidInput
from .arbiter import between, loss_at, moved, norm, size_along
from .arguments import LOSS_NAME, Arguments, Values, is_float
from .measuring import Measured
from .points import Point
from .runs import FunctionFailed

STEPS = (2.0**-4, 2.0**-2, 1.0)
"""Of the parameters' size in the direction."""

SHOWS = 16.0
"""Standard deviations of the noise of a loss, by which two have to part to be told apart."""

CLOSE = 3.0
"""The same, that one loss may be off at other arguments, on average: less than is allowed at one place."""


def is_of_the_same_loss(one: Measured, other: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's loss, in its dtype, stays another's where gradients would have them part.

    None if noise hides that at every step, or a loss cannot be followed so far.
    """
    towards = between(one, other)
    length = norm(towards)
    if one.got.loss is None or not np.isfinite(length) or length == 0.0:
        return None
    direction = {name: part / length for name, part in towards.items()}
    start, keys = arguments.in_float64, arguments.by_name
    size = size_along({name: start[keys[name]] for name in direction}, direction)
    sigma = float(one.sigma[LOSS_NAME])
    try:
        for step in (step * size for step in STEPS):
            if 2 * step * length > SHOWS * sigma:
                sides = [moved(start, keys, side * step, direction) for side in (1, -1)]
                above, below = [_apart(one, other, arguments, values) for values in sides]
                return abs(above - below) < step * length and abs(above + below) / 2 < CLOSE * sigma
    except (FunctionFailed, InvalidInput):
        return None
    return None


def _apart(one: Measured, other: Measured, arguments: Arguments, values: Values) -> float:
    """One loss less the other at the same numbers, which the dtype holds."""
    given = {key: value.astype(arguments.values[key].dtype) for key, value in values.items()}
    mine = one.runner.run(Point(given)).loss
    wide = {key: value.astype(np.float64) if is_float(value) else value for key, value in given.items()}
    return float("nan") if mine is None else float(mine) - loss_at(other, wide)
