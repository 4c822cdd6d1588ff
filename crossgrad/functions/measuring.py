"""What each function gives, what it should give, and how far correct arithmetic would stray from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from ..networks.dtypes import Array, DType, find_dtype
from ..networks.errors import InvalidInput
from ..repeated import difference
from ..verdict import over_floor
from .arguments import FORMATS, Arguments, is_float
from .points import Nearby, Point
from .runs import FunctionFailed, Outcome, Runner
from .scatter import Scatter, hypot

WIDENED = (
    "NumPy's products (@, dot) of bfloat16 are float32, and so is a Python float times it. Convert products "
    "with .astype(x.dtype), and floats before, as in x.dtype.type(0.1) * x"
)


LOWERED = (
    "noise is that of {0}: {1} runs under torch.autocast, which rounds to {0}, and leaves float64 alone; "
    "what is smaller shows without, by torch.autocast(..., enabled=False)"
)


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
    redraws
        Whether there is none because it draws other random numbers in float64.
    lowered
        The format that the framework rounds to for it, coarser than that under test, but not in float64.
    """

    runner: Runner
    got: Outcome
    reference: Outcome | None
    sigma: Mapping[str, Array]
    note: str | None = None
    redraws: bool = False
    lowered: DType | None = None

    @property
    def name(self) -> str:
        return self.runner.name

    @property
    def is_followed(self) -> bool:
        """Whether its runs in float64 are of the same function."""
        return not self.redraws and (self.reference is not None or self.got.is_wide)

    @property
    def is_finite(self) -> bool:
        """Whether its gradient is, at its widest."""
        return all(np.isfinite(self.best[name]).all() for name in self.got.gradients)

    @cached_property
    def best(self) -> dict[str, Array]:
        """What it gives at its widest."""
        return {k: np.asarray(v, np.float64) for k, v in (self.reference or self.got).quantities.items()}


def measure(runners: Sequence[Runner], arguments: Arguments, repeats: int, seed: int) -> list[Measured]:
    """Run functions as they are and in float64, twice each, and `repeats` times with random roundings.

    Raises
    ------
    InvalidInput
        If two runs on the same numbers differ by more than another order of summation explains.
    """
    given, wide = Point(arguments.values), Point(arguments.in_float64, wide=True)
    got = [_got(runner, given, arguments) for runner in runners]
    references = [_reference(runner, given, wide) for runner in runners]
    centres = [reference or narrow for (reference, _), narrow in zip(references, got, strict=True)]
    formats = [_lowered(runner) for runner in runners]
    scatters = [
        Scatter(runner, centre, dtype or arguments.format)
        for runner, centre, dtype in zip(runners, centres, formats, strict=True)
    ]
    for number in range(repeats):
        nearby = {dtype: Nearby(arguments, seed + number, dtype) for dtype in set(formats)}
        for scatter, dtype in zip(scatters, formats, strict=True):
            scatter.add(nearby[dtype])
    for runner, narrow, (reference, _) in zip(runners, got, references, strict=True):
        _require_repeatable(runner.name, narrow, runner.run(given))
        if reference is not None:
            _require_repeatable(runner.name, reference, runner.run(wide))
    found = [
        Measured(
            runner,
            narrow,
            reference,
            scatter.sigma(),
            _joined(note or scatter.unseen, _told(runner)),
            lowered=dtype,
        )
        for runner, narrow, (reference, note), scatter, dtype in zip(
            runners, got, references, scatters, formats, strict=True
        )
    ]
    return [_in_its_dtype(m, arguments, repeats, seed) if _redraws(m) else m for m in found]


def _lowered(runner: Runner) -> DType | None:
    return None if runner.lowered is None else find_dtype(runner.lowered)


def _told(runner: Runner) -> str | None:
    return None if runner.lowered is None else LOWERED.format(runner.lowered, runner.name)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note is not None) or None


def _redraws(one: Measured) -> bool:
    """Whether its random numbers, a mask of dropout say, are others in float64, and it another function."""
    if one.reference is None or one.runner.draws is None:
        return False
    wide, given = one.reference.quantities, one.got.quantities
    with np.errstate(all="ignore"):
        shares = [
            over_floor(given[k].astype(np.float64) - wide[k], s) for k, s in one.sigma.items() if s.size
        ]
    return not all(share <= 1 for share in shares)


def _in_its_dtype(one: Measured, arguments: Arguments, repeats: int, seed: int) -> Measured:
    """A function that redraws, measured in the format under test alone."""
    scatter = Scatter(one.runner, one.got, one.lowered or arguments.format)
    for number in range(repeats):
        scatter.add(Nearby(arguments, seed + number, one.lowered))
    note = (
        f"no float64 reference: {one.name} draws random numbers ({one.runner.draws}), and others in float64 "
        f"than in {arguments.format.name}; draw them outside and pass them in as an argument"
    )
    return replace(
        one, reference=None, sigma=scatter.sigma(), note=_joined(note, _told(one.runner)), redraws=True
    )


def pooled(found: Sequence[Measured]) -> dict[str, Array]:
    """Standard deviation of the noise of each quantity: functions that are equal have the same.

    Where operations are seen there is more of it than that of inputs alone, so these tell.

    That of two is their root mean square, that of more their median, which one that is wrong does not move.
    """
    wide = [m for m in found if m.reference is not None] or list(found)
    wide = [m for m in wide if m.runner.is_watched] or wide
    names = dict.fromkeys(name for m in wide for name in m.sigma)
    merge = _median if len(wide) > 2 else _root_mean_square
    return {name: merge([m.sigma[name] for m in wide if name in m.sigma]) for name in names}


def _median(sigmas: Sequence[Array]) -> Array:
    return np.asarray(np.median(sigmas, axis=0))


def _root_mean_square(sigmas: Sequence[Array]) -> Array:
    return np.asarray(reduce(hypot, sigmas) / np.sqrt(len(sigmas)))


def _got(runner: Runner, given: Point, arguments: Arguments) -> Outcome:
    got = runner.run(given)
    _require_dtypes(runner, got, arguments)
    return got


def _reference(runner: Runner, given: Point, wide: Point) -> tuple[Outcome | None, str | None]:
    if all(value.dtype == np.float64 for value in given.values.values() if is_float(value)):
        return None, None
    try:
        found = runner.run(wide)
    except (FunctionFailed, InvalidInput) as error:
        return None, f"no float64 reference: {error}"
    if not found.is_wide:
        return None, f"no float64 reference: {runner.name} computes in its own dtype whatever it is given"
    return found, None


def _require_dtypes(runner: Runner, got: Outcome, arguments: Arguments) -> None:
    expected = {arguments.name(key): arguments.values[key].dtype for key in arguments.differentiated}
    for name, array in got.gradients.items():
        if array.dtype != expected[name]:
            why = "a constant of another dtype on the way? Convert it"
            widened = (expected[name].name, array.dtype.name) == ("bfloat16", "float32")
            if widened and runner.function.framework == "numpy":
                why = WIDENED
            raise InvalidInput(
                f"{runner.name}: its gradient at {name} is {array.dtype}, the argument {expected[name]}: "
                f"{why}, or give arguments in {array.dtype}"
            )


def _require_repeatable(who: str, first: Outcome, again: Outcome) -> None:
    for name, value in first.quantities.items():
        eps = FORMATS[str(value.dtype)].eps if str(value.dtype) in FORMATS else 0.0
        told = difference(name, value, again.quantities[name], eps)
        if told is not None:
            raise InvalidInput(f"{who}: {told}")
