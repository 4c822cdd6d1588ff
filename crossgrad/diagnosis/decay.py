"""Parameters added to their gradients: weight decay, in the optimizer's place or as a penalty in the loss."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..arithmetic import Uncertain
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..networks.parameters import by_name
from .measure import confidence, fit
from .record import UNRECOGNISED, Diagnosis

WAYS = {("dW",): "every dW.n has {} W.n added", ("dW", "db"): "every dW.n and db.n has {} W.n or b.n added"}


def find_decay(
    case: Case, got: Mapping[str, Array], known: Mapping[str, Uncertain], wrong: Sequence[str]
) -> Iterator[Diagnosis]:
    """Explain all gradients by one rate, ``dW + rate W``: of a loss with ``rate/2 sum(W**2)`` added.

    Parameters
    ----------
    got, known
        Loss, dW and db of a candidate, and what they should be.
    wrong
        Those that are wrong. A right loss has no penalty in it: the gradients alone have.
    """
    parameters = {
        f"d{name}": np.asarray(array, np.float64)
        for name, array in by_name(case.widened().parameters).items()
    }
    for kinds, text in WAYS.items():
        added = {name: p for name, p in parameters.items() if name in got and name.partition(".")[0] in kinds}
        if not added or any(got[name].shape != p.shape for name, p in added.items()):
            continue
        squares = sum(float(np.sum(p * p)) for p in added.values())
        with np.errstate(all="ignore"):
            moments = (float(np.sum((got[name] - known[name].value) * p)) for name, p in added.items())
            rate = sum(moments) / squares if squares else np.nan
        shift = {name: rate * p for name, p in added.items()}
        if "loss" in wrong:
            shift["loss"] = np.asarray(rate / 2 * squares)
        spoilt = [name for name in wrong if name in shift]
        if not spoilt or not np.isfinite(rate):
            continue
        predicted = {
            name: Uncertain(known[name].value + shift.get(name, 0.0), known[name].variance) for name in got
        }
        sure = confidence(fit(array, known[name], predicted[name]) for name, array in got.items())
        told = f"{text.format(f'{rate:.4g}')}: weight decay, or a penalty of the loss on the parameters"
        yield Diagnosis(UNRECOGNISED, told, spoilt[0], rate, sure)
