"""Every vice of the rogue engine, in a worker beside NumPy's engine in another."""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

from .marks import MARK, seconds_until_gone

ROGUE = Path(__file__).parents[2] / "tests" / "rogue"
LIMIT = 2.0
"""Seconds that an engine may take for a phase of its run: longer than a closed pipe is waited for."""

MEMORY = 2**29
AT_IMPORT = ("hang", "hang-in-c", "ignore-sigterm", "crash", "leave", "fail", "allocate")


def try_vices(folder: Path, repeats: int) -> dict[str, Any]:
    """Run each vice `repeats` times.

    Returns
    -------
    dict
        For each vice: the statuses of its runs and the one expected, the longest time past
        its deadline, processes left behind, and rows of the other engine that were not in order.
    """
    _install(folder)
    import crossgrad_rogue as rogue

    vices = (*rogue.RogueBackend.variants, *(f"{name}{rogue.AT_IMPORT}" for name in AT_IMPORT))
    return {
        vice: {"expected": rogue.expected_status(vice)}
        | _tried(vice.removesuffix(rogue.AT_IMPORT), vice.endswith(rogue.AT_IMPORT), repeats)
        for vice in vices
    }


def unexpected(vices: dict[str, Any]) -> list[str]:
    """The vices of which a run had another status than the one expected."""
    return [vice for vice, row in vices.items() if set(row["statuses"]) != {row["expected"]}]


def _tried(vice: str, at_import: bool, repeats: int) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    late, left, spoilt, slowest = 0.0, 0, 0, 0.0
    for _ in range(repeats):
        mark = uuid4().hex
        os.environ[MARK] = mark
        if at_import:
            os.environ["CROSSGRAD_ROGUE_IMPORT"] = vice
        try:
            status, beyond, in_order = _one("well-behaved" if at_import else vice, at_import)
        finally:
            del os.environ[MARK]
            os.environ.pop("CROSSGRAD_ROGUE_IMPORT", None)
        seconds, orphans = seconds_until_gone(mark)
        statuses[status] += 1
        late, slowest = max(late, beyond), max(slowest, seconds)
        left, spoilt = left + orphans, spoilt + (not in_order)
    return {
        "statuses": dict(statuses),
        "seconds_past_deadline": round(late, 3),
        "seconds_until_processes_gone": round(slowest, 3),
        "orphans": left,
        "other_rows_spoilt": spoilt,
    }


def _one(vice: str, at_import: bool) -> tuple[str, float, bool]:
    """The rogue's status, its time past the deadline if it was late, and whether the other row is right."""
    from crossgrad.execution import Isolated
    from crossgrad.judging import judge_case
    from crossgrad.networks.catalogue import build_case, find_entry
    from crossgrad.oracle import consult
    from crossgrad.workers.limits import Limits

    importing = 5.0 if at_import else 60.0
    working = 30.0 if "allocate" in vice else LIMIT
    limits = Limits(importing, working, working, MEMORY)
    case = build_case(find_entry("3-4-2"), dtype="float64")
    judge = consult(case, "wide")
    start = time.monotonic()
    with Isolated(["numpy", f"rogue:{vice}"], None, {}, limits) as executor:
        selection = executor.selection
        if not at_import:
            start = time.monotonic()
        other, rogue = executor.start(case)(lambda engine: None)
        seconds = time.monotonic() - start
    verdicts = {c.verdict for c in judge_case(case, [other], judge, selection).comparisons}
    limit = importing if at_import else LIMIT
    return (
        rogue.status,
        max(0.0, seconds - limit) if rogue.status == "timeout" else 0.0,
        verdicts == {"agree"},
    )


def _install(folder: Path) -> None:
    """Put the rogue engine into `folder` as an installer would, and the folder into reach."""
    information = folder / "crossgrad_rogue-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: crossgrad_rogue\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[crossgrad.backends]\nrogue = crossgrad_rogue:RogueBackend\n"
    )
    (folder / "crossgrad_rogue.py").write_text((ROGUE / "crossgrad_rogue.py").read_text())
    sys.path.insert(0, str(folder))
