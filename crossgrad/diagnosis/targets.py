"""The loss's derivative with the targets of other samples: which target each sample met."""

from collections.abc import Iterator

import numpy as np

from ..arithmetic import Uncertain
from ..networks.dtypes import Array
from .explanation import Explanation
from .order import movement, nearest
from .record import PERMUTATION, SAMPLE_REPEATED
from .site import Site

LARGEST_BATCH = 2048


def find_targets(site: Site, got: Array, right: Uncertain) -> Iterator[Explanation]:
    """Explain da of the last layer as ``slope * (a - y')``, with y' the rows of y in another order."""
    if site.kind != "da" or site.layer != site.depth or not 1 < len(got) <= LARGEST_BATCH:
        return
    a, y, slope = site.output(), site.steps.y, site.steps.slope
    met = a.value - got / slope
    if not np.isfinite(met).all():
        return
    order = nearest(met, y)
    if (order == np.arange(len(y))).all():
        return
    residual = a.value - y[order]
    noise = a.variance + site.steps.arithmetic.rounding(residual)
    predicted = Uncertain(slope * residual, np.square(slope) * noise + right.variance)
    if len(np.unique(order)) == len(y):
        text = f"has the targets of other samples: those of y are {movement(order)}"
        yield Explanation(PERMUTATION, text, predicted)
    else:
        i = int(np.argmax(order != np.arange(len(y))))
        text = f"has the target of sample {order[i]} for sample {i}"
        yield Explanation(SAMPLE_REPEATED, text, predicted, certainty=0.95)
