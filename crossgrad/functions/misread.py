"""Whether functions of different losses read a leaf differently: transposed, flipped, in other blocks.

That is what ports get wrong first: a square kernel that was not transposed, a convolution that is a
correlation, gates in another order. It is tried out: the one's loss, of leaves so changed, is the other's,
and so it is at other numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, combinations, islice, permutations

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..words import listed
from .arbiter import EPS, loss_at
from .arguments import LOSS_NAME, Arguments, Key, Values
from .factors import axes_told
from .measuring import Measured
from .runs import FunctionFailed
from .same_loss import loss_in_its_dtype

SHARE = 1e-6
"""Of what two losses differ by: so near they are one."""

ROUNDINGS = 2.0**14
"""Ulp of a loss in float64 that two functions may differ by."""

NOISE = 4.0
"""Standard deviations of its noise, where one of them is known in its dtype alone."""

CLEAR = 0.01
"""Of what losses differ by, below which these have to be."""

MOST_TRIED, MOST_NUMBERS = 100, 10**8
"""Losses that are computed; fewer where so many numbers of arguments would be read for it."""

BLOCKS = (2, 3, 4)
"""Parts of one length: of a gated unit, of a GRU, of an LSTM."""

Leaves = Mapping[Key, Array]


@dataclass(frozen=True)
class Change:
    """What is done to some leaves, in words and as a function of each."""

    what: str
    keys: tuple[Key, ...]
    function: Callable[[Array], Array]

    def of(self, values: Values) -> Values:
        return {**values, **{key: self.function(values[key]) for key in self.keys}}


def misread(one: Measured, other: Measured, arguments: Arguments) -> str:
    """What is to be done to leaves so that the losses are one; nothing if nothing is found."""
    if not (LOSS_NAME in one.best and LOSS_NAME in other.best):
        return ""
    if not one.is_followed:
        one, other = other, one
    if not one.is_followed:
        return ""
    here = arguments.in_float64
    most = min(MOST_TRIED, MOST_NUMBERS // sum(value.size for value in here.values()))
    try:
        makes_one_here = _told_at(here, one, other, arguments)
        for change in islice(_changes({key: here[key] for key in arguments.differentiated}), most):
            if makes_one_here(change) and _told_at(_elsewhere(arguments), one, other, arguments)(change):
                names = listed([arguments.name(key) for key in change.keys])
                return f"with {names} {change.what}, the loss of {one.name} is that of {other.name}"
    except (FunctionFailed, InvalidInput):
        pass
    return ""


def _told_at(at: Values, one: Measured, other: Measured, arguments: Arguments) -> Callable[[Change], bool]:
    """Whether the one's loss, of leaves so changed, is the other's there; never where it is without that."""
    expected = loss_at(other, at) if other.is_followed else loss_in_its_dtype(other, at, arguments)
    apart = abs(loss_at(one, at) - expected)
    near = min(SHARE * apart, ROUNDINGS * EPS * abs(expected))
    if not other.is_followed:
        near = NOISE * float(other.sigma[LOSS_NAME])
    if not near < CLEAR * apart:
        return lambda change: False
    return lambda change: abs(loss_at(one, change.of(at)) - expected) <= near


def _elsewhere(arguments: Arguments) -> Values:
    """The arguments with other numbers, of about their size, in what is differentiated by."""
    draw = np.random.default_rng(0)
    moved = {
        key: value * draw.uniform(0.5, 1.5, value.shape)
        for key, value in arguments.in_float64.items()
        if key in arguments.differentiated
    }
    return {**arguments.in_float64, **moved}


def _changes(leaves: Leaves) -> Iterator[Change]:
    return chain(_transposed(leaves), _flipped(leaves), _in_blocks(leaves))


def _each_and_all(keys: list[Key], what: str, function: Callable[[Array], Array]) -> Iterator[Change]:
    for key in keys:
        yield Change(what, (key,), function)
    if len(keys) > 1:
        yield Change(what, tuple(keys), function)


def _transposed(leaves: Leaves) -> Iterator[Change]:
    """Square matrices, and kernels of convolutions of which two axes are of one length."""
    for number in dict.fromkeys(array.ndim for array in leaves.values()):
        for axes in combinations(range(number), 2):
            square = [key for key, a in leaves.items() if a.ndim == number and _is_square(a, axes)]
            what = "transposed" if number == 2 else f"transposed in {axes_told(axes)}"
            yield from _each_and_all(square, what, partial(np.swapaxes, axis1=axes[0], axis2=axes[1]))


def _is_square(array: Array, axes: tuple[int, ...]) -> bool:
    return bool(array.shape[axes[0]] == array.shape[axes[1]] > 1)


def _flipped(leaves: Leaves) -> Iterator[Change]:
    """Kernels of convolutions, along the axes that PyTorch has last, and JAX first."""
    for number in (1, 2, 3):
        kernels = [key for key, array in leaves.items() if array.ndim == number + 2]
        for axes in (tuple(range(2, number + 2)), tuple(range(number))):
            yield from _each_and_all(kernels, f"flipped along {axes_told(axes)}", partial(np.flip, axis=axes))


def _in_blocks(leaves: Leaves) -> Iterator[Change]:
    """All leaves that have an axis of one length, of which the blocks change places in each."""
    lengths = sorted({length for array in leaves.values() for length in array.shape}, reverse=True)
    for blocks in BLOCKS:
        for length in (length for length in lengths if length % blocks == 0 and length > blocks):
            gated = tuple(key for key, array in leaves.items() if length in array.shape)
            for order in list(permutations(range(blocks)))[1:]:
                what = f"in the order {order} of {blocks} blocks"
                yield Change(what, gated, partial(_moved, length=length, blocks=blocks, order=order))


def _moved(array: Array, length: int, blocks: int, order: tuple[int, ...]) -> Array:
    axis = array.shape.index(length)
    return np.concatenate([np.split(array, blocks, axis)[n] for n in order], axis)
