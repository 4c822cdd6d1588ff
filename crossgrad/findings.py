"""What comparisons and blames come to: the worst verdict, and each of them in words."""

from collections.abc import Iterable

from .compare import Blame, Comparison
from .diagnosis.record import LOSS_CONVENTION, SHAPE
from .verdict import SEVERITY, WRONG
from .words import element

FAILED = "failed"
ORDER = (*(v for v in SEVERITY if v not in WRONG), FAILED, *(v for v in SEVERITY if v in WRONG))
"""Verdicts of cases and reports, from the best to the worst."""


def describe(comparison: Comparison) -> str:
    """One comparison in words: who against whom, and the worst element."""
    found, pair = comparison.judgement, f"{comparison.engine} against {comparison.against}"
    if found.reason is not None and found.index is None:
        return f"{pair}: {found.reason}"
    where = element(found.index or ())
    place = f"{f'at {where} ' if where else ''}got {found.got!r}, expected {found.expected!r}"
    if found.reason is not None:
        return f"{pair}: {found.reason}: {place}"
    return (
        f"{pair}: {found.over_floor:.3g} times the rounding noise allowed, "
        f"largest error {found.max_abs_error:.3g} ({found.max_ulp:.3g} ulp); {place}"
    )


def describe_blame(found: Blame) -> str:
    """Who is wrong, where the error enters, and the likeliest cause, in one line."""
    first = found.diagnoses[0]
    if first.cause == SHAPE:
        return f"{found.engine} is wrong: {first.text} (confidence {first.confidence:.2f})"
    if first.cause == LOSS_CONVENTION:  # nowhere in particular, and nothing wrong
        return f"{found.engine} computes another loss: {first.text} (confidence {first.confidence:.2f})"
    place = found.enters_at
    if found.engine.is_candidate and place == "z.1" and not first.text.startswith(place):
        place = "z.1 or after it, in the forward pass or the loss"  # of a candidate these are not seen
    return (
        f"{found.engine} is wrong; the error enters at {place}: {first.text} "
        f"(confidence {first.confidence:.2f})"
    )


def worst_verdict(comparisons: Iterable[Comparison]) -> str:
    """The worst verdict of some comparisons; ``failed`` if there are none."""
    return max((c.verdict for c in comparisons), key=ORDER.index, default=FAILED)
