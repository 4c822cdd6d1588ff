"""A report as Markdown: a table a case, and below it what is not in order."""

from ..escape import markdown
from ..findings import FAILED, ORDER
from ..report import CaseReport, Report
from ..text import case_title, closing_line
from ..verdict import WRONG
from .complaints import complaints
from .rows import COLUMNS, FIGURES, row_of


def report_markdown(report: Report) -> str:
    """The whole report."""
    return _head(report) + "".join(map(_section, report.cases))


def report_markdown_within(report: Report, size: int) -> str:
    """The report in at most `size` bytes of UTF-8; of a longer one the worst cases, which a sentence says.

    Nothing at all if there is no room for that sentence.
    """
    whole = report_markdown(report)
    if _bytes(whole) <= size:
        return whole
    sections = [_section(case) for case in sorted(report.cases, key=lambda case: -ORDER.index(case.verdict))]
    found = _head(report)
    if _bytes(found + _cut(0, len(sections))) > size:
        found = ""
    shown = 0
    for section in sections:
        if _bytes(found + section + _cut(shown + 1, len(sections))) > size:
            break
        found += section
        shown += 1
    found += _cut(shown, len(sections))
    return found if _bytes(found) <= size else ""


def _head(report: Report) -> str:
    lines = [f"## crossgrad: {report.verdict}", markdown(closing_line(report))]
    lines += [f"Note: {markdown(note)}" for note in report.notes]
    return "\n\n".join(lines) + "\n\n"


def _section(case: CaseReport) -> str:
    rules = ["--:" if column in FIGURES else "---" for column in COLUMNS]
    rows = [
        [_cell(*pair) for pair in zip(COLUMNS, row_of(case, run).cells, strict=True)] for run in case.runs
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (COLUMNS, rules, *rows))
    listed = "".join(f"- {markdown(line).strip()}\n" for line in complaints(case))
    return f"### {markdown(case_title(case))}\n\n{table}\n\n" + (f"{listed}\n" if listed else "")


def _cell(column: str, text: str) -> str:
    if column in FIGURES:
        return text  # our own digits: backslashes would only be in the way of who reads the source
    return f"**{text}**" if column == "verdict" and text in {*WRONG, FAILED} else markdown(text)


def _cut(shown: int, cases: int) -> str:
    return (
        f"The summary ends here, for it may not be longer: {shown:,} of {cases:,} cases are above, "
        "the worst first. `crossgrad check --format json` has all of them.\n"
    )


def _bytes(text: str) -> int:
    return len(text.encode(errors="backslashreplace"))
