"""Functions that agree with each other, and not with themselves in float64."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..networks.dtypes import Array, DType
from ..verdict import over_floor
from .measuring import Measured

FAR = 0.1
"""Of its norm that lost precision may take a result: overflow, or another function, takes it further."""

TOGETHER = "the functions agree, all far from themselves in float64"
ALIKE = "the functions agree, all off from themselves in float64 by the same"

REMARKS = {
    TOGETHER: (
        "the functions agree with each other, and so they do in float64, but what they compute there is far "
        "from this: random numbers drawn in the arguments' dtype (draw them outside and pass them in), "
        "a branch on the dtype, or an overflow"
    ),
    ALIKE: (
        "nobody is called wrong: the functions agree with each other, and so they do in float64, but all "
        "have lost the same precision here, more than rounding takes: a constant that is rounded to the "
        "dtype, as the 0.999 in 1 - 0.999 (compute it in float64), or an underflow?"
    ),
}
"""What is to be said of functions that agree so, by the reason why nothing is decided."""


def shared_reason(
    found: Sequence[Measured], sigma: Mapping[str, Array], dtype: DType, imprecise: bool
) -> str | None:
    """Why nobody is wrong of functions that agree with each other, in the dtype and in float64; or None.

    Parameters
    ----------
    imprecise
        Whether each is further from itself in float64 than rounding takes it. By half of its digits, as
        arithmetic in a narrower dtype takes it, that is wrong nevertheless, however many do it.
    """
    another = all(is_another_in_float64(one, found) for one in found)
    alike = imprecise and all(_is_off_by(one) <= np.sqrt(dtype.eps) for one in found)
    if not (another or alike) or not _agree_with_each_other(found, sigma):
        return None
    return TOGETHER if another else ALIKE


def is_another_in_float64(one: Measured, found: Sequence[Measured]) -> bool:
    """Whether a function's run in float64 shows nothing of its precision, as another function was run there.

    It is then far from what it gives in the format, further than anything but an overflow takes it;
    and no other function gives in the format what this one gives in float64, as a right one would.
    """
    if one.reference is None:
        return False
    wide = one.reference.quantities
    others = [other for other in found if other is not one]
    return _is_off_by(one) > FAR and not any(_agree(_given(m), wide, one.sigma) for m in others)


def _is_off_by(one: Measured) -> float:
    """The largest share of a quantity's norm by which a function is off from itself in float64."""
    given = _given(one)
    with np.errstate(all="ignore"):
        shares = [np.linalg.norm(given[k] - v) / np.linalg.norm(v) for k, v in one.best.items()]
    return float(np.max(np.nan_to_num(shares, nan=0.0), initial=0.0))


def _agree_with_each_other(found: Sequence[Measured], sigma: Mapping[str, Array]) -> bool:
    first, *others = found
    noise = {name: part * np.sqrt(2) for name, part in sigma.items()}
    return all(_agree(_given(m), _given(first), noise) and _agree(m.best, first.best, noise) for m in others)


def _given(one: Measured) -> dict[str, Array]:
    return {name: np.asarray(value, np.float64) for name, value in one.got.quantities.items()}


def _agree(one: Mapping[str, Array], other: Mapping[str, Array], sigma: Mapping[str, Array]) -> bool:
    """Whether two agree; anything does where reruns gave NaN, as of what rounding made negative."""
    with np.errstate(all="ignore"):
        pairs = [(one[k] - other[k], sigma[k]) for k in one if k in other and one[k].size]
        return all(over_floor(error, np.where(np.isnan(noise), np.inf, noise)) <= 1 for error, noise in pairs)
