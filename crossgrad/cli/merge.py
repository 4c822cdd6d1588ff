"""``crossgrad merge``: the shards of a sweep, in one run."""

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .output import note
from .summaries import show_summary


def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of sweeps of one plan.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="A new directory for all of them.")
    ],
    form: options.FormatOption = options.Format.text,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the closing line.")] = False,
) -> None:
    """Join the shards of a sweep; exit code 3 if cases are missing, which sweep --resume runs."""
    from ..sweep.merge import merge as merge_runs

    merge_runs(runs, output, note)
    raise typer.Exit(show_summary(output, form, quiet, whole=True))
