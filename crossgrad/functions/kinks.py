"""Whether functions differ by what they take for a gradient at a kink: relu at 0, a maximum of equals.

At a kink the gradient jumps, and frameworks choose among the gradients around, or between them. No
slope at the kink tells who is right: where several are crossed at once, as by a bias of zeros, a
direction mixes slopes of either side. ``relu(a) - relu(b)`` rises by t along ``(t, -t)``, to both
sides of 0, and the gradient (0, 0) that PyTorch gives there is one of those around. So where a gradient
jumps only those around it are asked: at points to opposite sides, so near that nothing but the kink is
between them.

A gradient that is one of those around, or between them, is as these are in a direction in which they do
not differ. One that is not is the gradient of no side: a maximum of equals that gives all to each.
Two directions are tried, in which no other component hides it: from the middle of what is around to the
gradient, and the gradient's own.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from ..networks.dtypes import Array
from .arbiter import NEAR, between, gradients_of, moved, norm, size_along
from .arguments import Arguments
from .closer import CLOSE, gradients_at
from .flat import Flat
from .measuring import Measured

NUDGE = 2.0**-36
"""Of a leaf's root mean square, or of the length of all, that points around are away."""

ASIDE = 2.0**-8
"""Of the nudge: points along a direction are so far off it, as it may lead along other kinks."""

PAIRS = 4
"""Opposite points in random directions."""

SAME = 1e-10
"""Of a gradient's length in float64, up to which another is the same but for rounding."""

FLAT = 1e-4
"""Of how far a gradient is from those around in a direction, up to which these do not differ in it.

Of n kinks that are crossed at random, and whose sides a right gradient may all be on, ``2 / sqrt(n)`` show.
"""


def jumps(one: Measured, towards: Mapping[str, Array], arguments: Arguments) -> bool:
    """Whether a gradient is another at opposite points around, or none, beside the length of `towards`."""
    return _jump(_around(one, towards, arguments), towards)


def differ_by_a_kink(one: Measured, other: Measured, arguments: Arguments) -> bool:
    """Whether two gradients both jump, and are the same at points around."""
    towards = between(one, other)
    length = norm(towards)
    if not np.isfinite(length) or length <= SAME * norm(gradients_of(one)):
        return False
    around = []
    for measured in (one, other):
        around.append(list(_around(measured, towards, arguments)))
        if not _jump(around[-1], towards):
            return False
    parts = Flat(towards).apart
    return all(
        _same_leaf(parts(ours)[name], parts(theirs)[name], float(np.linalg.norm(ours)))
        and _apart(ours, theirs) <= NEAR * length
        for pairs in zip(*around, strict=True)
        for ours, theirs in zip(*pairs, strict=True)
        for name in towards
    )


def _same_leaf(one: Array, other: Array, whole: float) -> bool:
    """Whether a leaf has the same gradient in two functions, but for noise beside that of all leaves."""
    return _apart(one, other) <= max(CLOSE * float(np.linalg.norm(one)), SAME * whole)


def is_beyond(one: Measured, arguments: Arguments) -> bool:
    """Whether a gradient differs from all around it in a direction in which these do not differ."""
    own = Flat(gradients_of(one))
    names = own.apart(own.values)
    middle = sum(
        gradient for move in _random(arguments, names) for gradient in _opposite(one, move, arguments)
    )
    return any(
        _is_beyond(one, own.values, own.apart(direction), arguments)
        for direction in (own.values - middle / (2 * PAIRS), own.values)
    )


def _is_beyond(one: Measured, own: Array, direction: Mapping[str, Array], arguments: Arguments) -> bool:
    along = Flat(direction).values
    seen = [
        (float(np.dot(g, along)), float(np.linalg.norm(g)))
        for pair in _around(one, direction, arguments)
        for g in pair
    ]
    parts, sizes = np.transpose(seen)
    off = np.min(np.abs(np.dot(own, along) - parts))
    return bool(np.ptp(parts) < FLAT * off and off > CLOSE * np.max(sizes) * np.linalg.norm(along))


def _jump(around: Iterable[tuple[Array, Array]], towards: Mapping[str, Array]) -> bool:
    """Whether gradients around are unlike; not only those of opposite points, which a median's are not."""
    first, *others = (gradient for pair in around for gradient in pair)
    return not np.max([_apart(first, other) for other in others]) <= NEAR * norm(towards)


def _around(
    one: Measured, towards: Mapping[str, Array], arguments: Arguments
) -> Iterator[tuple[Array, Array]]:
    """Gradients at opposite points: along a direction, and in random ones."""
    for move in (_along(arguments, towards), *_random(arguments, towards)):
        yield _opposite(one, move, arguments)


def _opposite(one: Measured, move: Mapping[str, Array], arguments: Arguments) -> tuple[Array, Array]:
    """The gradient at the leaves that are moved, after the move and after its opposite."""
    return _after(one, 1.0, move, arguments), _after(one, -1.0, move, arguments)


def _after(one: Measured, side: float, move: Mapping[str, Array], arguments: Arguments) -> Array:
    keys = arguments.by_name
    found = gradients_at(one, moved(arguments.in_float64, keys, side, move))
    return Flat({name: found.get(name, np.full(part.shape, np.nan)) for name, part in move.items()}).values


def _random(arguments: Arguments, names: Collection[str]) -> Iterator[dict[str, Array]]:
    """Moves of all leaves, the same each time."""
    draw = np.random.default_rng(0)
    leaves = _leaves(arguments, names)
    sizes = {name: float(np.linalg.norm(v)) / max(1, v.size) ** 0.5 or 1.0 for name, v in leaves.items()}
    for _ in range(PAIRS):
        yield {name: NUDGE * size * draw.standard_normal(leaves[name].shape) for name, size in sizes.items()}


def _along(arguments: Arguments, direction: Mapping[str, Array]) -> dict[str, Array]:
    """A move in a direction, and a little aside."""
    length = norm(direction) or 1.0
    unit = {name: part / length for name, part in direction.items()}
    size = size_along(_leaves(arguments, direction), unit)
    aside = next(_random(arguments, direction))
    return {name: NUDGE * size * part + ASIDE * aside[name] for name, part in unit.items()}


def _leaves(arguments: Arguments, names: Collection[str]) -> dict[str, Array]:
    return {
        arguments.name(key): arguments.in_float64[key]
        for key in arguments.differentiated
        if arguments.name(key) in names
    }


def _apart(above: Array, below: Array) -> float:
    return float(np.linalg.norm(above - below))
