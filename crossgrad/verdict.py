"""The verdict on one quantity: its error beside the rounding noise that correct arithmetic makes.

An error is measured in standard deviations of the rounding floor, element by
element, and two statistics decide: the largest, which catches a single wrong
element, and the root mean square, which catches many that are a little wrong.
Both have a limit, set on correct runs of all engines (``docs/verdict.md``
names the seeds); *over floor* is the larger of the two shares of its limit.
"""

from dataclasses import dataclass
from math import log10

import numpy as np

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

ELEMENT_LIMIT = 10.0
"""Standard deviations that one element may be off."""

TENSOR_LIMIT = 3.0
"""Standard deviations that a large tensor's elements may be off in root mean square."""


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
        What the dtype itself makes of it, for its NaN and infinities, where the case has any.
    may_overflow
        Whether a sum on the way is beyond the dtype's range, though the result is not:
        an engine that keeps it in the dtype rightly gets infinity.
    """

    value: Array
    sigma: Array
    low: Array | None = None
    stored: Array | None = None
    may_overflow: bool = False


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
    return _over(np.abs(error).ravel() / sigma.ravel())


def judge(got: Array, expected: Expectation, dtype: DType) -> Judgement:
    """Judge one quantity, given in float64, against what it should be."""
    if not np.isfinite(got).all() or (expected.stored is not None and not np.isfinite(expected.stored).all()):
        return _judge_nonfinite(got, expected)
    with np.errstate(over="ignore"):
        error = got - expected.value
        if expected.low is not None:
            error -= expected.low
        error = np.abs(error)
        shares = error / expected.sigma
        in_ulp = float(np.max(error / dtype.ulp(expected.value)))
        over, silent = _over(shares.ravel()), _zeros_would_pass(expected)
    index = _index(np.argmax(shares), error.shape)
    largest, scale = float(np.max(error)), float(np.max(np.abs(expected.value)))
    return Judgement(
        DISAGREE if not over <= 1 else UNDECIDABLE if silent else AGREE,
        "rounding noise is as large as the quantity: zeros would pass" if silent and over <= 1 else None,
        max_abs_error=largest,
        max_ulp=in_ulp,
        over_floor=over,
        digits=_digits(largest, scale),
        scale=scale,
        index=index,
        got=float(got[index]),
        expected=float(expected.value[index]),
        floor=float(ELEMENT_LIMIT * expected.sigma[index]),
    )


def _over(shares: Array) -> float:
    tensor_limit = TENSOR_LIMIT + (ELEMENT_LIMIT - TENSOR_LIMIT) / np.sqrt(shares.size)
    with np.errstate(over="ignore"):
        root_mean_square = np.sqrt(np.dot(shares, shares) / shares.size)
    return float(max(np.max(shares) / ELEMENT_LIMIT, root_mean_square / tensor_limit))


def _zeros_would_pass(expected: Expectation) -> bool:
    """Whether a tensor of zeros would be within the floor of one that is not zero."""
    value, sigma = expected.value.ravel(), expected.sigma.ravel()
    largest = int(np.argmax(np.abs(value)))
    if abs(value[largest]) > ELEMENT_LIMIT * sigma[largest]:
        return False
    return bool(value[largest]) and over_floor(value, sigma) <= 1


def _judge_nonfinite(got: Array, expected: Expectation) -> Judgement:
    """Compare NaN and infinities element by element with what the dtype makes of the case."""
    stored = expected.value if expected.stored is None else expected.stored
    differs = (np.isnan(got) != np.isnan(stored)) | (np.isinf(got) != np.isinf(stored))
    differs |= np.isinf(got) & np.isinf(stored) & (np.sign(got) != np.sign(stored))
    if expected.may_overflow:
        differs &= ~np.isposinf(got)
    finite = np.isfinite(got) & np.isfinite(stored)
    with np.errstate(invalid="ignore"):
        wrong = differs | (finite & ~(np.abs(got - stored) <= ELEMENT_LIMIT * expected.sigma))
    index = _index(np.argmax(wrong) if wrong.any() else np.argmin(np.isfinite(got)), got.shape)
    if wrong.any():
        verdict, reason = NONFINITE_DISAGREE, "elements differ where NaN or infinity occurs"
    elif not (np.isfinite(got) == np.isfinite(stored)).all():
        verdict, reason = UNDECIDABLE, "elements are infinite, as a sum on the way to them may be"
    else:
        verdict, reason = NONFINITE_AGREE, "elements overflow, as the dtype must"
    count = wrong if wrong.any() else ~np.isfinite(got)
    return Judgement(
        verdict,
        f"{int(count.sum())} of {got.size} {reason}",
        index=index,
        got=float(got[index]),
        expected=float(stored[index]),
    )


def _digits(error: float, scale: float) -> float | None:
    if not scale:
        return None
    return 17.0 if not error else max(0.0, min(17.0, -log10(error / scale)))


def _index(flat: object, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), shape))  # type: ignore[call-overload]
