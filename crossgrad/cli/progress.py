"""A bar on the terminal while something long runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..checking import Progress


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator["Progress | None"]:
    """A bar on stderr if that is a terminal; None in a pipe."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bar

    from ..escape import terminal

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(description: str, done: int, total: int) -> None:
            bar.update(task, description=escape(terminal(description)), completed=done, total=total)

        yield show
