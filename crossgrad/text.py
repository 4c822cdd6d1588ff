"""Reports for people: tables on a terminal, plain text in a pipe or file.

Names and messages may come from files and engines: each is escaped as it
becomes a `Text`, and a plain string would be read as Rich's markup.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .compare import Comparison
from .escape import terminal
from .formats.complaints import complaints
from .formats.rows import COLUMNS, FIGURES, Row, row_of
from .networks.cases import Case
from .report import CaseReport, Report
from .run import OK
from .verdict import AGREE, WRONG

if TYPE_CHECKING:
    from .selftest import Trial

PLAIN_WIDTH = 120
WIDE = frozenset(("engine", "device", "worst quantity", "against"))
"""Columns whose names may be long: they are folded, not cut."""


def report_text(report: Report, to_file: bool = False) -> str:
    """The report as tables, one a case, with what is not in order in words."""
    buffer = io.StringIO()
    console = _console(buffer, to_file)
    for note in report.notes:
        console.print(_shown(f"note: {note}", "yellow"))
    for case in report.cases:
        console.print(_case_table(case))
        for line in complaints(case):
            console.print(_shown(f"  {line}", "red"), soft_wrap=True)
        console.print()
    return buffer.getvalue()


def details_text(report: Report) -> str:
    """Why each verdict was given: every comparison with its error, its floor and its digits."""
    columns = [
        "quantity",
        "engine",
        "largest error",
        "ulp",
        "over floor",
        "digits",
        "verdict",
        "worst element",
    ]
    tables = []
    for case in report.cases:
        rows = [
            [
                c.quantity,
                str(c.engine),
                _figure(c.judgement.max_abs_error),
                _figure(c.judgement.max_ulp),
                _figure(c.judgement.over_floor),
                _figure(c.judgement.digits),
                c.verdict,
                _worst_element(c),
            ]
            for c in case.comparisons
        ]
        tables.append(render_table(f"{case_title(case)} · judged by {case.oracle}", columns, rows))
    return "".join(tables)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _worst_element(comparison: Comparison) -> str:
    found = comparison.judgement
    if found.index is None:
        return found.reason or ""
    place = f"[{', '.join(map(str, found.index))}] " if found.index else ""
    return f"{place}{_figure(found.got)}, expected {_figure(found.expected)} +- {_figure(found.floor)}"


def closing_line(report: Report) -> str:
    """One line that says everything."""
    runs = [run for case in report.cases for run in case.runs]
    engines = dict.fromkeys(str(run.engine) for run in runs if run.status == OK)
    compared = len(report.comparisons)
    wrong = [c for c in report.comparisons if c.verdict in WRONG]
    soft = [c.verdict for c in report.comparisons if c.verdict not in {*WRONG, AGREE}]
    if wrong:
        what = f"{len(wrong)} DISAGREE, first {wrong[0].quantity} ({_pair(wrong[0])})"
    elif not report.ok:
        what = f"FAILED: {_first_problem(report)}"
    else:
        what = "all agree" + "".join(
            f", but {soft.count(verdict)} {verdict}" for verdict in dict.fromkeys(soft)
        )
    return terminal(
        f"{_count(len(report.cases), 'case')}, {_count(len(engines), 'engine')} "
        f"({', '.join(engines) or 'none ran'}), {_count(compared, 'comparison')}: {what} "
        f"[{report.seconds['total']:.1f} s]"
    )


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table as text: first column names, others values."""
    table = _table(title)
    for column in columns:
        table.add_column(_shown(column), overflow="fold")
    for row in rows:
        table.add_row(*(_shown(cell, keep="\n") for cell in row))
    buffer = io.StringIO()
    _console(buffer, to_file=False).print(table)
    return buffer.getvalue()


def case_title(case: Case | CaseReport) -> str:
    """Everything that tells one case from another, in one line."""
    return (
        f"{case.name} · {case.network} · {case.loss} · batch {case.batch_size} · "
        f"lr {case.learning_rate:g} · seed {case.seed} · {case.dtype}"
    )


def _shown(text: str, style: str = "", keep: str = "") -> Text:
    return Text(terminal(text, keep=keep), style=style)


def _table(title: str) -> Table:
    return Table(title=_shown(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _console(buffer: io.StringIO, to_file: bool) -> Console:
    """A console that writes to `buffer` as it would to stdout: colours and width only on a terminal."""
    terminal = sys.stdout.isatty() and not to_file
    width = Console().width if terminal else PLAIN_WIDTH
    return Console(file=buffer, force_terminal=terminal, width=width, highlight=False)


def _case_table(case: CaseReport) -> Table:
    table = _table(case_title(case))
    for column in COLUMNS:
        table.add_column(
            column,
            justify="right" if column in FIGURES else "left",
            overflow="fold" if column in WIDE else "ellipsis",
        )
    for run in case.runs:
        table.add_row(*_cells(row_of(case, run)))
    return table


def _cells(row: Row) -> list[Text]:
    style = "bold red" if row.verdict in WRONG else "green" if row.verdict == AGREE else "yellow"
    cells = zip(COLUMNS, row.cells, strict=True)
    return [_shown(text, style if column == "verdict" else "") for column, text in cells]


def _first_problem(report: Report) -> str:
    return next(
        (f"{case.title}: {case.problems[0]}" for case in report.cases if case.problems), "nothing ran"
    )


def _pair(comparison: Comparison) -> str:
    return f"{comparison.engine} against {comparison.against}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def selftest_text(trials: Sequence["Trial"], figures: Mapping[str, Any]) -> str:
    """The selftest's matrix, mutants by dtype, and its figures with their intervals."""
    dtypes = list(figures["dtypes"])
    rows = []
    for name in dict.fromkeys(t.mutant for t in trials):
        counted = {d: [t for t in trials if (t.mutant, t.dtype) == (name, d) and t.counts] for d in dtypes}
        cells = [
            f"{sum(t.detected for t in found)}/{len(found)}" if found else "-" for found in counted.values()
        ]
        rows.append([name, *cells])
    matrix = render_table("detected of those that count, by mutant", ["mutant", *dtypes], rows)
    labels = {
        "detected": "mutants that count and are detected",
        "placed": "of these, placed where the error enters",
        "recognised": "of the recognisable, diagnosed right",
        "blamed_of_two": "blamed, beside one right function",
        "own_losses": "that are right for a loss of their own",
        "blamed_where_one_is_right": "the others, blamed beside one right function",
        "wrongly_blamed_of_two": "the right function blamed",
        "blamed_of_more": "blamed, beside all right functions",
        "false_alarms": "correct runs called wrong",
        "undecidable": "quantities undecidable in correct runs",
    }
    known = figures["dtypes"]
    rows = [
        [label, *(_share_text(known[d][key]) for d in dtypes)]
        for key, label in labels.items()
        if key in known[dtypes[0]]
    ]
    rows.append(
        ["largest share of the floor in correct runs"]
        + [f"{known[d]['largest_share_of_floor']:.2f}" for d in dtypes]
    )
    return matrix + render_table("figures, with 95 % confidence intervals", ["", *dtypes], rows)


def _share_text(share: Mapping[str, Any]) -> str:
    if not share["of"]:
        return "-"
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{share['hits']}/{share['of']} = {100 * share['share']:.2f} %\n({low:.2f} to {high:.2f} %)"
