"""Whether what is in float64 moves in steps, as where part of it is rounded, or in a narrower dtype."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .arbiter import EPS, gradients_of, has_loss_in_float64, loss_at, moved, norm
from .arguments import Arguments, Key, Values
from .measuring import Measured
from .plateau import unseen_on_plateau
from .points import Point
from .runs import FunctionFailed

SPACINGS = tuple(2.0**-k for k in (30, 26, 22, 18, 14))
"""Of the parameters' size: losses so far apart differ by much of float64's resolution."""

WIDEST = 2.0**-10
"""A few parameters in bfloat16 move by less often."""

POINTS = 8
ROUGH = 2.0**10
"""Roundings in float64 that differences of numbers so near to each other have to exceed to be steps."""


@dataclass(frozen=True)
class _Line:
    """From the arguments on, in a function's gradient's direction.

    Parameters
    ----------
    size, length
        Of what is differentiated by, and of the gradient.
    """

    start: Values
    keys: Mapping[str, Key]
    direction: Mapping[str, Array]
    size: float
    length: float

    def points(self, spacing: float) -> list[Values]:
        steps = [k * self.size * spacing for k in range(POINTS)]
        return [self.after(h) for h in steps]

    def after(self, step: float) -> Values:
        return moved(self.start, self.keys, step, self.direction)


def grain(one: Measured, names: Collection[str], arguments: Arguments) -> float:
    """By what steps the loss in float64 moves with some leaves, 0 if by float64's own, or if it is not known.

    Very near to each other the losses of a smooth function lie on a line: their third differences are
    far below their first ones. Those of a loss in steps are as large, or it stands still where the
    gradient says that it moves. The steps are as high as the first that is met at a growing spacing,
    or at least as what it should have moved by; one that is constant has none.
    """
    line = _line(one, arguments, names)
    if line is None or not has_loss_in_float64(one):
        return 0.0

    slope = (POINTS - 1) * line.size * line.length
    try:
        if not _is_rough(_losses(one, line, SPACINGS[0]), SPACINGS[0] * slope):
            return 0.0
        jumps = (float(np.abs(np.diff(_losses(one, line, spacing))).max()) for spacing in SPACINGS)
        met = next((jump for jump in jumps if jump > 0), 0.0)
        if met or unseen_on_plateau(lambda h: loss_at(one, line.after(h)), line.size) is not None:
            return met
        return SPACINGS[-1] * slope
    except (FunctionFailed, InvalidInput):
        return 0.0


def is_stepwise(
    one: Measured, names: Collection[str], arguments: Arguments, spacings: Sequence[float] = SPACINGS
) -> bool:
    """Whether results in float64 move in steps; beside what moves smoothly wider spacings show them.

    The loss, in which kinks make no steps; or the gradient at some leaves, as soon as that moves at all.
    """
    line = _line(one, arguments)
    if line is None:
        return False
    try:
        if has_loss_in_float64(one) and any(_is_rough(_losses(one, line, s)) for s in (*spacings, WIDEST)):
            return True
        slopes = (_slopes(one, names, line, spacing) for spacing in spacings)
        return next((_is_rough(found) for found in slopes if np.ptp(found) > _resolved(found)), False)
    except (FunctionFailed, InvalidInput):
        return False


def _line(one: Measured, arguments: Arguments, names: Collection[str] | None = None) -> _Line | None:
    gradients = {n: part for n, part in gradients_of(one).items() if names is None or n in names}
    length = norm(gradients)
    if not np.isfinite(length) or length == 0.0:
        return None
    start = arguments.in_float64
    keys = arguments.by_name
    size = norm({name: start[keys[name]] for name in gradients}) or 1.0
    return _Line(start, keys, {name: part / length for name, part in gradients.items()}, size, length)


def _losses(one: Measured, line: _Line, spacing: float) -> Array:
    return np.array([loss_at(one, values) for values in line.points(spacing)])


def _slopes(one: Measured, names: Collection[str], line: _Line, spacing: float) -> Array:
    """What leaves have of the gradient in the line's direction."""
    found = (one.runner.run(Point(values, wide=True)).gradients for values in line.points(spacing))
    return np.array([sum(np.vdot(g[name], line.direction[name]) for name in names) for g in found])


def _is_rough(numbers: Array, expected: float = 0.0) -> bool:
    """Whether numbers at even distances stand still, or jump, where they should move by `expected` in all."""
    first, third = (float(np.abs(np.diff(numbers, order)).max()) for order in (1, 3))
    resolved = _resolved(numbers)
    return expected > resolved if first == 0 else first > resolved and third >= first / 2


def _resolved(numbers: Array) -> float:
    return ROUGH * EPS * float(np.abs(numbers).max())
