"""Results as tables: for a terminal, Markdown, CSV."""

import csv
import io
from collections.abc import Callable, Sequence

from .. import escape
from ..tables import render_table
from .amount import PROCESSES
from .baseline import not_held
from .paired import fastest, paired
from .phases import REPEATED, Phase
from .results import Limit, Problem, Ratio, Results, Row, framework_of, place_of, subjects
from .rules import SAME, Rule, Verdict, parse_rule
from .statistics import beyond_belief, median, middles_of

Rows = dict[str, Row]
"""An engine's rows by phase."""

Cell = Callable[[Rows, list[Rows]], str]
"""A cell of an engine's line, from its own rows and those of all engines of the table."""

Key = tuple[str, int, str]
"""Network, batch size and dtype: what a table is about."""

CSV_COLUMNS = (
    "network", "batch_size", "dtype", "backend", "variant", "device", "phase", "median", "iqr", "low", "high",
    "rounds", "processes", "calls", "gflops", "gbps", "limit_share", "verdict", "memory", "device_memory",
)  # fmt: skip
CSV_OVER = ("ratio", "low", "high", "verdict")
"""Of a row over the baseline's."""


def results_text(results: Results) -> str:
    """Tables for each network, batch size and dtype; then what has no timing, and the notes."""
    parts = []
    for key, engines in _engines(results).items():
        tables = "".join(
            render_table(title, *_table(engines, cells))
            for title, cells in zip((_title(key), ""), TABLES, strict=True)
        )
        if over := _over_baseline(results, key):
            tables += render_table("", *over)
        below = "".join(f"{escape.terminal(line)}\n" for line in _below(results, key))
        parts.append((tables if engines else f"{escape.terminal(_title(key))}\n") + below)
    notes = [f"note: {note}\n" for note in results.notes]
    return "\n".join(parts) + "".join(escape.terminal(note, keep="\n") for note in notes)


def results_markdown(results: Results) -> str:
    """The same as Markdown."""
    lines: list[str] = []
    for key, engines in _engines(results).items():
        lines += [f"### {escape.markdown(_title(key))}", ""]
        for cells in TABLES if engines else ():
            columns, rows = _table(engines, cells)
            lines += _markdown_table(columns, rows)
        if over := _over_baseline(results, key):
            lines += _markdown_table(*over)
        lines += [*(f"- {escape.markdown(line)}" for line in _below(results, key)), ""]
    return "\n".join([*lines, *(f"> - {escape.markdown(note)}" for note in results.notes)]) + "\n"


def results_csv(results: Results) -> str:
    """A line a row, without the samples; with a baseline, what each is over it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    over = {} if results.baseline is None else {_about(ratio): ratio for ratio in results.baseline.rows}
    writer.writerow([*CSV_COLUMNS, *(f"over_{column}" for column in CSV_OVER if results.baseline)])
    for row in results.rows:
        values = [getattr(row, column) for column in CSV_COLUMNS]
        values += [getattr(over.get(_about(row)), column, None) for column in CSV_OVER if results.baseline]
        writer.writerow(escape.csv_cell(value) if isinstance(value, str) else value for value in values)
    return buffer.getvalue()


def _about(row: Row | Ratio) -> tuple[object, ...]:
    return (row.subject, str(row.engine), row.phase)


NEXT = 0.9995
"""Of a power of ten, from where on three digits are those of the next one."""


def seconds_text(seconds: float | None) -> str:
    """Three digits with the unit that suits: ``12.3 µs``, ``4.56 ms``."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= NEXT * size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds / 1e-9)} ns"


def _digits(value: float) -> str:
    """Three significant digits, two of what is small."""
    if value < NEXT / 10:
        return f"{value:.2g}"
    return f"{value:.0f}" if value >= 100 * NEXT else f"{value:.1f}" if value >= 10 * NEXT else f"{value:.2f}"


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:,.0f}"


def _seconds_of(phase: str) -> Cell:
    return lambda rows, _: seconds_text(rows[phase].median if phase in rows else None)


def _over_fastest(rows: Rows, everyone: list[Rows]) -> str:
    """The step's time over that of the fastest engine in the same rounds, with the 95 % interval."""
    steps = [one["step"] for one in everyone if "step" in one and "step" in rows]
    best = fastest(row for row in steps if row.device == rows["step"].device and not beyond_belief(row))
    found = None if best is None or len(steps) < 2 else paired(rows["step"], best)
    if found is None:
        return "-"
    return "1" if rows["step"] is best else ratio_text(found.ratio, found.low, found.high)


def _spread(rows: Rows, _: list[Rows]) -> str:
    """Half the width of the median's 95 % interval, relative to it."""
    row = rows.get("step")
    if row is None or row.low is None or row.high is None or not row.median:
        return "-"
    return f"{50 * (row.high - row.low) / row.median:.1f} %"


def _of_step(attribute: str, form: Callable[[float], str]) -> Cell:
    def cell(rows: Rows, _: list[Rows]) -> str:
        value = getattr(rows["step"], attribute) if "step" in rows else None
        return "-" if value is None else form(value)

    return cell


def _verdict(rows: Rows, _: list[Rows]) -> str:
    return next(iter(rows.values())).verdict or "-"


TIMED: dict[str, Cell] = {
    "forward": _seconds_of("forward"),
    "step": _seconds_of("step"),
    "±": _spread,
    "over fastest": _over_fastest,
    "update": _seconds_of("update"),
    "transfer": _seconds_of("transfer"),
    "GFLOP/s": _of_step("gflops", _digits),
    "GB/s": _of_step("gbps", _digits),
    "of limit": _of_step("limit_share", lambda share: f"{100 * share:.1f} %"),
}
ONCE: dict[str, Cell] = {
    "verdict": _verdict,
    "import": _seconds_of("import"),
    "compile": _seconds_of("compile"),
    "first": _seconds_of("first"),
    "peak MiB": _of_step("memory", _mebibytes),
    "device MiB": _of_step("device_memory", _mebibytes),
}
TABLES = (TIMED, ONCE)
"""What is timed again and again, and what happens once."""


def _engines(results: Results) -> dict[Key, dict[str, Rows]]:
    """For each table its engines, and of each its rows by phase."""
    found: dict[Key, dict[str, Rows]] = {}
    for key in subjects([*results.rows, *results.problems]):
        engines = found.setdefault(key, {})
        for row in results.rows:
            if row.subject == key:
                engines.setdefault(str(row.engine), {})[row.phase] = row
    return found


def _table(engines: dict[str, Rows], cells: dict[str, Cell]) -> tuple[list[str], list[list[str]]]:
    """Column names and lines of cells."""
    everyone = list(engines.values())
    lines = [[label, *(cell(rows, everyone) for cell in cells.values())] for label, rows in engines.items()]
    return _known(["engine", *cells], lines)


def _known(columns: list[str], lines: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out each column in which nothing is known."""
    known = [n for n in range(len(columns)) if any(line[n] != "-" for line in lines)]
    return [columns[n] for n in known], [[line[n] for n in known] for line in lines]


def _over_baseline(results: Results, key: Key) -> tuple[list[str], list[list[str]]] | None:
    """Column names and lines of the other engines' phases over the baseline's; None if there are none."""
    lines: dict[str, list[str]] = {}
    told = results.baseline and results.baseline.rule
    rule = parse_rule(told) if told else None
    for row in _ratios_of(results, key):
        cells = lines.setdefault(str(row.engine), [str(row.engine), *("-" for _ in REPEATED)])
        cells[1 + REPEATED.index(row.phase)] = _ratio_text(row, rule)
    if results.baseline is None or not lines:
        return None
    return _known([f"over {results.baseline.engine}", *REPEATED], list(lines.values()))


def _ratios_of(results: Results, key: Key) -> list[Ratio]:
    rows = () if results.baseline is None else results.baseline.rows
    return [row for row in rows if row.subject == key and row.phase in REPEATED]


def _ratio_text(row: Ratio, rule: Rule | None) -> str:
    if row.ratio is None or row.low is None or row.high is None:
        return "rounds are missing"
    return f"{ratio_text(row.ratio, row.low, row.high)} {word(row.verdict, row.phase, rule)}"


def ratio_text(ratio: float, low: float, high: float) -> str:
    """A ratio and its interval; near to 1, where per cents are at stake, to a tenth of one."""
    found, least, most = map(ratio_digits, (ratio, low, high))
    return f"{found} ({least} to {most})"


def ratio_digits(ratio: float) -> str:
    """Three digits, zeros too; near to 1 three behind the point; large ones in full, up to a million."""
    if 0.9 <= ratio < 1.1:
        return f"{ratio:.3f}"
    if ratio < NEXT / 10 or ratio >= 999_999.5:
        return f"{ratio:.3g}"
    return _digits(ratio) if ratio < 999.5 else f"{ratio:,.0f}"


def word(verdict: Verdict, phase: Phase, rule: Rule | None) -> str:
    """The verdict; under a rule the same is what the rule allows, which may be much."""
    if verdict == "same" and rule is not None and rule.covers(phase) and rule.beyond > SAME:
        return f"within {100 * rule.beyond:.7g}%"
    return verdict


def _rule_line(results: Results, key: Key) -> str | None:
    """What became of the rule, where there is one."""
    if results.baseline is None or results.baseline.rule is None:
        return None
    told = f"rule {results.baseline.rule} over {results.baseline.engine}"
    rule = parse_rule(results.baseline.rule)
    covered = [row for row in _ratios_of(results, key) if rule.covers(row.phase)]
    if not covered:
        return f"{told}: nothing that it could be held to"
    if missed := not_held(results, rule, key):
        told += f": not held to {', '.join(missed)}, without such timings"
    slower = [f"{row.engine} {row.phase}" for row in covered if row.regression]
    unsure = [f"{row.engine} {row.phase}" for row in covered if row.verdict == "unsure"]
    if slower:
        return f"{told}: REGRESSION: {', '.join(slower)}"
    if unsure:
        return f"{told}: no regression is certain, and none is excluded for {', '.join(unsure)}"
    return f"{told}: no regression"


def _baseline_lines(results: Results, key: Key) -> list[str]:
    """What could not be told over the baseline as there was one process, and what became of the rule."""
    alone = [f"{row.engine} {row.phase}" for row in _ratios_of(results, key) if row.one_process]
    lines = (
        []
        if results.baseline is None or not alone
        else [
            f"unsure over {results.baseline.engine}, as short calls had one process, and what stays with it "
            f"does not show: {', '.join(alone)}; --processes {PROCESSES} tells more"
        ]
    )
    rule = _rule_line(results, key)
    return [*lines, rule] if rule else lines


def outcome_lines(results: Results) -> list[str]:
    """Who has no timing and why, and what became of the rule: what rows alone do not say."""
    lines = []
    for key in _engines(results):
        problems = [_problem_line(problem) for problem in results.problems if problem.subject == key]
        lines += [f"{_title(key)}: {line}" for line in [*problems, *_baseline_lines(results, key)]]
    return lines


def _title(key: Key) -> str:
    network, batch_size, dtype = key
    return f"{network} · batch {batch_size} · {dtype}"


def _below(results: Results, key: Key) -> list[str]:
    """What stands below a table: the limit of each device, what has no timing, and the rule's outcome."""
    timed = any(row.subject == key and row.phase == "step" for row in results.rows)
    limits = [limit for limit in results.limits if limit.subject == key and timed]
    problems = [p for p in results.problems if p.subject == key]
    lines = [_limit_line(limit, results) for limit in limits]
    if timed and not limits:
        lines = [f"no limit: none of these engines has bare matrix products in {key[2]} that were timed"]
    return [*lines, *map(_problem_line, problems), *_baseline_lines(results, key)]


def _limit_line(limit: Limit, results: Results) -> str:
    """The fastest products, and those of the other frameworks: what of a step is their matrix library's."""
    others = [
        f"{framework_of(other.engine)} {seconds_text(median(middles_of(other.step, other.processes)))}"
        for other in results.yardsticks
        if place_of(other) == place_of(limit) and other.engine != limit.products
    ]
    slower = f" ({', '.join(others)})" if others else ""
    forward = {
        framework_of(one.engine): median(middles_of(one.forward, one.processes))
        for one in results.yardsticks
        if place_of(one) == place_of(limit)
    }
    first = min(forward, key=forward.__getitem__, default=framework_of(limit.products))
    by = "" if first == framework_of(limit.products) else f" by {first}"
    return (
        f"limit on {limit.device}: the products of a step take {seconds_text(limit.step)} by "
        f"{framework_of(limit.products)}{slower}, of its forward pass {seconds_text(limit.forward)}{by}; "
        f"a copy of their size {limit.bandwidth / 1e9:.3g} GB/s"
    )


def _problem_line(problem: Problem) -> str:
    phase = f" {problem.phase}" if problem.phase else ""
    return f"{problem.engine}{phase}: {problem.status}: {problem.message}"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(columns), f"| --- |{' ---: |' * (len(columns) - 1)}", *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape.markdown(cell) for cell in cells)} |"
