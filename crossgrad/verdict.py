"""The verdict on one quantity: its error beside the rounding noise that correct arithmetic makes.

An error is measured in standard deviations of the rounding floor, element by
element, and two statistics decide: the largest, which catches a single wrong
element, and the root mean square, which catches many that are a little wrong.
Both have a limit, set on correct runs of all engines (``docs/verdict.md``
names the seeds); *over floor* is the larger of the two shares of its limit.
"""

from dataclasses import dataclass
from math import isfinite, log10, sqrt

import numpy as np

from .computed import Computed
from .networks.dtypes import Array, DType

AGREE = "agree"
NONFINITE_AGREE = "nonfinite-agree"
UNDECIDABLE = "undecidable"
CONVENTION = "convention"
NONFINITE_DISAGREE = "nonfinite-disagree"
DISAGREE = "disagree"

SEVERITY = (AGREE, NONFINITE_AGREE, UNDECIDABLE, CONVENTION, NONFINITE_DISAGREE, DISAGREE)
"""All verdicts, from the best to the worst; a case's is the worst of its quantities'."""

WRONG = frozenset({CONVENTION, NONFINITE_DISAGREE, DISAGREE})
"""Verdicts with which gradients are not those that were asked for."""

OVERFLOWS = "sums on the way to them overflow in one order, and in another not"
"""Why NaN and infinities may be undecidable."""

ELEMENT_LIMIT = 10.0
"""Standard deviations that one element may be off."""

BLOCK, LEAST_BLOCK = 1 << 15, 1 << 13
"""Elements judged at a time: a sixteenth of the tensor, within these bounds."""

TENSOR_LIMIT = 3.0
"""Standard deviations that a large tensor's elements may be off in root mean square."""


@dataclass(frozen=True)
class Outcomes:
    """What correct arithmetic may make of each element: ``nonfinite.py`` finds it.

    Parameters
    ----------
    finite, plus, minus, nan
        Whether it may be a number, +inf, -inf, NaN.
    known
        Whether it is the expected value, if it is a number: all that it is made of is finite for sure.
    """

    finite: Array
    plus: Array
    minus: Array
    nan: Array
    known: Array

    def allow(self, got: Array) -> Array:
        """Whether each element of `got` is of a kind that it may be."""
        kinds = [np.isnan(got), np.isposinf(got), np.isneginf(got)]
        return np.select(kinds, [self.nan, self.plus, self.minus], self.finite)

    @property
    def several(self) -> Array:
        """Whether an element may be of one kind or another."""
        several: Array = np.sum([self.finite, self.plus, self.minus, self.nan], axis=0) > 1
        return several

    def only(self, value: Array) -> Array:
        """`value`; where but one kind is possible and that is no number, NaN or the infinity that it is."""
        no_number = [self.nan, self.plus, self.minus]
        only: Array = np.where(
            self.several | self.finite, value, np.select(no_number, [np.nan, np.inf, -np.inf])
        )
        return only

    @property
    def settled(self) -> Array:
        """Whether an element is the expected number for sure."""
        settled: Array = self.finite & self.known & ~self.several
        return settled


@dataclass(frozen=True)
class Expectation:
    """What a quantity should be, and how well that is known.

    Parameters
    ----------
    value, low
        The true value as ``value + low`` in float64; `low` holds what one double cannot.
    sigma
        Standard deviation of the rounding error of correct arithmetic in the dtype.
    stored
        What another run made of it: its NaN and infinities are expected in the same places.
    outcomes
        What the dtype may make of it, where NaN or infinities are among what was delivered.
    """

    value: Array | Computed
    sigma: Array | Computed
    low: Array | None = None
    stored: Array | None = None
    outcomes: Outcomes | None = None


@dataclass(frozen=True)
class Judgement:
    """What judging a quantity gave.

    Parameters
    ----------
    reason
        The verdict in words, where the figures do not say it.
    max_abs_error, max_ulp
        Largest error, and largest error in ulp of its own expected element.
    over_floor
        Error over allowed error: above 1 is no rounding noise.
    digits
        Correct decimal digits of the tensor: of its largest error beside its largest element.
    scale
        Largest expected magnitude.
    index, got, expected, floor
        The element that is most over its floor, what stood there, and the error allowed there.
    decidable_in
        For `undecidable`, the narrowest dtype that would decide.
    """

    verdict: str
    reason: str | None = None
    max_abs_error: float | None = None
    max_ulp: float | None = None
    over_floor: float | None = None
    digits: float | None = None
    scale: float | None = None
    index: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None
    floor: float | None = None
    decidable_in: str | None = None


def over_floor(error: Array, sigma: Array) -> float:
    """The larger of two shares: largest error of its limit, root mean square of its limit.

    The second limit comes down from the first, for one element, as ``1/sqrt(n)``:
    the mean of n squares strays that much less than one of them.
    """
    shares = np.abs(error).ravel() / sigma.ravel()
    with np.errstate(over="ignore"):
        return _over(float(np.max(shares)), _squared(shares), shares.size)


def judge(got: Array, expected: Expectation, dtype: DType) -> Judgement:
    """Judge one quantity, in any real dtype, against what it should be; one without elements agrees."""
    if not got.size:
        return Judgement(AGREE, "it has no elements")
    if not (_all_finite(got) and _all_finite(expected.stored) and _all_settled(expected.outcomes)):
        special = _judge_nonfinite(np.asarray(got, np.float64), expected)
        if special is not None:
            return special
    with np.errstate(over="ignore", invalid="ignore"):
        found = _measure(got, expected, dtype)
    if not found.known:
        return Judgement(UNDECIDABLE, "its noise, or it itself, is beyond what float64 can follow")
    over = _over(found.share, found.squares, got.size)
    drowned = over <= 1 and _drowned(found, expected)
    index = _index(found.at, got.shape)
    return Judgement(
        DISAGREE if not over <= 1 else UNDECIDABLE if drowned else AGREE,
        "rounding noise is as large as the quantity: zeros would pass" if drowned else None,
        max_abs_error=found.error,
        max_ulp=found.ulp,
        over_floor=over,
        digits=_digits(found.error, found.scale),
        scale=found.scale,
        index=index,
        got=float(got[index]),
        expected=float(expected.value[index]),
        floor=float(ELEMENT_LIMIT * expected.sigma[index]),
    )


@dataclass
class _Measured:
    """What one pass over a quantity's elements finds.

    Parameters
    ----------
    error, ulp, scale
        Largest error, largest error in ulp of its element, largest expected magnitude.
    share, at, squares
        Largest error over sigma, the flat index where, and the sum of all their squares.
    silent
        Whether the largest element is within its own floor of zero.
    known
        Whether values and sigma are finite: in float64 the noise of huge values overflows.
    """

    error: float = 0.0
    ulp: float = 0.0
    scale: float = 0.0
    share: float = -1.0
    at: int = 0
    squares: float = 0.0
    silent: bool = False
    known: bool = True


def _measure(got: Array, expected: Expectation, dtype: DType) -> _Measured:
    """Measure in blocks: a large quantity is then read once, and what is made of it stays in the cache."""
    found = _Measured()
    arrays = [a.ravel() for a in (got, expected.value, expected.sigma, expected.low) if a is not None]
    block = min(BLOCK, max(LEAST_BLOCK, got.size // 16))
    for start in range(0, got.size, block):
        mine, value, sigma, *low = (a[start : start + block] for a in arrays)
        error = mine.astype(np.float64) - value
        for part in low:
            error -= part
        np.abs(error, out=error)
        shares = error / sigma
        found.squares += _squared(shares)
        at, largest = int(shares.argmax()), int(np.abs(value).argmax())
        if not shares[at] <= found.share:
            found.share, found.at = float(shares[at]), start + at
        scale = float(abs(value[largest]))
        found.known = found.known and isfinite(scale) and isfinite(sigma.max())
        if scale >= found.scale:
            found.scale, found.silent = scale, scale <= ELEMENT_LIMIT * sigma[largest]
        found.error = max(found.error, float(error.max()))
        np.divide(error, dtype.ulp(value), out=error)
        found.ulp = max(found.ulp, float(error.max()))
    return found


def _squared(shares: Array) -> float:
    """The sum of squares; by np.dot BLAS would wait for a core that may be busy, a block after the other."""
    return float(np.einsum("i,i", shares, shares))


def _over(largest_share: float, squares: float, count: int) -> float:
    tensor_limit = TENSOR_LIMIT + (ELEMENT_LIMIT - TENSOR_LIMIT) / sqrt(count)
    # np.maximum, unlike max, keeps NaN.
    return float(np.maximum(largest_share / ELEMENT_LIMIT, sqrt(squares / count) / tensor_limit))


def _drowned(found: _Measured, expected: Expectation) -> bool:
    """Whether noise did drown the quantity: zeros would pass, and less than one bit of it is right.

    With an error above half of the quantity itself, both in units of sigma, half
    of it would have been no further off, and zeros or its negative hardly.
    """
    if not (found.silent and found.scale):
        return False
    shares = np.abs(np.asarray(expected.value)).ravel() / np.asarray(expected.sigma).ravel()
    squares = _squared(shares)
    return found.squares > squares / 4 and _over(float(np.max(shares)), squares, shares.size) <= 1


def _all_finite(array: Array | None) -> bool:
    return array is None or bool(np.isfinite(array).all())


def _all_settled(possible: Outcomes | None) -> bool:
    return possible is None or bool(possible.settled.all())


def _judge_nonfinite(got: Array, expected: Expectation) -> Judgement | None:
    """Compare element by element with what there may be; None if all are numbers, and as expected."""
    wanted, wrong, open_ = _by_element(got, expected)
    if wrong.any():
        verdict, which, reason = NONFINITE_DISAGREE, wrong, "elements differ where NaN or infinity occurs"
    elif open_.any():
        verdict, which, reason = UNDECIDABLE, open_, "elements may rightly be so or otherwise: " + OVERFLOWS
    elif not _all_finite(got):
        verdict, which = NONFINITE_AGREE, ~np.isfinite(got)
        reason = "elements are NaN or infinite where they are expected to be"
    else:
        return None
    index = _index(np.argmax(which), got.shape)
    return Judgement(
        verdict,
        f"{int(which.sum())} of {got.size} {reason}",
        index=index,
        got=float(got[index]),
        expected=float(wanted[index]),
    )


def _by_element(got: Array, expected: Expectation) -> tuple[Array, Array, Array]:
    """What is wanted of each element, whether it is wrong, and whether it may rightly be so or otherwise."""
    wanted = np.asarray(expected.value if expected.stored is None else expected.stored, np.float64)
    numbers, possible = np.isfinite(got), expected.outcomes
    with np.errstate(invalid="ignore"):
        close = np.abs(got - wanted) <= ELEMENT_LIMIT * np.asarray(expected.sigma)
    same = np.where(numbers, close, (got == wanted) | (np.isnan(got) & np.isnan(wanted)))
    if possible is None:
        return wanted, ~same, np.zeros_like(same)
    if expected.stored is None:
        wanted = possible.only(wanted)
        same = np.where(numbers, close, ~possible.several)
    free = ~possible.known | (possible.several & ~(numbers & np.isfinite(wanted)))
    wrong = ~possible.allow(got) | ~(same | free)
    return wanted, wrong, ~(wrong | same)


def _digits(error: float, scale: float) -> float | None:
    if not scale:
        return None
    return 17.0 if not error else max(0.0, min(17.0, log10(scale) - log10(error)))


def _index(flat: int | np.intp, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))
