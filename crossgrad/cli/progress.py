"""A bar on the terminal while something long runs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..words import counted
from .output import note

if TYPE_CHECKING:
    from rich.status import Status

    from ..checking import Progress
    from ..sweep.runner import Progress as SweepProgress

PLAIN_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal."""


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


@contextmanager
def sweep_progress(quiet: bool = False) -> Iterator["SweepProgress"]:
    """Rate, time left and failures so far, on stderr: a bar on a terminal, else a line now and then."""
    if quiet:
        yield lambda done, planned, failures: None
    elif not sys.stderr.isatty():
        yield _plain_lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task, told = bar.add_task("starting", total=None), _Pace()

            def show(done: int, planned: int, failures: int) -> None:
                bar.update(
                    task, description=told.words(done, planned, failures), completed=done, total=planned
                )

            yield show


class Doing:
    """Called with what is being done, in words; without a terminal they are a line now and then."""

    def __init__(self, status: "Status | None", quiet: bool = False) -> None:
        self._status, self._quiet = status, quiet
        self._last = time.monotonic()

    def __call__(self, words: str) -> None:
        now = time.monotonic()
        if self._status is None and not self._quiet and now - self._last >= PLAIN_INTERVAL:
            self._last = now
            note(words)
        if self._status is not None:
            from rich.markup import escape

            from ..escape import terminal

            self._status.update(escape(terminal(words)))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Without its line, for what is written meanwhile: Rich would break that at the terminal's width."""
        if self._status is None:
            yield
            return
        self._status.stop()
        try:
            yield
        finally:
            self._status.start()


@contextmanager
def doing(quiet: bool = False) -> Iterator[Doing]:
    """What is being done, on stderr: a line that changes on a terminal, and in a pipe one now and then."""
    if quiet or not sys.stderr.isatty():
        yield Doing(None, quiet)
        return
    from rich.console import Console

    with Console(stderr=True).status("starting the engines") as status:
        yield Doing(status)


class _Pace:
    """How fast it goes, from the first call on."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def words(self, done: int, planned: int, failures: int) -> str:
        now = time.monotonic()
        began, first = self._began = self._began or (now, done)
        rate = (done - first) / (now - began) if now > began else 0.0
        left = f"{rate:.3g} a second, {_duration((planned - done) / rate)} left, " if rate else ""
        return f"{left}{counted(failures, 'failure')}"


def _plain_lines() -> "SweepProgress":
    told, last = _Pace(), time.monotonic()

    def show(done: int, planned: int, failures: int) -> None:
        nonlocal last
        words, now = told.words(done, planned, failures), time.monotonic()
        if now - last >= PLAIN_INTERVAL:
            last = now
            note(f"{done:,} of {planned:,} cases, {words}")

    return show


def _duration(seconds: float) -> str:
    """As a person says it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
