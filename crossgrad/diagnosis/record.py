"""What a diagnosis says, and the causes that it can name."""

from dataclasses import dataclass

DETACHED, SIGN, TRANSPOSE = "detached", "sign", "transpose"
MISSING_DERIVATIVE, DERIVATIVE_AT_A = "missing-derivative", "derivative-at-a"
UPDATED_WEIGHTS, BIAS_NOT_SUMMED = "updated-weights", "bias-not-summed"
LOSS_CONVENTION, FACTOR, PERMUTATION = "loss-convention", "factor", "permutation"
SAMPLE_DROPPED, SAMPLE_REPEATED = "sample-dropped", "sample-repeated"
INPUT_CHANGED, APPROXIMATE_ACTIVATION = "input-changed", "approximate-activation"
ELEMENTS, X64_OFF, NARROW_ARITHMETIC = "elements", "x64-off", "narrow-arithmetic"
STALE_GRADIENT, SHAPE, UNRECOGNISED = "stale-gradient", "shape", "unrecognised"

CAUSES = (
    DETACHED,
    SIGN,
    TRANSPOSE,
    MISSING_DERIVATIVE,
    DERIVATIVE_AT_A,
    UPDATED_WEIGHTS,
    BIAS_NOT_SUMMED,
    LOSS_CONVENTION,
    FACTOR,
    PERMUTATION,
    SAMPLE_DROPPED,
    SAMPLE_REPEATED,
    INPUT_CHANGED,
    APPROXIMATE_ACTIVATION,
    ELEMENTS,
    X64_OFF,
    NARROW_ARITHMETIC,
    STALE_GRADIENT,
    SHAPE,
    UNRECOGNISED,
)
"""All causes; of two that explain an error equally well, the earlier has less freedom and goes first."""

BROADER = {X64_OFF: NARROW_ARITHMETIC, LOSS_CONVENTION: FACTOR}
"""Causes that are special cases of another."""


@dataclass(frozen=True)
class Diagnosis:
    """Why an engine or candidate is wrong, as far as its numbers tell.

    Parameters
    ----------
    cause
        One of `CAUSES`. `UNRECOGNISED` may still say in `text` what was found, where none of
        the other causes has a name for it.
    text
        A sentence for the user.
    quantity
        Where the error enters, as the explanation sees it.
    value
        The fitted number: a factor, a count of significant bits; None where there is none.
    confidence
        0 to 1: the share of the error that the explanation removes, both measured against the
        rounding floor (``measure.py``). Above 0.9 what remains is within rounding noise. It is
        lower where the explanation is free to fit anything, or a guess by elimination.
    """

    cause: str
    text: str
    quantity: str
    value: float | None = None
    confidence: float = 0.0
