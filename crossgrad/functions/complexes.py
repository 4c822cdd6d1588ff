"""Complex results: both parts err as much as the number is large, not as much as the part is.

The real part of a product is ``ac - bd``, and that of a Fourier transform is a sum of such: where these
cancel, their errors do not. A part that is zero stays so, as an imaginary one that symmetry makes zero.
"""

import math
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from .sums import Rounds

PRODUCTS = {"mul", "div", "pow", "integer_pow", "reciprocal"}
"""Operations that mix real and imaginary parts; so do all that add up products. Sums of two do not."""


@np.errstate(all="ignore")
def of_complex(
    rounding: Rounds, array: Any, name: str, terms: float, site: Hashable = None, xp: Any = np
) -> Any:
    """The complex result of an operation of that name; the rest as `Rounding.of_result` takes it."""
    size = xp.abs(array)

    def rounded(part: Any, which: str) -> Any:
        at = None if site is None else (site, which)
        if terms == 1 and name not in PRODUCTS:
            return rounding.of_result(part, terms, at)
        error = rounding.of_result(size, terms, at) - size
        return part + xp.where(xp.isfinite(error), error, 0.0) * xp.sign(part)

    return rounded(array.real, "real") + 1j * rounded(array.imag, "imaginary")


def terms_of_transform(lengths: Iterable[int]) -> float:
    """In terms of a sum, what a fast transform errs by: the root of its stages (Schatzman 1996)."""
    return 1 + math.log2(math.prod(lengths))
