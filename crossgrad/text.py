"""Reports for people: tables on a terminal, plain text in a pipe or file."""

import io
import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .compare import AGREE, Comparison
from .networks.cases import Case
from .report import CaseReport, Report, describe
from .run import OK, Run

PLAIN_WIDTH = 110
MOST_DETAILS = 12


def report_text(report: Report, to_file: bool = False) -> str:
    """The report as tables, one a case, with what is not in order in words."""
    buffer = io.StringIO()
    console = _console(buffer, to_file)
    for note in report.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    for case in report.cases:
        console.print(_case_table(case))
        for line in _details(case):
            console.print(Text(f"  {line}", style="red"), soft_wrap=True)
        console.print()
    return buffer.getvalue()


def closing_line(report: Report) -> str:
    """One line that says everything."""
    runs = [run for case in report.cases for run in case.runs]
    engines = dict.fromkeys(str(run.engine) for run in runs if run.status == OK)
    compared = len(report.comparisons)
    wrong = [c for c in report.comparisons if c.verdict != AGREE]
    what = {
        "agree": "all agree",
        "disagree": f"{len(wrong)} DISAGREE, first {wrong[0].quantity} ({_pair(wrong[0])})" if wrong else "",
        "failed": "FAILED: " + _first_problem(report),
    }[report.verdict]
    return (
        f"{_count(len(report.cases), 'case')}, {_count(len(engines), 'engine')} "
        f"({', '.join(engines) or 'none ran'}), {_count(compared, 'comparison')}: {what} "
        f"[{report.seconds['total']:.1f} s]"
    )


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table as text: first column names, others values."""
    table = _table(title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    buffer = io.StringIO()
    _console(buffer, to_file=False).print(table)
    return buffer.getvalue()


def case_title(case: Case | CaseReport) -> str:
    """Everything that tells one case from another, in one line."""
    return (
        f"{case.name} · {case.network} · {case.loss} · batch {case.batch_size} · "
        f"lr {case.learning_rate:g} · seed {case.seed} · {case.dtype}"
    )


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _console(buffer: io.StringIO, to_file: bool) -> Console:
    """A console that writes to `buffer` as it would to stdout: colours and width only on a terminal."""
    terminal = sys.stdout.isatty() and not to_file
    width = Console().width if terminal else PLAIN_WIDTH
    return Console(file=buffer, force_terminal=terminal, width=width, highlight=False)


def _case_table(case: CaseReport) -> Table:
    table = _table(case_title(case))
    for column in ("engine", "device", "worst quantity", "against"):
        table.add_column(column, overflow="fold")
    for column in ("error (ulp)", "of allowed"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    table.add_column("time", justify="right")
    for run in case.runs:
        table.add_row(*_row(case, run))
    return table


def _row(case: CaseReport, run: Run) -> list[Text | str]:
    spent = f"{1000 * sum(run.seconds.values()):.0f} ms" if run.seconds else ""
    compared = case.comparisons_of(run.engine)
    if run.status != OK or not compared:
        status = run.status if run.status != OK else "not compared"
        return [run.engine.label, run.engine.device, "", "", "", "", Text(status, style="yellow"), spent]
    worst = max(compared, key=lambda c: c.judgement.bound_share)
    other = worst.against if worst.engine == run.engine else str(worst.engine)
    agree = all(c.verdict == AGREE for c in compared)
    verdict = Text("agree", style="green") if agree else Text("disagree", style="bold red")
    return [
        run.engine.label,
        run.engine.device,
        worst.quantity,
        other,
        "" if worst.judgement.max_ulp is None else f"{worst.judgement.max_ulp:.3g}",
        "" if worst.judgement.max_abs_error is None else f"{worst.judgement.bound_share:.2g}",
        verdict,
        spent,
    ]


def _details(case: CaseReport) -> list[str]:
    """Problems, reasons of runs that did not happen, then disagreements in data-flow order."""
    lines = list(case.problems)
    lines += [
        f"{run.engine}: {run.message}"
        for run in case.runs
        if run.message and not any(run.message in line for line in lines)
    ]
    wrong = [c for c in case.comparisons if c.verdict != AGREE]
    lines += [f"{c.quantity}: {describe(c)}" for c in wrong[:MOST_DETAILS]]
    if len(wrong) > MOST_DETAILS:
        lines.append(f"and {len(wrong) - MOST_DETAILS} more: all of them with --format json")
    return lines


def _first_problem(report: Report) -> str:
    return next(
        (f"{case.title}: {case.problems[0]}" for case in report.cases if case.problems), "nothing ran"
    )


def _pair(comparison: Comparison) -> str:
    return f"{comparison.engine} against {comparison.against}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
