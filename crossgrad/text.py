"""A check's report for people: its tables, with what is not in order in words, and its closing line."""

import io
from typing import TYPE_CHECKING

from rich.text import Text

from .compare import Comparison
from .escape import terminal
from .formats.complaints import complaints
from .formats.rows import COLUMNS, FIGURES, Row, row_of
from .networks.cases import Case
from .run import BROKEN, OK
from .tables import console_to, print_table, render_table, shown
from .verdict import AGREE, WRONG
from .words import counted, element, listed

if TYPE_CHECKING:
    from .report import CaseReport, Report


def report_text(report: "Report", to_file: bool = False) -> str:
    """The report as tables, one a case, with what is not in order in words."""
    buffer = io.StringIO()
    console = console_to(buffer, to_file)
    for note in report.notes:
        console.print(shown(f"note: {note}", "yellow"))
    for case in report.cases:
        rows = [_cells(row_of(case, run)) for run in case.runs]
        print_table(console, case_title(case), COLUMNS, rows, keys=2, right=FIGURES)
        for line in complaints(case):
            console.print(shown(f"  {line}", "red"), soft_wrap=True)
        console.print()
    return buffer.getvalue()


def details_text(report: "Report") -> str:
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
    figures = f"{_figure(found.got)}, expected {_figure(found.expected)} +- {_figure(found.floor)}"
    return f"{element(found.index)} {figures}".lstrip()


def closing_line(report: "Report") -> str:
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
        f"{counted(len(report.cases), 'case')}, {counted(len(engines), 'engine')} "
        f"({', '.join(engines) or 'none ran'}), {counted(compared, 'comparison')}: {what} "
        f"[{report.seconds['total']:.1f} s]"
    )


def case_title(case: "Case | CaseReport") -> str:
    """Everything that tells one case from another, in one line."""
    named = f"{case.name} · " * (case.name != str(case.network))
    return (
        f"{named}{case.network} · {case.loss} · batch {case.batch_size} · "
        f"lr {case.learning_rate:g} · seed {case.seed} · {case.dtype}"
    )


def _cells(row: Row) -> list[Text]:
    style = "bold red" if row.verdict in WRONG else "green" if row.verdict == AGREE else "yellow"
    cells = zip(COLUMNS, row.cells, strict=True)
    return [shown(text, style if column == "verdict" else "") for column, text in cells]


def _first_problem(report: "Report") -> str:
    found = [f"{case.title}: {problem}" for case in report.cases for problem in case.problems]
    more = f", and {len(found) - 1:,} more" * (len(found) > 1)
    return f"{found[0]}{more}" if found else "nothing ran"


def _pair(comparison: Comparison) -> str:
    return f"{comparison.engine} against {comparison.against}"
