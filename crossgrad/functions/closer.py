"""A closer look at functions of which the direction of their difference does not tell who is wrong.

It does not where the loss is as wrong as the gradient in nearly everything (an input that the forward
pass leaves out, and the gradient does not), nor where the gradient is too small beside the loss (a
saturated layer). So here a function is asked for its own loss's slopes along random directions in
which every leaf has a part, which only a gradient that is right in all elements meets: a little
beside the arguments, off kinks, and where what is differentiated by is an eighth of that, and a
sixty-fourth, and fewer units are saturated.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arbiter import SURE, gradients_of, has_loss_in_float64, norm, slope_along
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


def is_consistent(one: Measured, arguments: Arguments) -> bool | None:
    """Whether a function's gradient is that of its own loss in all that was tried; None if nothing told."""
    if not has_loss_in_float64(one):
        return None
    seen: list[bool | None] = []
    for scale in SCALES:
        at = _beside(arguments, scale)
        gradients = gradients_at(one, at)
        for direction in _directions(gradients):
            seen.append(_meets(one, gradients, direction, arguments, at))
            if seen[-1] is False:
                return False
        if gradients and None not in seen and _is_level(gradients):
            break  # nothing is too small here to be seen
    return True if True in seen else None


def factor_of_slope(one: Measured, arguments: Arguments) -> float | None:
    """What a function's gradient is times the slope of its own loss, if in all directions that were tried."""
    gradients = gradients_of(one)
    length = norm(gradients)
    if not np.isfinite(length) or length == 0.0:
        return None
    along = {name: part / length for name, part in gradients.items()}
    factors = []
    for direction in (along, *_directions(gradients)):
        slope = slope_along(one, direction, arguments, CLOSE * length)
        if slope is None or slope.kink or slope.error >= DECISIVE / SURE * abs(slope.value):
            return None
        factors.append(_along(gradients, direction) / slope.value)
    return factors[0] if np.ptp(factors) <= DECISIVE * abs(factors[0]) else None


def gradients_at(one: Measured, at: Values) -> dict[str, Array]:
    """The gradient in float64; nothing if there is none that is finite."""
    try:
        found = one.runner.run(Point(at, wide=True)).gradients
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
    length = sum(float(np.linalg.norm(gradients[n]) * np.linalg.norm(part)) for n, part in direction.items())
    slope = slope_along(one, direction, arguments, CLOSE / SURE * length, at)
    if slope is None or slope.kink:
        return None
    own = _along(gradients, direction)
    if slope.finest is not None and abs(slope.finest - own) <= CLOSE * length:
        return None
    off = abs(slope.value - own)
    if off > SURE * slope.error + CLOSE * length:
        return False
    return True if slope.error <= DECISIVE * length else None


def _along(gradients: Mapping[str, Array], direction: Mapping[str, Array]) -> float:
    return sum(float(np.vdot(gradients[name], part)) for name, part in direction.items())


def _directions(gradients: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Of every leaf its own gradient with random signs, and for where that is zero a random part as long.

    In the second direction leaves have the more the shorter their gradient is.
    """
    draw = np.random.default_rng(0)
    sizes = {name: float(np.linalg.norm(part)) for name, part in gradients.items()}
    least = LEAST * max(sizes.values(), default=0.0) or 1.0
    for levelled in (False, True) if gradients else ():
        direction = {}
        for name, part in gradients.items():
            along, across = part * draw.choice([-1.0, 1.0], part.shape), draw.standard_normal(part.shape)
            mixed = along / (sizes[name] or 1.0) + across / (np.linalg.norm(across) or 1.0)
            direction[name] = mixed / max(sizes[name], least) if levelled else mixed
        length = norm(direction) or 1.0
        yield {name: part / length for name, part in direction.items()}
