"""A check's report, written in the form that was asked for."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..networks.errors import InvalidInput
from . import exits
from .options import ReportFormat
from .output import deliver, require_output, say
from .step_summary import append_summary

if TYPE_CHECKING:
    from ..report import Report


def require_deliverable(
    form: ReportFormat, output: Path | None, details: bool, read: Iterable[Path] = ()
) -> None:
    """Raise `InvalidInput` before anything runs if the report could not go where and as it is to go."""
    if details and form is not ReportFormat.text:
        raise InvalidInput(f"--details goes with --format text: {form} has every quantity, or no room for it")
    if form is ReportFormat.github and output is not None:
        raise InvalidInput(
            f"-o {output} with --format github: GitHub Actions reads commands from stdout only; "
            "leave -o out, or write --format markdown to the file"
        )
    require_output(output, read, form)


def deliver_report(
    report: "Report", form: ReportFormat, output: Path | None, *, details: bool, quiet: bool
) -> int:
    """Write the report, and the closing line where the form has no room for it; the code is `deliver`'s."""
    from ..text import closing_line

    code = deliver(_rendered(report, form, output, details, quiet), output)
    if form is ReportFormat.github:
        append_summary(report)
    if form is ReportFormat.text if output is None else code == exits.OK:
        say(closing_line(report) + "\n")
    return code


def _rendered(report: "Report", form: ReportFormat, output: Path | None, details: bool, quiet: bool) -> str:
    if form is ReportFormat.json:
        return report.to_json() + "\n"
    if form is ReportFormat.junit:
        from ..formats.junit import report_junit

        return report_junit(report)
    if form is ReportFormat.github:
        from ..formats.github import report_commands

        return report_commands(report)
    if form is ReportFormat.markdown:
        from ..formats.markdown import report_markdown

        return report_markdown(report)
    from ..text import closing_line, details_text, report_text

    text = "" if quiet and output is None else report_text(report, to_file=output is not None)
    text += details_text(report) if details else ""
    return text if output is None else f"{text}{closing_line(report)}\n"
