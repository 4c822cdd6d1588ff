"""Whether functions of different losses read a leaf differently: transposed, flipped, in other blocks.

That is what ports get wrong first: a square kernel that was not transposed, a convolution that is a
correlation, gates in another order. It is tried out: the one's loss, of leaves so changed, is the other's.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations, islice, permutations

import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..words import listed
from .arbiter import EPS, loss_at
from .arguments import LOSS_NAME, Arguments, Key
from .factors import axes_told
from .measuring import Measured
from .runs import FunctionFailed

SHARE = 1e-6
"""Of what two losses differ by: so near they are one."""

ROUNDINGS = 2.0**14
"""Ulp of a loss in float64 that two functions may differ by."""

NOISE = 4.0
"""Standard deviations of its noise, where one of them is known in its dtype alone."""

CLEAR = 1e-4
"""Of what losses differ by, below which these have to be: of a hundred tries one in a hundred meets that."""

MOST_TRIED, MOST_NUMBERS = 100, 10**8
"""Losses that are computed; fewer where so many numbers of arguments would be read for it."""

BLOCKS = (2, 3, 4)
"""Parts of one length: of a gated unit, of a GRU, of an LSTM."""

Change = tuple[str, Mapping[Key, Array]]
"""In words, and the leaves that are changed."""


def misread(one: Measured, other: Measured, arguments: Arguments) -> str:
    """What is to be done to leaves so that the losses are one; nothing if nothing is found."""
    if not (LOSS_NAME in one.best and LOSS_NAME in other.best):
        return ""
    if not one.is_followed:
        one, other = other, one
    expected, start = float(other.best[LOSS_NAME]), arguments.in_float64
    apart = abs(float(one.best[LOSS_NAME]) - expected)
    near = min(SHARE * apart, ROUNDINGS * EPS * abs(expected))
    if not other.is_followed:
        near = NOISE * float(other.sigma[LOSS_NAME])
    if not one.is_followed or not near < CLEAR * apart:
        return ""
    most = min(MOST_TRIED, MOST_NUMBERS // sum(value.size for value in start.values()))
    for what, leaves in islice(_changes(arguments), most):
        try:
            loss = loss_at(one, {**start, **leaves})
        except (FunctionFailed, InvalidInput):
            continue
        if abs(loss - expected) <= near:
            return f"with {what}, the loss of {one.name} is that of {other.name}"
    return ""


def _changes(arguments: Arguments) -> Iterator[Change]:
    names = {key: arguments.name(key) for key in arguments.differentiated}
    leaves = {key: arguments.in_float64[key] for key in names}
    for what, changed in (*_transposed(leaves), *_flipped(leaves), *_in_blocks(leaves)):
        yield f"{listed([names[key] for key in changed])} {what}", changed


def _each_and_all(
    leaves: Mapping[Key, Array], what: str, change: Callable[[Array], Array]
) -> Iterator[Change]:
    changed = {key: change(array) for key, array in leaves.items()}
    for key, array in changed.items():
        yield what, {key: array}
    if len(changed) > 1:
        yield what, changed


def _transposed(leaves: Mapping[Key, Array]) -> Iterator[Change]:
    """Square matrices, and kernels of convolutions of which two axes are of one length."""
    for axes in combinations(range(max((array.ndim for array in leaves.values()), default=0)), 2):
        square = {key: a for key, a in leaves.items() if _is_square(a, axes)}
        for number in {array.ndim: None for array in square.values()}:
            alike = {key: array for key, array in square.items() if array.ndim == number}
            what = "transposed" if number == 2 else f"transposed in {axes_told(axes)}"
            yield from _each_and_all(alike, what, partial(np.swapaxes, axis1=axes[0], axis2=axes[1]))


def _is_square(array: Array, axes: tuple[int, ...]) -> bool:
    return array.ndim > max(axes) and array.shape[axes[0]] == array.shape[axes[1]] > 1


def _flipped(leaves: Mapping[Key, Array]) -> Iterator[Change]:
    """Kernels of convolutions, along the axes that PyTorch has last, and JAX first."""
    for number in (1, 2, 3):
        kernels = {key: a for key, a in leaves.items() if a.ndim == number + 2}
        for axes in (tuple(range(2, number + 2)), tuple(range(number))):
            yield from _each_and_all(kernels, f"flipped along {axes_told(axes)}", partial(np.flip, axis=axes))


def _in_blocks(leaves: Mapping[Key, Array]) -> Iterator[Change]:
    """All leaves that have an axis of one length, of which the blocks change places in each."""
    lengths = sorted({length for array in leaves.values() for length in array.shape}, reverse=True)
    for blocks in BLOCKS:
        for length in (length for length in lengths if length % blocks == 0 and length > blocks):
            gated = {key: array for key, array in leaves.items() if length in array.shape}
            for order in list(permutations(range(blocks)))[1:]:
                moved = {key: _moved(array, length, blocks, order) for key, array in gated.items()}
                yield f"in the order {order} of {blocks} blocks", moved


def _moved(array: Array, length: int, blocks: int, order: tuple[int, ...]) -> Array:
    axis = array.shape.index(length)
    return np.concatenate([np.split(array, blocks, axis)[n] for n in order], axis)
