"""All explanations of one wrong quantity, each measured."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .activations import find_activation
from .elements import find_elements
from .explanation import Explanation, Finder
from .formulas import find_formula
from .measure import SURE, confidence, fit
from .operands import find_input, find_operand
from .order import find_order
from .precision import find_products
from .record import CAUSES
from .scale import find_scale
from .site import Site
from .targets import find_targets
from .updates import find_decay


def rank(cause: str, confidence: float) -> tuple[float, int, float]:
    """Sorts the most convincing first: all that explain everything are equal but for their freedom."""
    return -min(confidence, SURE), CAUSES.index(cause), -confidence


FINDERS: tuple[Finder, ...] = (
    find_scale,
    find_formula,
    find_order,
    find_targets,
    find_activation,
    find_input,
    find_operand,
    find_products,
    find_decay,
    find_elements,
)


COSTLY = 1e7
"""Elements times samples from which on one convincing explanation is enough."""


class Found(NamedTuple):
    """An explanation, measured; what it predicts, which is as large as the quantity, is not kept."""

    cause: str
    text: str
    value: float | None
    detail: str
    confidence: float

    @property
    def rank(self) -> tuple[float, int, float]:
        return rank(self.cause, self.confidence)


def explain(site: Site, got: Array, right: Uncertain, more: Iterable[Explanation] = ()) -> list[Found]:
    """Explanations of a quantity that remove some of its error, the most convincing first.

    All of them, for a small tensor; of a large one, none after the first kind that explains everything.
    """
    found = [measured(e, got, right) for e in more]
    costly = got.size * site.case.batch_size > COSTLY
    with np.errstate(all="ignore"):
        for finder in FINDERS:
            found += [measured(e, got, right) for e in finder(site, got, right)]
            if costly and any(f.confidence >= SURE for f in found):
                break
    return sorted((f for f in found if f.confidence > 0), key=lambda f: f.rank)


def measured(explanation: Explanation, got: Array, right: Uncertain) -> Found:
    sure = confidence([fit(got, right, explanation.predicted)])
    return Found(
        explanation.cause,
        explanation.text,
        explanation.value,
        explanation.detail,
        sure * explanation.certainty,
    )


def alike(one: Found, other: Found) -> bool:
    """Whether two quantities are wrong for the same reason."""
    return (one.cause, one.detail) == (other.cause, other.detail)
