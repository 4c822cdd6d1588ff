"""What each function gives, what it should give, and how far correct arithmetic would stray from that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..networks.dtypes import Array, DType
from ..networks.errors import InvalidInput
from .arguments import FORMATS, Arguments, is_float
from .rounding import Rounding, underflow
from .runs import FunctionFailed, Outcome, Point, Runner, point_in_float64

SHRINKAGE = 8.0
"""Reruns that the estimate from an element's neighbours counts as; see `_shrunk`."""

REORDERING = 1024
"""Ulp of the largest element: threads that add up in another order each time stay below."""

LEAST_SQUARED = 2.0**-480
"""What is smaller, or larger than its inverse, is not squared: float64 has no room for that."""


@dataclass(frozen=True)
class Measured:
    """A function's results.

    Parameters
    ----------
    got
        In the format under test.
    reference
        In float64, from the same numbers; None if it cannot be had.
    sigma
        Standard deviation of rounding noise by quantity.
    note
        Why there is no reference, or why operations are not seen.
    """

    runner: Runner
    got: Outcome
    reference: Outcome | None
    sigma: Mapping[str, Array]
    note: str | None = None

    @property
    def name(self) -> str:
        return self.runner.name

    @property
    def best(self) -> dict[str, Array]:
        """What it gives at its widest."""
        return {k: np.asarray(v, np.float64) for k, v in (self.reference or self.got).quantities.items()}


def measure(runner: Runner, arguments: Arguments, repeats: int, seed: int) -> Measured:
    """Run a function as it is, twice in float64, and `repeats` times with random roundings.

    Raises
    ------
    InvalidInput
        If two runs on the same numbers differ by more than another order of summation explains.
    """
    got = runner.run(Point(arguments.values))
    _require_dtypes(runner, got, arguments)
    reference, note = _reference(runner, arguments)
    unseen = None
    if reference is not None or got.is_wide:
        sigma, unseen = _scatter(runner, arguments, reference or got, repeats, seed)
    else:
        sigma = _narrow_scatter(runner, arguments, got, repeats, seed)
    again = runner.run(Point(arguments.values) if reference is None else point_in_float64(arguments))
    _require_repeatable(runner.name, reference or got, again)
    return Measured(runner, got, reference, sigma, "; ".join(filter(None, (note, unseen))) or None)


def pooled(found: Sequence[Measured]) -> dict[str, Array]:
    """Standard deviation of the noise of each quantity: functions that are equal have the same.

    That of two is their root mean square, that of more their median, which one that is wrong does not move.
    """
    wide = [m for m in found if m.reference is not None] or list(found)
    names = dict.fromkeys(name for m in wide for name in m.sigma)
    merge = _median if len(wide) > 2 else _root_mean_square
    return {name: merge(np.stack([m.sigma[name] for m in wide if name in m.sigma])) for name in names}


def _median(sigmas: Array) -> Array:
    return np.asarray(np.median(sigmas, axis=0))


def _root_mean_square(sigmas: Array) -> Array:
    return np.asarray(np.hypot.reduce(sigmas, axis=0) / np.sqrt(len(sigmas)))


def _reference(runner: Runner, arguments: Arguments) -> tuple[Outcome | None, str | None]:
    if all(value.dtype == np.float64 for value in arguments.values.values() if is_float(value)):
        return None, None
    try:
        found = runner.run(point_in_float64(arguments))
    except (FunctionFailed, InvalidInput) as error:
        return None, f"no float64 reference: {error}"
    if not found.is_wide:
        return None, f"no float64 reference: {runner.name} computes in its own dtype whatever it is given"
    return found, None


def _scatter(
    runner: Runner, arguments: Arguments, centre: Outcome, repeats: int, seed: int
) -> tuple[dict[str, Array], str | None]:
    """How far random roundings move the result, in root mean square; and why only the inputs' could be had.

    A function that has run on arrays may refuse those that are watched, as compiled code does.
    """

    def scatter(intercepted: bool) -> dict[str, Array]:
        roundings = (Rounding(arguments.format, seed + number) for number in range(repeats))
        points = (point_in_float64(arguments, rounding, intercepted) for rounding in roundings)
        return _scattered(runner, points, centre, repeats, arguments.format)

    try:
        return scatter(intercepted=True), None
    except FunctionFailed as error:
        return scatter(intercepted=False), f"operations not seen, noise is that of the inputs: {error}"


def _narrow_scatter(
    runner: Runner, arguments: Arguments, centre: Outcome, repeats: int, seed: int
) -> dict[str, Array]:
    """Without a wider format: the scatter in the format itself, from inputs one ulp to either side."""
    points = (_neighbours(arguments, np.random.default_rng(seed + number)) for number in range(repeats))
    return _scattered(runner, points, centre, repeats, arguments.format)


def _scattered(
    runner: Runner, points: Iterable[Point], centre: Outcome, repeats: int, dtype: DType
) -> dict[str, Array]:
    # Lengths, not squares: those of tiny numbers underflow.
    lengths: dict[str, Array] = {}
    for point in points:
        moved = runner.run(point).quantities
        for name, value in centre.quantities.items():
            with np.errstate(all="ignore"):
                apart = np.asarray(moved[name], np.float64) - np.asarray(value, np.float64)
                lengths[name] = _longer(lengths[name], apart) if name in lengths else np.abs(apart)
    return {
        name: np.hypot(_shrunk(length, repeats), _storing(np.asarray(centre.quantities[name]), dtype))
        for name, length in lengths.items()
    }


def _longer(length: Array, apart: Array) -> Array:
    """The hypotenuse; np.hypot alone would take five times as long."""
    found = np.asarray(np.sqrt(length * length + apart * apart))
    beyond = ~((found > LEAST_SQUARED) & (found < 1 / LEAST_SQUARED))
    if beyond.any():
        found[beyond] = np.hypot(length[beyond], apart[beyond])
    return found


def _neighbours(arguments: Arguments, draw: np.random.Generator) -> Point:
    return Point(
        {
            key: _neighbour(v, draw, arguments.format) if is_float(v) else v
            for key, v in arguments.values.items()
        }
    )


def _neighbour(value: Array, draw: np.random.Generator, dtype: DType) -> Array:
    """One ulp up, one down, or the same, at random."""
    step = dtype.eps * draw.integers(-1, 2, value.shape)
    return np.asarray(np.asarray(value, np.float64) * (1 + step)).astype(value.dtype)


def _shrunk(length: Array, repeats: int) -> Array:
    """Root mean square over a few reruns, each element's drawn towards what its row and its column have.

    Few draws leave an element's own estimate uncertain, and one that is too small by chance
    would make an error of rounding look like a bug. A weight's gradient is a sum of products,
    so that its noise is about that of its row times that of its column.
    """
    largest = float(np.max(length, initial=0.0))
    if not np.isfinite(largest) or largest == 0.0 or length.ndim == 0:
        return np.asarray(length / np.sqrt(repeats))
    scaled = length / (largest * np.sqrt(repeats))
    whole = float(np.mean(scaled))
    neighbours = np.full(scaled.shape, whole)
    for axis in range(scaled.ndim):
        if others := tuple(n for n in range(scaled.ndim) if n != axis):
            neighbours *= np.mean(scaled, axis=others, keepdims=True) / whole
    # Not of squares, which underflow where a saturated unit's gradients are 1e-170.
    return np.asarray(largest * (repeats * scaled + SHRINKAGE * neighbours) / (repeats + SHRINKAGE))


def _storing(value: Array, dtype: DType) -> Array:
    """What rounding the result itself adds, which every run in the format does."""
    size = np.abs(np.asarray(value, np.float64))
    rounding = np.maximum(size * (dtype.unit_roundoff / np.sqrt(3)), dtype.smallest_subnormal)
    return np.asarray(np.maximum(rounding, underflow(size, dtype)))


def _require_dtypes(runner: Runner, got: Outcome, arguments: Arguments) -> None:
    expected = {arguments.name(key): arguments.values[key].dtype for key in arguments.differentiated}
    for name, array in got.gradients.items():
        if array.dtype != expected[name]:
            raise InvalidInput(
                f"{runner.name}: its gradient at {name} is {array.dtype}, the argument {expected[name]}: "
                f"a constant of another dtype on the way? Convert it, or give arguments in {array.dtype}"
            )


def _require_repeatable(who: str, first: Outcome, again: Outcome) -> None:
    for name, value in first.quantities.items():
        one, other = np.asarray(value, np.float64), np.asarray(again.quantities[name], np.float64)
        eps = FORMATS[str(value.dtype)].eps if str(value.dtype) in FORMATS else 0.0
        with np.errstate(all="ignore"):
            far = np.abs(one - other) > REORDERING * eps * np.max(np.abs(one), initial=0.0)
        if far.any():
            index = tuple(int(i) for i in np.unravel_index(np.argmax(far), far.shape))
            raise InvalidInput(
                f"{who}: two runs on the same numbers differ, first at {name}{list(index)}: "
                f"{one[index]:.9g}, then {other[index]:.9g}; seed its randomness inside, and keep no state"
            )
