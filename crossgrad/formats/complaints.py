"""What is not in order in a case, in sentences."""

from typing import TYPE_CHECKING

from ..engines import EngineId
from ..findings import describe, describe_blame
from ..verdict import NONFINITE_AGREE, UNDECIDABLE, WRONG

if TYPE_CHECKING:
    from ..report import CaseReport

MOST = 12
"""Quantities that are listed one by one."""


def complaints(case: "CaseReport") -> list[str]:
    """Problems, runs that did not happen, blame, what is undecided, then what is wrong in data-flow order."""
    lines = list(case.problems)
    lines += [f"{run.engine}: {run.message}" for run in case.untold]
    lines += [describe_blame(b) for b in case.blames]
    lines += soft_lines(case)
    wrong = [c for c in case.comparisons if c.verdict in WRONG]
    lines += [f"{c.quantity}: {describe(c)}" for c in wrong[:MOST]]
    if len(wrong) > MOST:
        lines.append(f"and {len(wrong) - MOST} more: all of them with --format json")
    return lines


def soft_lines(case: "CaseReport", engine: EngineId | None = None) -> list[str]:
    """Which quantities are undecidable or overflow alike, and the dtype that would decide."""
    compared = case.comparisons if engine is None else case.comparisons_of(engine)
    lines = []
    for verdict in (NONFINITE_AGREE, UNDECIDABLE):
        found = [c for c in compared if c.verdict == verdict]
        names = list(dict.fromkeys(c.quantity for c in found))
        wider = list(dict.fromkeys(c.judgement.decidable_in for c in found if c.judgement.decidable_in))
        shown = " ".join(names[:MOST]) + (" ..." if len(names) > MOST else "")
        advice = f"; decidable in {' or '.join(wider)}" if wider else ""
        lines += [f"{verdict} in {case.dtype}: {shown}{advice}"] if found else []
    return lines
