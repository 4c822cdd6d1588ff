"""Runs for people: the summary's tables, what is not in order, and the list of runs."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..escape import terminal
from ..run import PHASES
from ..tables import render_table
from ..words import counted
from .info import RunInfo
from .listing import Listed
from .records import STATES, Number, number
from .summary import Place, Problem, Summary

SHOWN = 10
"""Cases that are listed by default."""


def summary_text(path: Path, info: RunInfo, found: Summary) -> str:
    """The summary, with the first cases that are not in order."""
    parts = [
        _engines(path, info, found),
        _states("dtype", found.by_dtype),
        _states("layers", found.by_depth),
        _closest(found.closest),
        *_failures(found, SHOWN),
    ]
    if max(len(found.mismatches), len(found.broken), len(found.problems)) > SHOWN:
        parts.append(terminal(f"all of them: crossgrad show {shlex.quote(str(path))} --failed") + "\n")
    if missing := found.planned - found.done:
        told = f"{missing:,} case{'s are' if missing > 1 else ' is'} missing"
        parts.append(terminal(f"{told}: crossgrad sweep --resume {shlex.quote(str(path))}") + "\n")
    return "\n".join(part for part in parts if part)


def failures_text(found: Summary) -> str:
    """Every case that is not in order."""
    return "\n".join(part for part in _failures(found, None) if part) or "nothing failed\n"


def runs_text(runs: Sequence[Listed]) -> str:
    """A table of runs, and why some of them cannot be read."""
    rows = [
        [
            str(run.path),
            _minute(run.created),
            f"{run.done:,}/{run.planned:,}",
            f"{run.failures:,}",
            _shards(run.shards),
            ", ".join(run.engines),
        ]
        for run in runs
        if run.problem is None
    ]
    table = (
        render_table("", ["run", "begun (UTC)", "cases", "failures", "shards", "engines"], rows)
        if rows
        else ""
    )
    lines = [f"{run.path}: {counted(run.damaged, 'damaged line')} passed over" for run in runs if run.damaged]
    lines += [run.problem for run in runs if run.problem is not None]
    return table + "".join(terminal(line) + "\n" for line in lines)


def _failures(found: Summary, shown: int | None) -> list[str]:
    return [
        _listed("disagreeing, worst first", found.mismatches, shown),
        _listed("did not come through", found.broken, shown),
        _problems(found.problems, shown),
    ]


def _minute(created: str) -> str:
    return created[:16].replace("T", " ")


def _shards(shards: Sequence[str]) -> str:
    return "all" if list(shards) == ["1/1"] else " ".join(shards)


def closing_line(path: Path, found: Summary) -> str:
    """One line that says everything."""
    runs = sum(found.states.values())
    states = _tally(found.states) or "nothing ran"
    failed = found.verdicts.get("failed", 0)
    problems = f"; {counted(failed, 'case')} FAILED" if failed else ""
    return (
        f"{path}: {found.done:,} of {found.planned:,} cases, {counted(runs, 'engine run')}: "
        f"{'DISAGREE: ' if found.mismatches else ''}{states}{problems}"
    )


def _engines(path: Path, info: RunInfo, found: Summary) -> str:
    states = _occurring(found.by_engine)
    rows = [
        [name, *(_count(counts, state) for state in states), *_phases(found.seconds.get(name, {}))]
        for name, counts in found.by_engine.items()
    ]
    parent = found.seconds.get("parent")
    table = render_table("", ["engine", *states, *(f"{phase} (s)" for phase in PHASES)], rows)
    judging = f"drawing and judging: {_figure(sum(parent.values()))} s\n" if parent else ""
    compared = f"compared quantities: {_tally(found.quantities)}\n" if found.quantities else ""
    title = f"{path} · {found.done:,} of {found.planned:,} cases · begun {_minute(info.created)} UTC"
    return terminal(title) + "\n" + table + compared + judging


def _states(what: str, tallies: Mapping[str, Mapping[str, int]]) -> str:
    """How many engine runs came to what; nothing of a single row, which the engines' table has."""
    if len(tallies) < 2:
        return ""
    states = _occurring(tallies)
    rows = [[name, *(_count(counts, state) for state in states)] for name, counts in tallies.items()]
    return render_table("", [what, *states], rows)


def _closest(places: Sequence[Place]) -> str:
    if not places:
        return ""
    lines = ["in order, and closest to the rounding noise allowed:", ""]
    lines += [
        f"  {_figure(place.over_floor)} of it at {place.quantity} of {place.engine}: {place.id}"
        for place in places
    ]
    return "\n".join(map(terminal, lines)) + "\n"


def _listed(title: str, places: Sequence[Place], shown: int | None) -> str:
    """Some places, two lines each, the second of which can be pasted into a shell."""
    if not places:
        return ""
    lines = [f"{title} ({len(places):,}):", ""]
    for place in places[:shown]:
        over = "" if place.over_floor is None else f", {_figure(place.over_floor)} times the noise allowed"
        where = f" at {place.quantity}{over}" if place.quantity else ""
        lines += [f"  {place.engine}: {place.state}{where}; {_reason(place)}", f"    {place.command}"]
    return "\n".join(map(terminal, lines)) + "\n"


def _problems(problems: Sequence[Problem], shown: int | None) -> str:
    if not problems:
        return ""
    lines = [f"not in order ({len(problems):,}):", ""]
    lines += [f"  {problem.id}: {problem.problem}" for problem in problems[:shown]]
    return "\n".join(map(terminal, lines)) + "\n"


def _reason(place: Place) -> str:
    if place.enters_at is not None:
        return f"the error enters at {place.enters_at}: {place.diagnosis}"
    return place.message or "no more is known"


def _occurring(tallies: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [state for state in STATES if any(counts.get(state) for counts in tallies.values())]


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _count(counts: Mapping[str, int], state: str) -> str:
    return f"{counts[state]:,}" if state in counts else ""


def _phases(seconds: Mapping[str, float]) -> list[str]:
    return [_figure(seconds[phase]) if phase in seconds else "" for phase in PHASES]


def _figure(value: Number) -> str:
    found = number(value)
    return "" if found is None else f"{found:.3g}"
