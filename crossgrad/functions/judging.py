"""Each function before each other: what it gives in the format, beside what the other gives at its widest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..networks.dtypes import Array, DType, find_dtype
from ..verdict import (
    CONVENTION,
    DISAGREE,
    ELEMENT_LIMIT,
    UNDECIDABLE,
    WRONG,
    Expectation,
    Judgement,
    judge,
    over_floor,
)
from ..words import listed
from .measuring import Measured
from .scatter import hypot
from .together import shared_reason

ITSELF = "itself in float64"

UNDERFLOWS = "it is smaller than the numbers of {0}: dtype='float64' decides"

ZERO = (
    "rounding noise is as large as the quantity, in float64 too: perhaps it is zero, as the gradient of a "
    "bias before a normalization, or of attention's keys, is"
)

UNSEEN = 10.0
"""Times the noise of its inputs that a function's operations may err by unseen, where they saturate say."""

FLOAT64 = find_dtype("float64")


@dataclass(frozen=True)
class LeafComparison:
    """One quantity of one function, judged against another's.

    Parameters
    ----------
    quantity
        ``loss``, or the path of a leaf.
    against
        The other function's name, or `ITSELF`.
    """

    quantity: str
    function: str
    against: str
    judgement: Judgement

    @property
    def verdict(self) -> str:
        return self.judgement.verdict

    def as_convention(self) -> "LeafComparison":
        """The same, called a matter of convention if it is wrong beside another function."""
        if self.verdict != DISAGREE or self.against == ITSELF:
            return self
        return replace(self, judgement=replace(self.judgement, verdict=CONVENTION))

    def as_undecidable(self, reason: str) -> "LeafComparison":
        """The same, called undecidable if it is wrong."""
        if not self.is_wrong:
            return self
        return replace(self, judgement=replace(self.judgement, verdict=UNDECIDABLE, reason=reason))

    @property
    def is_wrong(self) -> bool:
        return self.verdict in WRONG


def judge_functions(
    found: Sequence[Measured], sigma: Mapping[str, Array], dtype: DType
) -> tuple[LeafComparison, ...]:
    """Judge every quantity of every function against every other function, and against its own reference.

    `sigma` is the noise that functions have together, which a wrong one does not set. A function has its own
    where that is larger: against itself, as it may compute what the others do not; and where it would be
    wrong otherwise, against those that agree with it in float64, or that have no wider format either.
    """
    compared = [c for one, other in permutations(found, 2) for c in _judged(one, other, sigma, dtype)]
    for one in found:
        if one.reference is not None:
            compared += _judged_by_itself(one, found, sigma, dtype)
    compared = [_unless_unseen(_with_zero_named(c, found, sigma, dtype), found) for c in compared]
    imprecise = {c.function for c in compared if c.against == ITSELF and c.is_wrong}
    reason = shared_reason(found, sigma, dtype, all(m.name in imprecise for m in found))
    return tuple(compared if reason is None else [c.as_undecidable(reason) for c in compared])


def _unless_unseen(compared: LeafComparison, found: Sequence[Measured]) -> LeafComparison:
    """The same, undecidable if it is wrong by no more than operations that are not shown may err by."""
    share, both = compared.judgement.over_floor, (compared.function, compared.against)
    unseen = [m.name for m in found if m.name in both and not m.runner.is_watched]
    if not unseen or share is None or not share <= UNSEEN:
        return compared
    return compared.as_undecidable(
        f"the operations of {listed(unseen)} were not seen, and may err by as much"
    )


def _with_zero_named(
    compared: LeafComparison, found: Sequence[Measured], sigma: Mapping[str, Array], dtype: DType
) -> LeafComparison:
    """The same, saying so where a quantity that is drowned in noise is too small for the format, or zero."""
    name, judgement = compared.quantity, compared.judgement
    both = [m for m in found if m.name in (compared.function, compared.against)]
    if judgement.verdict != UNDECIDABLE or not all(m.is_followed for m in both):
        return compared
    largest = max(float(np.max(np.abs(m.best[name]), initial=0.0)) for m in both)
    if 0 < largest < 2.0**dtype.min_exponent:
        return replace(compared, judgement=replace(judgement, reason=UNDERFLOWS.format(dtype.name)))
    is_zero = all(_is_same(m.best[name], np.zeros(()), sigma[name], dtype) for m in both)
    return replace(compared, judgement=replace(judgement, reason=ZERO)) if is_zero else compared


def _judged(one: Measured, other: Measured, sigma: Mapping[str, Array], dtype: DType) -> list[LeafComparison]:
    # Without a wider format both sides have made rounding errors.
    noise = sigma if other.reference is not None else {k: v * np.sqrt(2) for k, v in sigma.items()}
    return [
        LeafComparison(name, one.name, other.name, _beside(one, other, name, noise[name], dtype))
        for name in one.got.quantities
        if name in other.best
    ]


def _judged_by_itself(
    one: Measured, found: Sequence[Measured], sigma: Mapping[str, Array], dtype: DType
) -> list[LeafComparison]:
    stored = _stored_by_itself(one, found)
    return [
        LeafComparison(
            name,
            one.name,
            ITSELF,
            judge(
                got,
                Expectation(one.best[name], np.maximum(one.sigma[name], sigma[name]), stored=stored[name]),
                dtype,
            ),
        )
        for name, got in one.got.quantities.items()
        if name in one.best
    ]


def _beside(one: Measured, other: Measured, name: str, noise: Array, dtype: DType) -> Judgement:
    """A quantity of one function beside another's: with its own noise, if it would be wrong without."""
    got = one.got.quantities[name]
    expected = Expectation(other.best[name], noise, stored=other.got.quantities[name])
    found = judge(got, expected, dtype)
    own = _own_noise(one, other, name, dtype) if found.verdict in WRONG else None
    return found if own is None else judge(got, replace(expected, sigma=np.maximum(noise, own)), dtype)


def _own_noise(one: Measured, other: Measured, name: str, dtype: DType) -> Array | None:
    """The noise of one function beside another by itself; None if more than noise may be between them."""
    of_both = hypot(one.sigma[name], other.sigma[name])
    if one.lowered is not None or other.lowered is not None:
        return of_both  # the others may all round less, or as much and alike in float64 too
    if one.reference is None and other.reference is None:
        return of_both
    if one.reference is None or other.reference is None:
        return None
    return one.sigma[name] if _is_same(one.best[name], other.best[name], of_both, dtype) else None


def _is_same(one: Array, other: Array, noise: Array, dtype: DType) -> bool:
    """Whether results differ by no more than rounding in float64 makes of what is `noise` in the format."""
    with np.errstate(all="ignore"):
        return not one.size or over_floor(one - other, noise * (FLOAT64.eps / dtype.eps)) <= 1


def _stored_by_itself(one: Measured, found: Sequence[Measured]) -> dict[str, Array]:
    """What the format makes of a function's float64 results: what overflows on the way is not in them.

    But where all functions have NaN and infinities in the same places nobody is wrong for these.
    """
    stored = dict(one.got.quantities)
    for name, got in one.got.quantities.items():
        finite, best = np.isfinite(got), one.best[name]
        shared = all(np.array_equal(np.isfinite(m.got.quantities.get(name, got)), finite) for m in found)
        if finite.all() or shared:
            continue
        with np.errstate(all="ignore"):
            noise = np.where(np.isinf(got), np.copysign(ELEMENT_LIMIT * one.sigma[name], best), 0.0)
            stored[name] = (best + noise).astype(got.dtype)
    return stored


def disagreeing(comparisons: Sequence[LeafComparison], one: str, other: str) -> list[str]:
    """The quantities in which two functions differ, whichever is held against whichever."""
    pair = {(one, other), (other, one)}
    return list(
        dict.fromkeys(c.quantity for c in comparisons if c.is_wrong and (c.function, c.against) in pair)
    )


def groups(names: Sequence[str], comparisons: Sequence[LeafComparison]) -> list[list[str]]:
    """The functions in groups that agree, the largest first."""
    found: list[list[str]] = []
    for name in names:
        home = next((g for g in found if not any(disagreeing(comparisons, name, other) for other in g)), None)
        if home is None:
            found.append([name])
        else:
            home.append(name)
    return sorted(found, key=len, reverse=True)
