"""``crossgrad runs``: the sweeps of a directory."""

from pathlib import Path
from typing import Annotated

import typer

from . import exits
from .output import say, write


def runs(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to look: a directory of runs.")
    ] = Path("crossgrad-runs"),
) -> None:
    """List runs: when they were begun, how far they came, and what failed."""
    from ..sweep.listing import listed
    from ..sweep.text import runs_text

    found = list(listed(directory))
    if found:
        write(runs_text(found))
    else:
        say(f"no runs in {directory}: crossgrad sweep makes one\n")
    raise typer.Exit(exits.OK)
