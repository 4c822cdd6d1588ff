"""Updated parameters, seen as the steps to them: ``p - p_new`` ought to be ``lr * gradient``."""

from collections.abc import Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .explanation import Explanation
from .record import UNRECOGNISED
from .scale import shown
from .site import Site

STEPS = {"W_new": "W step", "b_new": "b step"}
"""By kind of an updated parameter: what the step to it is called."""


def as_step(site: Site, got: Array, right: Uncertain) -> tuple[Site, Array, Uncertain]:
    """Turn an updated parameter into the step to it, which is a multiple of the gradient."""
    before = parameter(site)
    step = Site(site.steps, STEPS[site.kind], site.layer, site.value_of)
    return step, before - got, Uncertain(before - right.value, right.variance)


def parameter(site: Site) -> Array:
    """The parameter before the update."""
    before = site.W if site.kind.startswith("W") else site.b
    assert before is not None, "only what was there is updated"
    return before


def find_decay(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain a step by one that also takes away a share of the parameter: weight decay."""
    if site.kind not in STEPS.values():
        return
    before, weight = parameter(site), 1 / right.variance
    with np.errstate(all="ignore"):
        share = float(np.sum(weight * before * (got - right.value)) / np.sum(weight * before * before))
        rate = share / site.case.learning_rate if site.case.learning_rate else np.inf
    if np.isfinite(rate) and got.size > 1:
        text = f"also takes away lr times {shown(rate)} of the parameter: weight decay?"
        predicted = Uncertain(right.value + share * before, right.variance)
        yield Explanation(UNRECOGNISED, text, predicted, rate, 0.95)
