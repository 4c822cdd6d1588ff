"""The loss of another convention: loss and derivatives off by the one factor that lies between two losses."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..arithmetic import Uncertain
from ..mathematics import LOSSES
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..words import listed
from .measure import SURE, confidence, fit, scaled
from .record import LOSS_CONVENTION, Diagnosis
from .scale import shown


def find_convention(
    case: Case, parts: Sequence[tuple[Array, Uncertain]], names: Sequence[str]
) -> Iterator[Diagnosis]:
    """Name the other loss that made all these quantities, the loss among them, if one did beyond doubt."""
    y = np.asarray(case.batch.y, np.float64)
    own = float(LOSSES[case.loss].value(y + 1, y))
    for other, rule in LOSSES.items():
        factor = float(rule.value(y + 1, y)) / own
        if other != case.loss and factor != 1:
            sure = confidence(fit(got, right, scaled(right, factor)) for got, right in parts)
            text = (
                f"{listed(names)} are those of the loss {other}, {shown(factor)} times those of {case.loss}: "
                "another convention, not a wrong gradient"
            )
            if sure >= SURE:
                yield Diagnosis(LOSS_CONVENTION, text, names[0], factor, sure)
