"""Is B slower than A? Rows of two benchmarks side by side, with verdicts that noise does not make."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .. import escape
from ..networks.errors import InvalidInput, shortened
from ..tables import render_table
from ..words import listed
from .phases import REPEATED, Phase
from .ratios import LARGEST, Machine, ratio_of
from .results import OfEngine, Place, Results, Row, Subject, subjects
from .rules import BEYOND, Rule, Verdict, beyond_of, judge, parse_rule
from .text import ratio_digits, seconds_text, word

NAMED = 3
"""Of the rows that a rule could not decide, or not be held to, so many are named."""


class Change(OfEngine):
    """One row of both benchmarks."""

    phase: Phase
    before: Annotated[float, Field(description="Median seconds a call in A.")]
    after: Annotated[float, Field(description="Median seconds a call in B.")]
    seconds: Annotated[float | None, Field(description="B's median over A's.")] = None
    ratio: Annotated[
        float | None, Field(description="The same, of rounds over the machine's own products in them.")
    ] = None
    low: Annotated[float | None, Field(description="99 % interval of the ratio.")] = None
    high: float | None = None
    verdict: Verdict
    no_yardstick: Annotated[
        bool,
        Field(description="Whether nothing tells what the machine changed by meanwhile: it is unsure then."),
    ] = False
    regression: bool = False


class MachineChange(Subject):
    """How many times longer the machine's own products and copies took in B."""

    device: str
    ratio: float


class Comparison(BaseModel):
    """Two benchmarks, A and B, row by row."""

    document: Literal["crossgrad.bench-comparison/1"] = Field(
        default="crossgrad.bench-comparison/1", alias="schema"
    )
    began: Annotated[tuple[str, str], Field(description="When A and B began.")]
    rule: str | None
    differences: tuple[str, ...]
    machine: tuple[MachineChange, ...]
    rows: tuple[Change, ...]
    only_a: Annotated[tuple[str, ...], Field(description="An engine's phases on one network each.")]
    only_b: tuple[str, ...]
    vanished: Annotated[
        tuple[str, ...], Field(description="Rows of only_a that the rule covers: it was not held to them.")
    ] = ()
    other_library: Annotated[
        tuple[str, ...],
        Field(description="Frameworks whose products tell nothing of the machine: their library changed."),
    ] = ()
    notes_a: Annotated[tuple[str, ...], Field(description="Warnings of A, in words.")] = ()
    notes_b: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Rows that are slower beyond the rule; none without a rule."""
        return tuple(row for row in self.rows if row.regression)

    @property
    def undecided(self) -> tuple[Change, ...]:
        """Rows that the rule covers, and of which nothing can be said."""
        if self.rule is None:
            return ()
        return tuple(row for row in self._covered if row.verdict == "unsure")

    @property
    def decides_nothing(self) -> bool:
        """Whether there is a rule, and of no row can be said whether it breaks it."""
        return self.rule is not None and all(row.verdict == "unsure" for row in self._covered)

    @property
    def _covered(self) -> list[Change]:
        rule = None if self.rule is None else parse_rule(self.rule)
        return [row for row in self.rows if rule is not None and rule.covers(row.phase)]


def compare(a: Results, b: Results, fail_if: Rule | None = None) -> Comparison:
    """Compare the rows that two benchmarks share.

    A row is slower if, relative to the machine's own change, it takes longer by more than
    `BEYOND` (or the rule's share, where it applies), the whole interval is above 1, and it takes
    longer in seconds as well: so that neither a slower machine nor a faster yardstick makes a
    regression alone. See `ratios` for the interval. Where there is no yardstick the row is unsure.

    Raises
    ------
    InvalidInput
        If there is a rule, and no row of both that it could be held to: it would never fail.
    """
    before, after = ({row.key: row for row in results.rows} for results in (a, b))
    both = [key for key in before if key in after]
    machine = Machine.of(a, b)
    rows = tuple(_change(before[key], after[key], machine, fail_if) for key in both)
    if fail_if is not None and not any(fail_if.covers(row.phase) and row.low is not None for row in rows):
        raise InvalidInput(
            f"rule {fail_if}: the two have no row in common that it could be held to, "
            "with rounds of it and of the machine's own products or copies in both; "
            "--baseline ENGINE holds engines of one run to it"
        )
    only_a = [row for key, row in before.items() if key not in after]
    covered = [row for row in only_a if fail_if is not None and fail_if.covers(row.phase)]
    return Comparison(
        began=(a.began, b.began),
        rule=None if fail_if is None else str(fail_if),
        differences=tuple(environment_differences(a, b)),
        machine=tuple(_machine_changes(machine)),
        other_library=tuple(machine.unlike),
        rows=rows,
        only_a=tuple(_by_engine(only_a)),
        only_b=tuple(_by_engine(row for key, row in after.items() if key not in before)),
        vanished=tuple(row.name for row in covered),
        notes_a=a.notes,
        notes_b=b.notes,
    )


def _by_engine(rows: Iterable[Row]) -> Iterator[str]:
    """The rows' names, those of an engine on one network as one, with all its phases."""
    phases: dict[tuple[str, tuple[str, int, str]], list[Phase]] = {}
    for row in rows:
        phases.setdefault((str(row.engine), row.subject), []).append(row.phase)
    for (label, (network, batch, dtype)), there in phases.items():
        yield f"{label} {', '.join(there)} of {network} (batch {batch}, {dtype})"


def _change(a: Row, b: Row, machine: Machine, rule: Rule | None) -> Change:
    about = a.model_dump(include={*OfEngine.model_fields, "phase"})
    seconds = min(b.median / a.median, LARGEST) if a.median > 0 and b.median > 0 else None
    found = Change(**about, before=a.median, after=b.median, seconds=seconds, verdict="once")
    if a.phase not in REPEATED:
        return found
    ratio = ratio_of(a, b, machine)
    if ratio is None or seconds is None:
        return found.model_copy(update={"verdict": "unsure", "no_yardstick": not machine.at(a)})
    verdict = judge(ratio.ratio, ratio.low, ratio.high, seconds, beyond_of(rule, a.phase))
    return found.model_copy(
        update={
            "ratio": ratio.ratio, "low": ratio.low, "high": ratio.high, "verdict": verdict,
            "regression": rule is not None and rule.covers(a.phase) and verdict == "slower",
        }
    )  # fmt: skip


def _machine_changes(machine: Machine) -> Iterator[MachineChange]:
    for (network, batch_size, dtype, device), ratio in machine.changes().items():
        yield MachineChange(network=network, batch_size=batch_size, dtype=dtype, device=device, ratio=ratio)


def environment_differences(a: Results, b: Results) -> list[str]:
    """What two benchmarks do not share of machine, versions and settings: dotted keys with both values."""
    one, other = ({**results.environment, "settings": results.settings.model_dump()} for results in (a, b))
    return list(_differences(one, other))


LACKING = object()


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """What both have parts of, part by part; what only one has, as an engine that took no part, in a line."""
    for key in {**one, **other}:
        left, right = one.get(key, LACKING), other.get(key, LACKING)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differences(left, right, f"{before}{key}.")
        elif left != right:
            yield f"{shortened(f'{before}{key}')}: {_told(left)} in A, {_told(right)} in B"


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "there"
    return "nothing" if value is LACKING else shortened(repr(value))


def comparison_json(found: Comparison) -> str:
    """The comparison as JSON, with names in it escaped."""
    document = found.model_dump_json(by_alias=True, indent=1)
    return escape.json(document) + "\n"


def comparison_text(found: Comparison) -> str:
    """A table for each network, batch size and dtype; then what is not alike, and what it comes to."""
    rule = None if found.rule is None else parse_rule(found.rule)
    subject_of = {key: [row for row in found.rows if row.subject == key] for key in subjects(found.rows)}
    tables = [
        render_table(
            f"{network} · batch {batch} · {dtype}", COLUMNS, [_cells(row, rule) for row in rows], keys=2
        )
        for (network, batch, dtype), rows in subject_of.items()
    ]
    return "".join(tables) + "".join(f"{escape.terminal(line)}\n" for line in _lines(found))


COLUMNS = ("engine", "phase", "A", "B", "B/A", "relative", "99 %", "verdict")


def _cells(row: Change, rule: Rule | None) -> list[str]:
    known = row.ratio is not None and row.low is not None and row.high is not None
    return [
        str(row.engine),
        row.phase,
        seconds_text(row.before),
        seconds_text(row.after),
        _ratio(row.seconds),
        _ratio(row.ratio),
        f"{_ratio(row.low)} to {_ratio(row.high)}" if known else "-",
        "REGRESSION" if row.regression else word(row.verdict, row.phase, rule),
    ]


def _ratio(value: float | None) -> str:
    return "-" if value is None else ratio_digits(value)


def _lines(found: Comparison) -> Iterator[str]:
    if found.differences:
        yield "not alike, so that a change may have more than one cause:"
        yield from (f"  {difference}" for difference in found.differences)
    if found.other_library:
        yield (
            f"not held against the bare products of {listed(found.other_library)}: their library, or its "
            "kernels, changed, and not the machine"
        )
    for machine in found.machine:
        if abs(math.log(machine.ratio)) > math.log1p(BEYOND):
            yield (
                f"the machine's own products and copies on {machine.device} took {_ratio(machine.ratio)} "
                f"times as long in B, at {machine.network} (batch {machine.batch_size}, {machine.dtype})"
            )
    for (network, batch, dtype, device), phases in _without_yardstick(found).items():
        yield (
            f"nothing tells what the machine changed by for {', '.join(phases)} on {device} at {network} "
            f"(batch {batch}, {dtype}), as nothing alike was timed in both: unsure, whatever the seconds are"
        )
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        yield from (f"only in {side}: {name}" for name in names)
    yield from (f"the rule covers what B lacks: {name}" for name in found.vanished)
    for side, notes in (("A", found.notes_a), ("B", found.notes_b)):
        yield from (f"note of {side}: {note}" for note in notes)
    yield closing_line(found)


def _without_yardstick(found: Comparison) -> dict[Place, dict[Phase, None]]:
    """Where nothing tells what the machine itself changed by, and for which phases."""
    places: dict[Place, dict[Phase, None]] = {}
    for row in found.rows:
        if row.no_yardstick:
            places.setdefault((*row.subject, row.device), {})[row.phase] = None
    return places


def closing_line(found: Comparison) -> str:
    """One line that says everything."""
    counts = Counter(row.verdict for row in found.rows if row.verdict != "once")
    rows = f"{sum(counts.values())} rows of both: " + (
        ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "nothing to compare"
    )
    if found.rule is None:
        return rows
    return f"{rows}; rule {found.rule}: {'; '.join(_outcome(found)) or 'no regression'}"


def _outcome(found: Comparison) -> Iterator[str]:
    """What the rule found; nothing if it was held to all rows, and none is slower."""
    if found.vanished:
        yield f"not held to {_some(found.vanished)}, which B lacks"
    regressions, undecided = (
        [f"{row.engine} {row.phase} of {row.network}" for row in rows]
        for rows in (found.regressions, found.undecided)
    )
    if regressions:
        yield f"REGRESSION: {', '.join(regressions)}"
    elif undecided:
        more = "more --rounds and --processes, --threads 1 for short calls, and a quieter machine decide more"
        advice = "" if all(row.no_yardstick for row in found.undecided) else f": {more}"
        nothing = "nothing is decided: " if found.decides_nothing else ""
        yield f"{nothing}no regression is certain, and none is excluded for {_some(undecided)}{advice}"


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{f' and {len(names) - NAMED} more' * (len(names) > NAMED)}"
