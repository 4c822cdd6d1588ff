"""One element of dz wrong, as seen from the gradients: a row of dW and an element of db, and all below.

If ``dz[s, o]`` is off by d, row o of dW is off by ``d a_s`` and db[o] by d.
The sample whose a_s fits best, and d, follow by least squares; a run with that
one element changed then tells whether everything below follows from it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .formulas import Formula
from .passes import Hypothesis
from .record import ELEMENTS
from .samples import Part
from .site import Site, right_step


def missed_element(parts: Sequence[Part]) -> Iterator[Hypothesis]:
    """Propose an element of dz that is zero or counted twice, and the same corner in all layers below.

    Parameters
    ----------
    parts
        The wrong gradients of the highest layer that has any.
    """
    site, unit = parts[0].site, _most_wrong_unit(parts)
    dz = site.here("dz").value[:, unit]
    if site.here("dz").value.size == 1:
        return
    square, along = _projections(parts, unit)
    for change, what in ((dz, "zero"), (-dz, "twice what it should be")):
        with np.errstate(all="ignore"):
            sample = int(np.argmin(change * change * square - 2 * change * along))
        text = f"dz.{site.layer} is wrong in one element, [{sample}, {unit}]: it is {what}"
        yield _hypothesis(text, site.layer, (sample, unit), float(change[sample]), 0.0, 1.0)
    for corner in ((0, 0), (-1, -1)):
        yield _corner_missing(site.layer, corner)


def changed_element(parts: Sequence[Part]) -> Iterator[Hypothesis]:
    """Propose an element of dz that is off by any amount, which is fitted."""
    site, unit = parts[0].site, _most_wrong_unit(parts)
    square, along = _projections(parts, unit)
    with np.errstate(all="ignore"):
        gain = along * along / square
    if np.isfinite(gain).all() and site.here("dz").value.size > 1:
        sample = int(np.argmax(gain))
        text = f"dz.{site.layer} is wrong in one element, [{sample}, {unit}]"
        change, spread = float(along[sample] / square[sample]), float(1 / square[sample])
        yield _hypothesis(text, site.layer, (sample, unit), change, spread, 0.8)


def _hypothesis(
    text: str, layer: int, index: tuple[int, int], change: float, spread: float, certainty: float
) -> Hypothesis:
    def predict(there: Site) -> Uncertain:
        dz = right_step(there)
        value, variance = dz.value.copy(), dz.variance.copy()
        value[index] -= change
        variance[index] += spread
        return Uncertain(value, variance)

    formula = Formula("dz", ELEMENTS, text, predict)
    return Hypothesis(ELEMENTS, text, f"dz.{layer}", {f"dz.{layer}": formula}, certainty=certainty)


def _corner_missing(layer: int, corner: tuple[int, int]) -> Hypothesis:
    """The same corner of dz in this layer and all below: a loop that ends one early."""

    def predict(there: Site) -> Uncertain:
        dz = right_step(there)
        value = dz.value.copy()
        value[corner] = 0
        return Uncertain(value, dz.variance)

    which = "first" if corner == (0, 0) else "last"
    text = f"dz.{layer} is wrong in its {which} element: it is zero; so it is in the layers below"
    formula = Formula("dz", ELEMENTS, text, predict)
    wrong = {f"dz.{n}": formula for n in range(1, layer + 1)}
    return Hypothesis(ELEMENTS, text, f"dz.{layer}", wrong)


def _most_wrong_unit(parts: Sequence[Part]) -> int:
    errors = np.zeros(len(parts[0].right.value))
    with np.errstate(all="ignore"):
        for _, got, right in parts:
            share = np.square(got - right.value) / right.variance
            errors += share.reshape(len(errors), -1).sum(axis=1)
    return int(np.argmax(errors))


def _projections(parts: Sequence[Part], unit: int) -> tuple[Array, Array]:
    """For each sample, ``g . g`` and ``g . D``: g its part in the unit's gradients, D what is missing."""
    samples = parts[0].site.case.batch_size
    square, along = np.zeros(samples), np.zeros(samples)
    for site, got, right in parts:
        missing, weight = right.value[unit] - got[unit], 1 / np.mean(right.variance[unit])
        if site.kind == "dW":
            a = site.below("a").value
            square += weight * np.square(a).sum(axis=1)
            along += weight * (a @ missing)
        else:
            square += weight
            along += weight * missing
    return square, along
