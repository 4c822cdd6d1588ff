"""Each function before each other: what it gives in the format, beside what the other gives at its widest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from ..networks.dtypes import Array, DType
from ..verdict import CONVENTION, DISAGREE, UNDECIDABLE, WRONG, Expectation, Judgement, judge, over_floor
from .measuring import Measured

ITSELF = "itself in float64"

FAR = 0.1
"""Of its norm that lost precision may take a result: overflow, or another function, takes it further."""

TOGETHER = "the functions agree, all far from themselves in float64"


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

    Against itself a function has its own noise, where that is larger: it may compute what the others do not.
    """
    compared = [c for one, other in permutations(found, 2) for c in _judged(one, other, sigma, dtype)]
    for one in found:
        if one.reference is not None:
            own = {name: np.maximum(noise, sigma[name]) for name, noise in one.sigma.items()}
            compared += _judged(one, one, own, dtype)
    if _are_all_another_in_float64(found, sigma):
        compared = [c.as_undecidable(TOGETHER) for c in compared]
    return tuple(compared)


def is_another_in_float64(one: Measured, found: Sequence[Measured]) -> bool:
    """Whether a function's run in float64 shows nothing of its precision, as another function was run there.

    It is then far from what it gives in the format, further than anything but an overflow takes it;
    and no other function gives in the format what this one gives in float64, as a right one would.
    """
    if one.reference is None:
        return False
    given, wide = _wide(one.got.quantities), one.reference.quantities
    with np.errstate(all="ignore"):
        far = any(np.linalg.norm(given[k] - v) > FAR * np.linalg.norm(v) for k, v in wide.items())
    others = [other for other in found if other is not one]
    return far and not any(_agree(_wide(m.got.quantities), wide, one.sigma) for m in others)


def _are_all_another_in_float64(found: Sequence[Measured], sigma: Mapping[str, Array]) -> bool:
    """Whether that is so of all functions, while they agree with each other in either."""
    if not all(is_another_in_float64(one, found) for one in found):
        return False
    first, *others = found
    noise = {name: part * np.sqrt(2) for name, part in sigma.items()}
    return all(
        _agree(_wide(m.got.quantities), _wide(first.got.quantities), noise)
        and _agree(m.best, first.best, noise)
        for m in others
    )


def _wide(quantities: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(value, np.float64) for name, value in quantities.items()}


def _agree(one: Mapping[str, Array], other: Mapping[str, Array], sigma: Mapping[str, Array]) -> bool:
    with np.errstate(all="ignore"):
        pairs = [(one[k] - other[k], sigma[k]) for k in one if k in other and one[k].size]
        return all(over_floor(error, noise) <= 1 for error, noise in pairs)


def _judged(one: Measured, other: Measured, sigma: Mapping[str, Array], dtype: DType) -> list[LeafComparison]:
    expected, stored = other.best, other.got.quantities
    # Without a wider format both sides have made rounding errors.
    noise = sigma if other.reference is not None else {k: v * np.sqrt(2) for k, v in sigma.items()}
    against = ITSELF if one is other else other.name
    return [
        LeafComparison(
            name,
            one.name,
            against,
            judge(
                got,
                Expectation(expected[name], noise[name], stored=stored[name]),
                dtype,
            ),
        )
        for name, got in one.got.quantities.items()
        if name in expected
    ]


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
