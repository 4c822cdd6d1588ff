"""``crossgrad show``: the summary of a run, or its records."""

import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ..escape import terminal
from ..networks.errors import InvalidInput
from ..networks.files import reason_of, written_whole
from . import options
from .output import deliver, note, to_stdout

if TYPE_CHECKING:
    from ..sweep.records import Record


class Form(StrEnum):
    text = "text"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a sweep.")],
    failed: Annotated[
        bool, typer.Option("--failed", help="Only cases that are not in order, and all of them.")
    ] = False,
    form: Annotated[
        Form, typer.Option("--format", help="text is a summary, the others hold records.")
    ] = Form.text,
    output: options.Output = None,
) -> None:
    """Show a run: its summary, or all of its records as JSON, CSV or Parquet."""
    if output is not None and _is_of(run, output):
        raise InvalidInput(f"{output} is the run's own file: name another one")
    if form is Form.text:
        raise typer.Exit(_show_text(run, failed, output))
    if form is Form.parquet and output is None:
        raise InvalidInput("parquet is no text: name a file by -o FILE")
    records = _records(run, failed)
    try:
        if form is Form.parquet and output is not None:
            from ..sweep.tables import write_parquet

            with written_whole(output) as place:
                write_parquet(place, records)
        elif output is None:
            with to_stdout():
                _write(sys.stdout, form, run, records)
        else:
            with written_whole(output) as place, open(place, "w", encoding="utf-8", newline="") as file:
                _write(file, form, run, records)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"cannot write {output}: {reason_of(error)}") from None


def _is_of(run: Path, file: Path) -> bool:
    """Whether a file to write is one of the run's: its records would be gone before they are read."""
    from ..sweep.info import RUN_FILE
    from ..sweep.store import RECORDS_FILE

    return os.path.realpath(file) in {os.path.realpath(run / name) for name in (RUN_FILE, RECORDS_FILE)}


def _show_text(run: Path, failed: bool, output: Path | None) -> int:
    from ..sweep.info import read_info
    from ..sweep.store import read_records
    from ..sweep.summary import summarise
    from ..sweep.text import closing_line, failures_text, summary_text

    info = read_info(run)
    if info.mixture is not None:
        note(f"note: {info.mixture}")
    found = summarise(info, read_records(run, note))
    text = failures_text(found) if failed else summary_text(run, info, found)
    closing = closing_line(run, found)
    return deliver(f"{text}\n{terminal(closing)}\n", output)


def _records(run: Path, failed: bool) -> "Iterator[Record]":
    from ..sweep.store import read_records

    return (record for record in read_records(run, note) if not (failed and record.in_order))


def _write(file: TextIO, form: Form, run: Path, records: "Iterator[Record]") -> None:
    from ..sweep.tables import write_csv, write_json

    if form is Form.csv:
        write_csv(file, records)
    else:
        from ..sweep.info import read_info

        write_json(file, read_info(run), records)
    file.flush()
