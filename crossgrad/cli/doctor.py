"""``crossgrad doctor``: what is here, what is missing, and how to get it."""

import os
from typing import Annotated

import typer

from . import exits
from .output import say, write


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Start each engine and run the article's case on every device.")
    ] = False,
) -> None:
    """Show which engines, versions and devices are there, and how to get what is missing."""
    from ..doctor import findings

    for finding in findings():
        mark = "ok     " if finding.present else "missing"
        say(f"{mark}  {finding.name:<14} {finding.detail}\n")
    if not deep:
        return
    from ..checking import check
    from ..text import closing_line, report_text

    report = check("article", isolate=os.name == "posix")  # one that crashes costs its row
    write("\n" + report_text(report))
    say(closing_line(report) + "\n")
    raise typer.Exit(exits.of_verdict(report.verdict))
