"""Reports for people: tables on a terminal, plain text in a pipe or file.

Names and messages may come from files and engines: each is escaped as it
becomes a `Text`, and a plain string would be read as Rich's markup.
"""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from .compare import Comparison
from .escape import terminal
from .formats.complaints import complaints
from .formats.rows import COLUMNS, FIGURES, Row, row_of
from .networks.cases import Case
from .report import CaseReport, Report
from .run import BROKEN, OK
from .verdict import AGREE, WRONG
from .words import listed

if TYPE_CHECKING:
    from .selftest import Trial

PLAIN_WIDTH = 120
MARGIN, GAP = 2, 3
"""Columns of the screen that a table takes beside its cells: at its edges, and between two of them."""


def report_text(report: Report, to_file: bool = False) -> str:
    """The report as tables, one a case, with what is not in order in words."""
    buffer = io.StringIO()
    console = _console(buffer, to_file)
    for note in report.notes:
        console.print(_shown(f"note: {note}", "yellow"))
    for case in report.cases:
        rows = [_cells(row_of(case, run)) for run in case.runs]
        _print_table(console, case_title(case), COLUMNS, rows, keys=2, right=FIGURES)
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
        tables.append(render_table(f"{case_title(case)} · judged by {case.oracle}", columns, rows, keys=2))
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
        lost = dict.fromkeys(str(run.engine) for run in runs if run.status in BROKEN)
        what = f"{len(wrong)} DISAGREE, first {wrong[0].quantity} ({_pair(wrong[0])})"
        what += f", and {listed(list(lost))} failed" if lost else ""
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


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], keys: int = 1) -> str:
    """A plain table as text: the first columns, `keys` of them, tell a row from others."""
    buffer = io.StringIO()
    console = _console(buffer, to_file=False)
    cells = [[_shown(cell, keep="\n") for cell in row] for row in rows]
    _print_table(console, title, columns, cells, keys)
    return buffer.getvalue()


def case_title(case: Case | CaseReport) -> str:
    """Everything that tells one case from another, in one line."""
    named = f"{case.name} · " * (case.name != str(case.network))
    return (
        f"{named}{case.network} · {case.loss} · batch {case.batch_size} · "
        f"lr {case.learning_rate:g} · seed {case.seed} · {case.dtype}"
    )


def _shown(text: str, style: str = "", keep: str = "") -> Text:
    return Text(terminal(text, keep=keep), style=style)


def _print_table(
    console: Console,
    title: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Text]],
    keys: int,
    right: frozenset[str] = frozenset(),
) -> None:
    """The title in one line, however narrow the table below it is."""
    if title:
        console.print(_shown(title, "bold"), soft_wrap=True)
    for table in _fitting(names, rows, console.width, keys, right):
        console.print(table)


def _fitting(
    names: Sequence[str],
    rows: Sequence[Sequence[Text]],
    width: int,
    keys: int,
    right: frozenset[str],
) -> Iterator[Table]:
    """The table; or in turn as many of its columns as fit beside its keys, so that no figure is cut."""
    columns = zip([_shown(name) for name in names], *rows, strict=True)
    widths = [max(cell_len(line) for cell in cells for line in cell.plain.split("\n")) for cells in columns]
    for group in _groups(widths, width, min(keys, len(widths))):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for index in group:
            side: JustifyMethod = "right" if names[index] in right else "left"
            table.add_column(_shown(names[index]), justify=side, overflow="fold")
        for row in rows:
            table.add_row(*(row[index] for index in group))
        yield table


def _groups(widths: Sequence[int], available: int, keys: int) -> list[list[int]]:
    """Columns that fit beside each other, by their numbers; the first `keys` in every group."""
    groups = [list(range(keys))]
    for index in range(keys, len(widths)):
        beside = [*groups[-1], index]
        if len(groups[-1]) > keys and sum(widths[i] + GAP for i in beside) > available - MARGIN + GAP:
            groups.append(list(range(keys)))
        groups[-1].append(index)
    return groups


def _console(buffer: io.StringIO, to_file: bool) -> Console:
    """A console that writes to `buffer` as it would to stdout: colours and width only on a terminal."""
    terminal = sys.stdout.isatty() and not to_file
    width = Console().width if terminal else PLAIN_WIDTH
    return Console(file=buffer, force_terminal=terminal, width=width, highlight=False)


def _cells(row: Row) -> list[Text]:
    style = "bold red" if row.verdict in WRONG else "green" if row.verdict == AGREE else "yellow"
    cells = zip(COLUMNS, row.cells, strict=True)
    return [_shown(text, style if column == "verdict" else "") for column, text in cells]


def _first_problem(report: Report) -> str:
    found = [f"{case.title}: {problem}" for case in report.cases for problem in case.problems]
    more = f", and {len(found) - 1:,} more" * (len(found) > 1)
    return f"{found[0]}{more}" if found else "nothing ran"


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
