"""What a wrong gradient is instead of the right one: a multiple of it, its transpose, nothing, most of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, permutations

import numpy as np

from ..networks.dtypes import Array
from ..words import listed
from .arguments import FORMATS, LOSS_NAME, Arguments
from .factors import axes_told, is_of_counts, origin_of, subsets, written
from .grain import is_stepwise
from .measuring import Measured
from .mistakes import CLOSE, Both, Found, factor_between, mistake, normalised

NEAR = 0.1
"""Of how far a factor is from 1: what the factor leaves may be that large."""

CONVENTION = "convention"
"""The cause that is no mistake: another named loss."""

MOST_ORDERS = 120
"""Of a tensor's axes: all, up to five."""

FEW = 0.1
"""Share of a leaf's elements that are single elements."""

UNITS = 1 / 3, 10.0
"""Unit roundoffs that arithmetic in a narrower format errs by, in root mean square."""


@dataclass(frozen=True)
class Resemblance:
    """A likely cause, as a key and in words."""

    cause: str
    text: str


def resemblance(
    wrong: Measured, right: Measured, quantities: Sequence[str], arguments: Arguments
) -> Resemblance | None:
    """What the quantities in which two functions differ have in common; None if nothing is recognised."""
    mine, theirs = wrong.best, right.best
    names = [name for name in quantities if name != LOSS_NAME and name in theirs]
    pairs = {name: (mine[name], theirs[name]) for name in names}
    # What agrees because it is zero, or has no elements, speaks against nothing.
    telling = [
        name for name in wrong.got.gradients if name in theirs and (name in names or theirs[name].any())
    ]
    everything = [name for name in wrong.got.gradients if name in theirs]
    for arrays, text in ((mine, "has NaN or infinity"), (theirs, "is finite where the other is not,")):
        if found := [name for name in names if not np.isfinite(arrays[name]).all()]:
            return Resemblance("nonfinite", f"{text} in {listed(found)}")
    if not names:
        return Resemblance("loss", "differs in the loss alone") if quantities else None
    both = _both(pairs, theirs, telling, arguments)
    return (
        _named(normalised(both))
        or _factor(pairs, telling, _loss_factor(mine, theirs, quantities), arguments)
        or _named(mistake(both))
        or next((r for name in names if (r := _of_leaf(name, *pairs[name]))), None)
        or _narrower(pairs, wrong, arguments)
        or some_of(names, everything)
    )


def _factor(
    pairs: dict[str, tuple[Array, Array]],
    telling: Sequence[str],
    loss_factor: float | None,
    arguments: Arguments,
) -> Resemblance | None:
    """One factor for all that differs; `loss_factor` is NaN if it is not known, None if losses agree."""
    factors = [_multiple(got, expected) for got, expected in pairs.values()]
    if any(factor is None for factor in factors):
        return None
    known = [factor for factor in factors if factor is not None]
    if max(known) - min(known) > CLOSE * abs(known[0]):
        return None
    factor = known[0]
    apart = abs(factor - 1)
    if not all(
        _is_close(got, factor * e, apart * float(np.linalg.norm(e)), NEAR) for got, e in pairs.values()
    ):
        return None
    where = "everywhere" if len(pairs) == len(telling) else f"in {listed(list(pairs))}"
    if factor == 0.0:
        return Resemblance("zero", f"is zero {where}: nothing flows back to it")
    if abs(factor + 1) <= CLOSE:
        return Resemblance("sign", f"has the other sign {where}")
    if (number := written(factor)) == "1":
        return None  # they differ in the format alone
    text = f"is {number} times the other {where}{origin_of(factor, arguments)}"
    if (
        loss_factor is not None
        and len(pairs) == len(telling)
        and not abs(loss_factor - factor) > NEAR * apart
        and is_of_counts(factor, arguments)
    ):
        return Resemblance(CONVENTION, f"{text}: a loss that is averaged otherwise")
    return Resemblance("factor", text)


def _multiple(got: Array, expected: Array) -> float | None:
    """The factor between two tensors, if there is one; zero where the one is nothing beside the other."""
    size = float(np.linalg.norm(expected))
    if size == 0.0:
        return None
    factor = factor_between(got, expected)
    if _is_close(got, factor * expected, abs(factor) * size):
        return factor
    return 0.0 if np.linalg.norm(got) <= CLOSE * size else None


def _both(
    pairs: dict[str, tuple[Array, Array]],
    theirs: Mapping[str, Array],
    telling: Sequence[str],
    arguments: Arguments,
) -> Both:
    keys = arguments.by_name
    return Both(
        wrong={name: got for name, (got, _) in pairs.items()},
        right={name: expected for name, (_, expected) in pairs.items()},
        parameters={name: arguments.in_float64[keys[name]] for name in pairs},
        everything={name: theirs[name] for name in telling},
    )


def _named(found: Found) -> Resemblance | None:
    return None if found is None else Resemblance(*found)


def _of_leaf(name: str, got: Array, expected: Array) -> Resemblance | None:
    error = np.abs(got - expected)
    size, distance = float(np.linalg.norm(expected)), float(np.linalg.norm(error))
    if got.ndim == 2 and got.shape[0] == got.shape[1] and _is_close(got.T, expected, min(size, distance)):
        return Resemblance("transpose", f"is transposed in {name}")
    if where := next((found for axis in range(got.ndim) if (found := _zero_lines(got, expected, axis))), ""):
        return Resemblance(
            "rows", f"is zero in {where} of {name} alone: padding_idx or stop_gradient, on purpose?"
        )
    apart = error > CLOSE * min(error.max(initial=0.0), np.abs(expected).max(initial=0.0))
    count = int(apart.sum())
    if 0 < count <= max(1.0, FEW * got.size) and got.size > 1:
        index = tuple(int(i) for i in np.argwhere(apart)[0])
        what = "one element" if count == 1 else f"{count} elements"
        text = f"differs in {_one_line(apart) or what} of {name}, first at {list(index)}"
        return Resemblance("elements", text)
    # Sorted, numbers that are a little off are closer than they were: only what is far off was moved.
    moved = distance > FEW * size
    if moved and got.size > 1 and _is_close(np.sort(got, axis=None), np.sort(expected, axis=None), size):
        return Resemblance("permutation", f"{_rearranged(got, expected, size)} {name}")
    return None


def _rearranged(got: Array, expected: Array, size: float) -> str:
    """How a tensor's elements came to lie where they are."""
    from ..diagnosis.order import LARGEST_MATCHED, movement, nearest, slices  # slow to import, and rare

    for axes in subsets(got.ndim):
        if _is_close(np.flip(got, axes), expected, size):
            return f"is flipped along {axes_told(axes)} in"
    for axis in range(got.ndim if max(got.shape) <= LARGEST_MATCHED else 0):
        order = nearest(slices(got, axis), slices(expected, axis))
        if _is_close(got, expected.take(order, axis), size):
            return f"has {axes_told((axis,))} {movement(order)} in"
    for axes in islice(permutations(range(got.ndim)), 1, MOST_ORDERS):
        turned = got.transpose(axes)
        if turned.shape == expected.shape and _is_close(turned, expected, size):
            return f"has to be transposed by {axes} in"
    return "has another order of the elements of"


def _zero_lines(got: Array, expected: Array, axis: int) -> str:
    """The rows, half of them at most, that are zero where the other's are not, if the rest is the other's.

    Or the columns, or what an array has along another axis.
    """
    if got.ndim < 2:
        return ""
    across = tuple(n for n in range(got.ndim) if n != axis)
    moves = (got != 0).any(axis=across)
    lengths = np.linalg.norm(np.moveaxis(expected, axis, 0).reshape(len(moves), -1), axis=1)
    there = lengths > CLOSE**2 * lengths.max(initial=0.0)  # not what rounding left where the other has none
    lines = np.flatnonzero(~moves & there)
    if not 0 < len(lines) <= len(moves) / 2:
        return ""
    left, others = np.delete(got, lines, axis), np.delete(expected, lines, axis)
    return _lines(lines, axis, got.ndim) if _is_close(left, others, float(np.linalg.norm(others))) else ""


def _one_line(apart: Array) -> str:
    """The row, or column, that all of some elements are in, and more than half of it."""
    for axis in range(apart.ndim if apart.ndim > 1 else 0):
        lines = np.flatnonzero(apart.any(axis=tuple(n for n in range(apart.ndim) if n != axis)))
        if len(lines) == 1 and 1 < apart.sum() > apart.size / apart.shape[axis] / 2:
            return _lines(lines, axis, apart.ndim)
    return ""


def _lines(indices: Array, axis: int, axes: int) -> str:
    what = "row" if axis == 0 else "column" if (axis, axes) == (1, 2) else f"axis {axis}'s place"
    return f"{what} {indices[0]}" if len(indices) == 1 else f"{what}s {listed([str(i) for i in indices])}"


def _narrower(
    pairs: dict[str, tuple[Array, Array]], wrong: Measured, arguments: Arguments
) -> Resemblance | None:
    """Errors of about a narrower format's unit roundoff, in most elements, that are no multiple of them.

    Formulas that are nearly the same, as gelu's two, differ as much; but they are smooth.
    """
    got, expected = (np.concatenate([pair[n].ravel() for pair in pairs.values()]) for n in (0, 1))
    error, size = got - expected, float(np.linalg.norm(expected))
    share = float(np.linalg.norm(error)) / size if size else 0.0
    along = abs(float(np.vdot(error, expected))) / size if size else 0.0
    throughout = bool(np.mean(np.abs(error) > CLOSE * share * np.abs(expected)) > 0.5)
    if not throughout or along > (1 - FEW) * share * size:
        return None
    dtype = str(wrong.got.gradients[next(iter(pairs))].dtype)
    units = {
        name: share / found.unit_roundoff
        for name, found in FORMATS.items()
        if found.unit_roundoff > FORMATS[dtype].unit_roundoff
        and UNITS[0] <= share / found.unit_roundoff <= UNITS[1]
    }
    if not units or not is_stepwise(wrong, pairs, arguments):
        return None
    what = " or ".join(f"{count:.2g} units of {name}" for name, count in units.items())
    return Resemblance("narrower", f"is off by about {what} throughout, as if computed in that somewhere")


def some_of(names: Sequence[str], everything: Sequence[str]) -> Resemblance | None:
    """Where some leaves are wrong and others right, that alone says much."""
    right = [name for name in everything if name not in names]
    if not right:
        return None
    if len(right) < len(names):
        return Resemblance("some", f"differs in all of {len(everything)} gradients but {listed(right)}")
    return Resemblance("some", f"differs in {listed(names)} only, of {len(everything)} gradients")


def _loss_factor(
    mine: Mapping[str, Array], theirs: Mapping[str, Array], quantities: Sequence[str]
) -> float | None:
    """That of losses that differ; NaN where one of two functions gives none."""
    if LOSS_NAME not in mine or LOSS_NAME not in theirs:
        return float("nan")
    if LOSS_NAME not in quantities:
        return None
    one, other = float(mine[LOSS_NAME]), float(theirs[LOSS_NAME])
    return one / other if other else float("inf")


def _is_close(got: Array, expected: Array, size: float, share: float = CLOSE) -> bool:
    return bool(np.linalg.norm(got - expected) <= share * size)
