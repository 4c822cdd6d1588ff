"""Whether functions of different losses read a leaf differently: transposed, flipped, in other blocks.

That is what ports get wrong first: a square kernel that was not transposed, a convolution that is a
correlation, gates in another order. It is tried out: the one's loss, of leaves so changed, is the other's.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice, permutations

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

MOST_TRIED, MOST_NUMBERS = 100, 10**8
"""Losses that are computed; fewer where so many numbers of arguments would be read for it."""

BLOCKS = (2, 3, 4)
"""Parts of one length: of a gated unit, of a GRU, of an LSTM."""

Change = tuple[str, Mapping[Key, Array]]
"""In words, and the leaves that are changed."""


def misread(one: Measured, other: Measured, arguments: Arguments) -> str:
    """What is to be done to leaves so that the losses are one; nothing if nothing is found."""
    if not (one.is_followed and other.is_followed and LOSS_NAME in one.best and LOSS_NAME in other.best):
        return ""
    expected, start = float(other.best[LOSS_NAME]), arguments.in_float64
    apart = abs(float(one.best[LOSS_NAME]) - expected)
    near = min(SHARE * apart, ROUNDINGS * EPS * abs(expected))
    most = min(MOST_TRIED, MOST_NUMBERS // sum(value.size for value in start.values()))
    for what, leaves in islice(_changes(arguments), most):
        try:
            loss = loss_at(one, {**start, **leaves})
        except (FunctionFailed, InvalidInput):
            continue
        if abs(loss - expected) <= near < apart:
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
    square = {key: a for key, a in leaves.items() if a.ndim == 2 and a.shape[0] == a.shape[1] > 1}
    yield from _each_and_all(square, "transposed", np.transpose)


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
