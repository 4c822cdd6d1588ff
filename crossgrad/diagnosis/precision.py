"""Fewer significant bits than the dtype has: seen in the numbers themselves, in a product, or in the errors.

Three kinds of evidence, the strongest first:

- *Kept.* Every element of a wrong quantity has at most p significant bits. Of n
  elements with q bits each, that happens by chance once in ``2**((q - p) n)``.
- *Products.* A matrix product of factors rounded to p bits gives what was got.
  TF32 does that.
- *Errors.* They are unstructured and in all wrong quantities the same multiple
  of the floor, 2**k: then k bits are missing. Weaker, as any small error looks
  a little like that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import log2

import numpy as np

from ..arithmetic import Uncertain
from ..networks.cases import Case
from ..networks.dtypes import DTYPES, Array
from .explanation import Explanation
from .record import NARROW_ARITHMETIC, X64_OFF
from .site import Site

KNOWN = {8: "bfloat16 has 8", 11: "float16 and TF32 have 11", 24: "float32 has 24"}
LARGEST_HALF = 65504.0

CHANCE = 24
"""Bits of evidence that numbers of few bits are no accident."""

TYPICAL = 0.6
"""Root mean square of correct arithmetic's errors, in standard deviations of the floor."""

ENOUGH = 16
"""Elements of a quantity from which on its errors have a size that can be relied on."""

FEWEST = 3
"""Errors of fewer bits than this are as large as what they are errors of: no rounding."""


def kept_bits(array: Array) -> Array:
    """Significant bits that each element needs; 0 for zeros and what is not finite."""
    finite = array[np.isfinite(array) & (array != 0)]
    mantissa = np.ldexp(np.frexp(finite)[0], 53).astype(np.int64)
    lowest = mantissa & -mantissa
    bits = np.zeros(array.shape)
    bits[np.isfinite(array) & (array != 0)] = 53 - np.log2(lowest.astype(np.float64))
    return bits


def find_kept(got: Mapping[str, Array], wrong: Sequence[str], case: Case) -> int | None:
    """Bits that no element of all wrong quantities exceeds, if fewer than the dtype has."""
    bits = np.concatenate([kept_bits(got[name]).ravel() for name in wrong])
    bits = bits[bits > 0]
    most = int(bits.max(initial=0))
    known = next((p for p in sorted((4, *KNOWN)) if most <= p), None)
    if known is None or known >= case.format.precision:
        return None
    return known if (case.format.precision - most) * len(bits) >= CHANCE else None


def of_bits(got: Array, right: Uncertain, bits: int) -> Uncertain:
    """What is right, with the noise of rounding to so many bits; float16 has a range as well."""
    spread = np.square(2.0**-bits * right.value)
    value = right.value
    if bits == DTYPES["float16"].precision:
        spread = spread + DTYPES["float16"].smallest_subnormal ** 2
        value = np.where(np.isinf(got) & (np.abs(value) >= LARGEST_HALF), got, value)
    return Uncertain(value, right.variance + spread)


def rounded(values: Array, precision: int) -> Array:
    """Round to `precision` significant bits, ties to even."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, precision)), exponent - precision))


def _truncated(values: Array) -> Array:
    """Cut to 11 significant bits, as some hardware makes TF32 of float32."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.trunc(np.ldexp(mantissa, 11)), exponent - 11))


def _half(values: Array) -> Array:
    """Round to float16, with its range: small values become subnormal or zero."""
    return np.asarray(values.astype(np.float16).astype(np.float64))


Narrow = Callable[[Array], Array]
FACTORS: tuple[tuple[int, Narrow], ...] = (
    (24, partial(rounded, precision=24)),
    (11, partial(rounded, precision=11)),
    (11, _truncated),
    (11, _half),
    (8, partial(rounded, precision=8)),
    (4, partial(rounded, precision=4)),
)
"""Bits that factors of a product are tried with."""


def find_products(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain a matrix product by factors of fewer bits."""
    if site.kind not in ("z", "da", "dW") or (site.kind == "da" and site.layer == site.depth):
        return
    for bits, narrow in FACTORS:
        if bits < site.case.format.precision:
            cause, text = said(site.case, bits, "is a product of factors rounded to")
            with np.errstate(all="ignore"):
                made = product_of(site, narrow)
            yield Explanation(cause, text, made, float(bits), detail=str(bits))


def product_of(site: Site, narrow: Narrow) -> Uncertain:
    def narrowed(tensor: Uncertain) -> Uncertain:
        return Uncertain(narrow(tensor.value), tensor.variance)

    match site.kind:
        case "z":
            return site.steps.affine(narrowed(site.below("a")), narrow(site.W), site.b)
        case "da":
            return site.steps.pull_back(narrowed(site.above("dz")), narrow(site.W_above))
    return site.weight_gradient(narrowed(site.here("dz")), narrowed(site.below("a")))


def bits_from_errors(
    got: Mapping[str, Array], right: Mapping[str, Uncertain], wrong: Sequence[str], case: Case
) -> tuple[float, float] | None:
    """Effective significant bits of the wrong quantities, and a certainty: how alike they are in it."""
    bits, weights = [], []
    for name in wrong:
        with np.errstate(all="ignore"):
            shares = np.abs(got[name] - right[name].value) / np.sqrt(right[name].variance)
            ratio = float(np.sqrt(np.mean(np.square(shares))))
        if not np.isfinite(ratio):
            return None
        if np.max(shares) > ratio * (2 + np.sqrt(2 * np.log(shares.size))):
            return None  # a few elements much larger than the others: no rounding noise
        bits.append(case.format.precision - log2(max(ratio / TYPICAL, 1.0)))
        weights.append(min(shares.size, ENOUGH))
    middle = float(np.average(bits, weights=weights))
    spread = float(np.sqrt(np.average(np.square(np.array(bits) - middle), weights=weights)))
    if middle < FEWEST or case.format.precision - middle < 1:
        return None
    amount = min(1.0, sum(weights) / (2 * ENOUGH)) * min(1.0, (middle - 1) / 7)
    return middle, 0.85 * amount * max(0.3, 1 - spread / 8)


def said(case: Case, bits: float, beginning: str) -> tuple[str, str]:
    """The cause, and a sentence with the bits, what is known to have as many, and what should be."""
    nearest = min(KNOWN, key=lambda known: abs(known - bits))
    known = f" ({KNOWN[nearest]})" if abs(nearest - bits) <= 1.5 else ""
    text = f"{beginning} about {bits:.0f} significant bits{known}, not {case.format.precision}"
    if case.dtype == DTYPES["float64"].name and nearest == 24 and known:
        return X64_OFF, f"{text}: 64-bit arithmetic switched off (in JAX: jax_enable_x64)?"
    return NARROW_ARITHMETIC, text
