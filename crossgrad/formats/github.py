"""A report as workflow commands, which GitHub Actions turns into annotations.

Every line is a command, the sentence at the end too: the runner looks for
commands in all that a step prints, and a name in a plain line could be one.
It shows ten errors and ten warnings a step, so an engine that is wrong is one
error, whatever the number of its quantities, and comes before all that could not run,
which is told once, whatever the number of cases.
"""

from collections.abc import Iterator

from ..escape import workflow_data, workflow_property
from ..findings import describe, describe_blame
from ..report import CaseReport, Report
from ..text import closing_line
from ..verdict import WRONG
from .complaints import MOST, soft_lines


def report_commands(report: Report) -> str:
    """Errors, then warnings, then the closing line."""
    commands = [command for case in report.cases for command in _wrong(case)]
    commands += _problems(report)
    commands += [command for case in report.cases for command in _warnings(case)]
    commands += [_command("notice", "crossgrad", note) for note in report.notes]
    commands.append(_command("notice", "crossgrad", closing_line(report)))
    return "".join(commands)


def _problems(report: Report) -> Iterator[str]:
    cases: dict[str, list[str]] = {}
    for case in report.cases:
        for problem in case.problems:
            cases.setdefault(problem, []).append(case.title)
    for problem, titles in cases.items():
        more = f" (and in {len(titles) - 1} more)" if len(titles) > 1 else ""
        yield _command("error", titles[0] + more, problem)


def _wrong(case: CaseReport) -> Iterator[str]:
    blamed = {blame.engine: blame for blame in case.blames}
    wrong = [c for c in case.comparisons if c.verdict in WRONG]
    for engine in dict.fromkeys(c.engine for c in wrong):
        lines = [describe_blame(blamed[engine])] if engine in blamed else []
        found = [f"{c.quantity}: {describe(c)}" for c in wrong if c.engine == engine]
        more = [f"and {len(found) - MOST} more: all of them with --format json"] if len(found) > MOST else []
        yield _command("error", f"{case.title}: {engine}", "\n".join([*lines, *found[:MOST], *more]))


def _warnings(case: CaseReport) -> Iterator[str]:
    for run in case.untold:
        yield _command("warning", case.title, f"{run.engine}: {run.status}: {run.message}")
    for line in soft_lines(case):
        yield _command("warning", case.title, line)


def _command(name: str, title: str, message: str) -> str:
    return f"::{name} title={workflow_property(title)}::{workflow_data(message)}\n"
