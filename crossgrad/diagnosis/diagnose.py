"""From evidence to a short list of causes, the most convincing first."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..floor import Floor
from ..networks.cases import Case
from ..networks.dtypes import Array
from .explain import rank
from .gradients import diagnose_gradients
from .measure import CONVINCING, WORTH_NAMING
from .record import UNRECOGNISED, Diagnosis
from .shapes import diagnose_shapes
from .trace import diagnose_trace

MOST_NAMED = 4


def diagnose(
    case: Case,
    got: Mapping[str, Array],
    wrong: Sequence[str],
    enters_at: str,
    floor: Floor,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    misfits: Mapping[str, str] | None = None,
) -> tuple[Diagnosis, ...]:
    """Say why an engine or candidate is wrong.

    Parameters
    ----------
    got
        What it delivered, in float64: every quantity, or only ``loss``, ``dW.n`` and ``db.n``.
    wrong
        Names of the quantities that disagree, in data-flow order; at least one.
    enters_at
        Where the error enters, as `crossgrad.place.place_of_error` says.
    floor
        The rounding floor of the case.
    shapes, misfits
        The shapes of all that was delivered, and of what is not in `got` the reason.

    Returns
    -------
    tuple of Diagnosis
        The most convincing first, never empty; at most one a cause. `UNRECOGNISED` goes first
        where no cause reaches half of the full confidence.
    """
    found: list[Diagnosis] = []
    lacking = {name: "it was not delivered" for name in wrong if name not in got} | dict(misfits or {})
    if any(name in lacking for name in wrong):
        return (diagnose_shapes(case, shapes or {}, lacking, wrong),)
    if all(quantity.name in got for quantity in case.quantities):
        found = diagnose_trace(case, got, wrong, enters_at)
    else:
        found = diagnose_gradients(case, got, wrong, enters_at, floor)
    best = {d.cause: d for d in sorted(found, key=lambda d: d.confidence)}
    ranked = sorted(
        (d for d in best.values() if d.confidence >= WORTH_NAMING), key=lambda d: rank(d.cause, d.confidence)
    )[:MOST_NAMED]
    if ranked and ranked[0].confidence >= CONVINCING:
        return tuple(ranked)
    unknown = _unrecognised(got, wrong, enters_at, floor)
    return (unknown, *(d for d in ranked if d.cause != UNRECOGNISED))


def _unrecognised(got: Mapping[str, Array], wrong: Sequence[str], enters_at: str, floor: Floor) -> Diagnosis:
    """What is known all the same: where, how many elements, how large."""
    name = enters_at if enters_at in got else wrong[0]
    lost = int((~np.isfinite(got[name])).sum())
    with np.errstate(all="ignore"):
        error = np.abs(got[name] - floor.value[name])
        share = float(np.linalg.norm(error) / np.linalg.norm(floor.value[name]))
    if lost:
        size = f"in {lost} of {error.size} elements, which are not finite,"
    else:
        size = f"by {share:.3g} times its norm" if np.isfinite(share) else "and should be zero"
    text = f"{name} is wrong {size} in no way that is known here: no cause recognised"
    return Diagnosis(UNRECOGNISED, text, name)
