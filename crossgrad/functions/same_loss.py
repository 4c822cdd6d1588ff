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


def is_of_the_same_loss(one: Measured, other: Measured, arguments: Arguments) -> bool:
    """Whether a function's loss, in its dtype, stays another's where gradients would have them part.

    False too if noise hides that at every step, or a loss cannot be followed so far.
    """
    towards = between(one, other)
    length = norm(towards)
    if one.got.loss is None or not np.isfinite(length) or length == 0.0:
        return False
    direction = {name: part / length for name, part in towards.items()}
    start, keys = arguments.in_float64, arguments.by_name
    size = size_along({name: start[keys[name]] for name in direction}, direction)
    sigma = float(one.sigma[LOSS_NAME])
    shown = [step * size for step in STEPS if 2 * step * size * length > SHOWS * sigma]
    if not shown:
        return False
    sides = [moved(start, keys, side * shown[0], direction) for side in (1, -1)]
    try:
        above, below = [
            loss_in_its_dtype(one, at, arguments) - loss_at(other, _as_rounded(at, arguments)) for at in sides
        ]
    except (FunctionFailed, InvalidInput):
        return False
    return abs(above - below) < shown[0] * length and abs(above + below) / 2 < CLOSE * sigma


def loss_in_its_dtype(one: Measured, values: Values, arguments: Arguments) -> float:
    """A function's loss in the arguments' own dtypes; NaN where it gives none."""
    given = {key: value.astype(arguments.values[key].dtype) for key, value in values.items()}
    found = one.runner.run(Point(given)).loss
    return float("nan") if found is None else float(found)


def _as_rounded(values: Values, arguments: Arguments) -> Values:
    """The numbers that the arguments' dtypes hold, in float64."""
    return {
        key: value.astype(arguments.values[key].dtype).astype(np.float64) if is_float(value) else value
        for key, value in values.items()
    }
