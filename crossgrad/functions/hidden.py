"""Differences that the noise of a narrow dtype hides, and float64 shows."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..networks.dtypes import Array, find_dtype
from ..verdict import AGREE, UNDECIDABLE, over_floor
from .arguments import LOSS_NAME, Arguments
from .grain import SPACINGS, is_stepwise
from .judging import FLOAT64, LeafComparison, disagreeing
from .measuring import Measured
from .scatter import hypot

LITTLE = 1e-4
"""Of its norm, up to which a quantity is the same for whoever computes in a narrow dtype."""

FLOAT32 = find_dtype("float32")


def with_hidden(
    found: Sequence[Measured], comparisons: Sequence[LeafComparison], arguments: Arguments
) -> tuple[LeafComparison, ...]:
    """The comparisons; those of functions that agree in the dtype, and differ in float64, are undecidable.

    They differ by more than float32's noise too: constants and parts in float32 make no other function.
    """
    hidden = {
        (names, quantity): (share, _coarsest(one, other, arguments))
        for one, other in combinations(found, 2)
        for quantity, share in _hidden(one, other, comparisons, arguments).items()
        for names in ((one.name, other.name), (other.name, one.name))
    }
    keys = [((c.function, c.against), c.quantity) for c in comparisons]
    return tuple(
        _undecidable(c, *hidden[key]) if key in hidden and c.verdict == AGREE else c
        for c, key in zip(comparisons, keys, strict=True)
    )


def _coarsest(one: Measured, other: Measured, arguments: Arguments) -> str:
    """The name of the format whose noise is allowed between two."""
    return max((m.lowered or arguments.format for m in (one, other)), key=lambda dtype: dtype.eps).name


def _hidden(
    one: Measured, other: Measured, comparisons: Sequence[LeafComparison], arguments: Arguments
) -> dict[str, float]:
    """The quantities in which two differ in float64 alone, each with the share by which they do.

    None where one rounds to a narrow dtype whatever it is given: its run in float64 is not so wide.
    """
    if one.reference is None or other.reference is None or disagreeing(comparisons, one.name, other.name):
        return {}
    noise = {m.name: FLOAT32.eps / (m.lowered or arguments.format).eps for m in (one, other)}
    shares = {
        name: _share(value, other.best[name], hypot(*(noise[m.name] * m.sigma[name] for m in (one, other))))
        for name, value in one.best.items()
        if name in other.best and value.size
    }
    apart = {name: share for name, share in shares.items() if share > LITTLE}
    return apart if apart and not any(_is_narrow(m, apart, arguments) for m in (one, other)) else {}


def _share(one: Array, other: Array, noise: Array) -> float:
    """By how much of their norm two differ, if that is more than noise."""
    with np.errstate(all="ignore"):
        if not over_floor(one - other, noise) > 1:
            return 0.0
        return float(np.linalg.norm(one - other) / max(np.linalg.norm(one), np.linalg.norm(other)))


def _is_narrow(one: Measured, quantities: Collection[str], arguments: Arguments) -> bool:
    """Whether its loss, or some gradients, move in steps in float64 that are wider than those of float32."""
    return is_stepwise(one, [name for name in quantities if name != LOSS_NAME], arguments, SPACINGS[-2:])


def _undecidable(found: LeafComparison, share: float, dtype: str) -> LeafComparison:
    reason = (
        f"they agree within the noise of {dtype}, but differ by {100 * share:.2g} % in float64: "
        "dtype='float64' decides"
    )
    judgement = replace(found.judgement, verdict=UNDECIDABLE, reason=reason, decidable_in=FLOAT64.name)
    return replace(found, judgement=judgement)
