"""``crossgrad doctor``: what is here, what is missing, and how to get it."""

from typing import Annotated

import typer

from . import exits


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Start each engine and run the article's case on every device.")
    ] = False,
) -> None:
    """Show which engines, versions and devices are there, and how to get what is missing."""
    from ..doctor import findings

    for finding in findings():
        mark = "ok     " if finding.present else "missing"
        typer.echo(f"{mark}  {finding.name:<14} {finding.detail}")
    if not deep:
        return
    from ..checking import check
    from ..text import closing_line, report_text

    report = check("article")
    typer.echo("\n" + report_text(report) + closing_line(report))
    raise typer.Exit(exits.BY_VERDICT[report.verdict])
