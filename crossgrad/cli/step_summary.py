"""The summary of a step of GitHub Actions: a file of Markdown, to which each command of the step appends."""

import os
from typing import TYPE_CHECKING

from ..networks.files import reason_of
from .output import note

if TYPE_CHECKING:
    from ..report import Report

VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file."""

LIMIT = 2**20 - 1
"""Bytes of the whole file: GitHub shows nothing of a summary of more than 1 MiB."""


def append_summary(report: "Report") -> None:
    """Append the report to the step's summary, if there is one; that it cannot be written is only noted."""
    from ..formats.markdown import report_markdown_within

    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        with open(path, "ab") as file:
            room = LIMIT - os.fstat(file.fileno()).st_size
            # What is there may end within a line.
            text = report_markdown_within(report, room - 1)
            if text:
                file.write(f"\n{text}".encode(errors="backslashreplace"))
    except (OSError, ValueError) as problem:
        note(f"the step's summary is not written: {path}: {reason_of(problem)}")
        return
    if not text:
        note(f"the step's summary is not written: {path} is full, GitHub shows 1 MiB of it")
