"""Fewer bits than the carrier has: rounding and accumulation as narrower arithmetic does them."""

import numpy as np

from ..networks.dtypes import Array

FLOAT8, BFLOAT16, FLOAT16, FLOAT32 = 4, 8, 11, 24
"""Significand bits, the implicit one counted (float8 is E4M3; TF32 has as many as float16)."""


def rounded(values: Array, precision: int) -> Array:
    """Round to `precision` significant bits, ties to even; the range stays the carrier's.

    On the bits as an integer: adding half of the last kept place, less one if
    that place is even, carries exactly where rounding to nearest goes up; the
    carry runs into the exponent by itself. Works on float32 and float64.
    """
    array = np.asarray(values)
    unsigned, significand = (np.uint32, 24) if array.dtype == np.float32 else (np.uint64, 53)
    drop = significand - precision
    if drop <= 0:
        return array
    bits: Array = array.view(unsigned)
    one = unsigned(1)
    bits = bits + ((one << unsigned(drop - 1)) - one) + ((bits >> unsigned(drop)) & one)
    kept: Array = ((bits >> unsigned(drop)) << unsigned(drop)).view(array.dtype)
    return np.where(np.isfinite(array), kept, array)


def as_float16(values: Array) -> Array:
    """Round to float16 with its range: large values become infinite, small ones subnormal or zero."""
    array = np.asarray(values)
    return array.astype(np.float16).astype(array.dtype)


def accumulated(left: Array, right: Array, precision: int, block: int = 16) -> Array:
    """``left @ right`` with a running sum of `precision` bits, rounded after each `block` terms."""
    total = np.zeros((left.shape[0], right.shape[1]), left.dtype)
    for start in range(0, left.shape[1], block):
        part = left[:, start : start + block] @ right[start : start + block]
        total = rounded(total + part, precision)
    return total
