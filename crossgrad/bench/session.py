"""A whole benchmark: its plan measured item by item, what was found so far kept whatever happens."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..backends.variables import KERNEL_VARIABLES
from ..environment import environment, usable_cores
from ..pythons import told
from ..words import counted
from .lanes import Lanes
from .plan import Item
from .results import Results, Settings
from .runner import Measured, Say, measure
from .statistics import noise_notes, width_note

BUSY = 0.5
"""Load average for each core from which a machine counts as busy when a benchmark begins."""


class Session:
    """Measures a plan; `results` is whole after every item.

    Parameters
    ----------
    lanes
        The engines.

    Attributes
    ----------
    notes
        What is to be said before it begins.
    """

    def __init__(self, plan: Sequence[Item], lanes: Lanes, settings: Settings) -> None:
        self._plan, self._lanes, self._settings = plan, lanes, settings
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._environment = environment(lanes.environment())
        self._measured: list[Measured] = []
        engines = self._environment["backends"]
        self.notes = (*_busy_at_start(), *self._limited(), *steered(engines), *told(engines))

    def run(self, say: Say = lambda words: None) -> Iterator[Results]:
        """Measure; yield what was found for each item as it is finished.

        Raises `KeyboardInterrupt` after what could be kept of an item that was interrupted.
        """
        for number, item in enumerate(self._plan, start=1):
            about = f"{number}/{len(self._plan)} {item.network} batch {item.batch_size} {item.dtype}"
            found = measure(item, self._lanes, self._settings, partial(_say_about, say, about))
            self._measured.append(found)
            notes = [*found.notes, *noise_notes(found.rows), *width_note(found.rows)]
            yield self._results([found], notes)
            if found.interrupted:
                raise KeyboardInterrupt

    @property
    def results(self) -> Results:
        """All that was found so far."""
        notes = list(self.notes)
        for found in self._measured:
            notes += [*found.notes, *noise_notes(found.rows)]
        notes += width_note(row for found in self._measured for row in found.rows)
        return self._results(self._measured, [*notes, *([self.missing] if self.missing else [])])

    @property
    def missing(self) -> str | None:
        """What of the plan was not measured, in words."""
        begun, planned = len(self._measured), len(self._plan)
        parts = (
            [f"{planned - begun} of {counted(planned, 'network')} not measured"] if begun < planned else []
        )
        if begun and self._measured[-1].interrupted:
            parts.append(f"{self._plan[begun - 1].network} broken off")
        return f"not finished: {', '.join(parts)}" if parts else None

    @property
    def lacks(self) -> bool:
        """Whether an engine or device asked for by name has no row of a network that was measured."""
        selection = self._lanes.selection
        for found in self._measured:
            engines = {row.engine.label for row in found.rows}
            devices = {row.device for row in found.rows}
            if {*selection.named_backends} - engines or {*selection.named_devices} - devices:
                return True
        return False

    def _limited(self) -> Iterator[str]:
        found = self._environment["thread_variables"]
        if found and self._settings.threads is None:
            told = " ".join(f"{name}={value}" for name, value in found.items())
            yield f"{told}: some engines use as many threads, others what they find; --threads N is for all"

    def _results(self, measured: Sequence[Measured], notes: Sequence[str]) -> Results:
        return Results(
            began=self._began,
            environment=self._environment,
            settings=self._settings,
            limits=tuple(limit for found in measured for limit in found.limits),
            yardsticks=tuple(yardstick for found in measured for yardstick in found.yardsticks),
            rows=tuple(row for found in measured for row in found.rows),
            problems=tuple(problem for found in measured for problem in found.problems),
            notes=tuple(notes),
        )


def _say_about(say: Say, about: str, words: str) -> None:
    say(f"{about}: {words}")


def steered(engines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say which variables choose an engine's kernels: its library by itself may choose faster ones."""
    chosen = dict[str, list[str]]()
    for name, about in engines.items():
        found = about.get("variables", {})
        words = " ".join(f"{key}={value}" for key, value in found.items() if key in KERNEL_VARIABLES)
        if words:
            chosen.setdefault(words, []).append(name)
    for words, names in chosen.items():
        who = " and ".join(names)
        yield f"{words}, which {who} may obey: without, a matrix library chooses its kernels itself"


def _busy_at_start() -> Iterator[str]:
    cores = usable_cores()
    if cores and hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * cores:
        load = os.getloadavg()[0]
        yield f"the machine was busy when this began: a load of {load:.1f} on {cores} cores"
