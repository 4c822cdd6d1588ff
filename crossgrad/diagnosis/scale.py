"""Constant factors: everything zero, the sign turned, or a number times too large."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .explanation import Explanation
from .measure import scaled
from .numbers import name_of
from .record import DETACHED, FACTOR, SIGN
from .site import Site

FEW = 3
"""Of fewer elements than this, a factor without a name says nothing: it always fits."""


NEARLY_ONE, MANY = 0.01, 16
"""A factor that is so little off is more often something else, unless so many derivatives have it in common.

Not so many activations: where units are saturated, all of them are nearly the same number.
"""


OF_THE_LOSS = frozenset(("loss", "da", "dz", "dW", "db"))
"""Kinds of which a factor says something about the loss."""


def find_scale(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain `got` as a constant times `right`."""
    if not got.any():
        zeros = Uncertain(np.zeros_like(right.value), right.variance)
        yield Explanation(DETACHED, f"is zero{_what_zero_means(site.kind)}", zeros, 0.0)
        return
    yield Explanation(SIGN, "has the wrong sign", scaled(right, -1.0), -1.0)
    factor = Factor.of(site, got, right)
    if factor:
        yield factor.explain(right)


@dataclass(frozen=True)
class Factor:
    """A number that every element is too large by: as fitted, or the named one that it must be."""

    value: float
    text: str
    certainty: float

    @classmethod
    def of(cls, site: Site, got: Array, right: Uncertain) -> "Factor | None":
        fitted, uncertainty = fitted_factor(got, right)
        if not np.isfinite(fitted) or fitted == 0:
            return None
        magnitude = name_of(site.case, abs(fitted), uncertainty)
        value = float(np.copysign(magnitude.value, fitted)) if magnitude else fitted
        meant = magnitude and magnitude.hint(of_one_layer=0 < site.layer < site.depth)
        plain = magnitude is not None and (magnitude.complexity == 1 or magnitude.hint(False) is not None)
        sign = "-" if fitted < 0 else ""
        text = f"is {shown(value)} times what it should be"
        if magnitude:
            hint = f": {meant}" if meant and site.kind in OF_THE_LOSS else ""
            text += f", {sign}{magnitude.text}{hint}" if magnitude.text != shown(value) else hint
        certainty = 0.4 if magnitude is None and got.size < FEW else 1.0 if plain else 0.88
        if abs(value - 1) <= NEARLY_ONE and not (got.size >= MANY and site.kind in OF_THE_LOSS):
            certainty *= 0.5
        return cls(value, text, certainty)

    def explain(self, right: Uncertain) -> Explanation:
        predicted = scaled(right, self.value)
        return Explanation(FACTOR, self.text, predicted, self.value, self.certainty, f"{self.value:.3g}")


def _what_zero_means(kind: str) -> str:
    if kind.endswith("step"):
        return ": the update is not applied"
    return ": no derivative arrives here" if kind in ("da", "dz", "dW", "db") else ""


def fitted_factor(got: Array, right: Uncertain) -> tuple[float, float]:
    """Least squares with each element's own noise: the factor, and four standard errors of it."""
    sigma = np.sqrt(right.variance)
    with np.errstate(all="ignore"):
        shares, unit = (got / sigma).ravel(), (right.value / sigma).ravel()
        factor = float(unit @ shares / (unit @ unit))
        error = float(4 * max(abs(factor), 1.0) / np.linalg.norm(unit))
    return factor, error + 1e-9 * abs(factor)


def shown(value: float) -> str:
    """A factor in five digits, or in full where it is a small whole number; near to 1, how far from it."""
    if 0 < abs(value - 1) < 5e-5:
        return f"1 {'+' if value > 1 else '-'} {abs(value - 1):.2g}"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.5g}"
