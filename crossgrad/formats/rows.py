"""One row an engine: the quantity that is worst, and the figures that say how bad it is."""

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from ..compare import badness
from ..findings import worst_verdict
from ..run import OK, Run

if TYPE_CHECKING:
    from ..report import CaseReport

COLUMNS = (
    "engine",
    "device",
    "worst quantity",
    "against",
    "error (ulp)",
    "over floor",
    "digits",
    "verdict",
    "time",
)
"""Headings of the cells of a `Row`."""

FIGURES = frozenset(("error (ulp)", "over floor", "digits", "time"))
"""Columns that are aligned at the right."""


@dataclass(frozen=True)
class Row:
    """The cells of one engine, as they came from it: whoever shows them escapes them."""

    engine: str
    device: str
    quantity: str = ""
    against: str = ""
    ulp: str = ""
    over_floor: str = ""
    digits: str = ""
    verdict: str = ""
    """The worst of its verdicts; without any, what became of its run."""

    spent: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        return astuple(self)


def row_of(case: "CaseReport", run: Run) -> Row:
    """What the tables say of an engine."""
    spent = f"{1000 * sum(run.seconds.values()):.0f} ms" if run.seconds else ""
    compared = case.comparisons_of(run.engine)
    if run.status != OK or not compared:
        status = run.status if run.status != OK else "not compared"
        return Row(run.engine.label, run.engine.device, verdict=status, spent=spent)
    worst = max(compared, key=badness)
    found = worst.judgement
    return Row(
        run.engine.label,
        run.engine.device,
        worst.quantity,
        worst.against if worst.engine == run.engine else str(worst.engine),
        "" if found.max_ulp is None else f"{found.max_ulp:.3g}",
        "" if found.over_floor is None else f"{found.over_floor:.2g}",
        "" if found.digits is None else f"{found.digits:.1f}",
        worst_verdict(compared),
        spent,
    )
