"""A process for each engine, started one after the other, and what it is asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import escape
from ..engines import EngineId, Seen, Selection, select_engines
from ..networks.cases import Case
from ..networks.errors import shortened
from ..networks.memory import available_bytes
from ..pythons import HERE, Pythons, to_load
from ..run import MISSING, PROTOCOL_ERROR, Run
from ..workers.limits import Limits
from ..workers.pool import Lane, Pool
from ..workers.tasks import AgainTask, Ended, HoldTask, OrderTask
from ..workers.wire import packed
from .results import MOST

YARDSTICK = EngineId("numpy", "manual", "cpu")
"""Whose matrix products are timed on the CPU even where it is not asked for: a limit needs more than one."""


@dataclass(frozen=True)
class Contender:
    """An engine with a process of its own."""

    id: EngineId
    lane: Lane
    problem: str | None
    asked_for: bool = True

    @property
    def status(self) -> str:
        """Of its runs, if it has a problem: what its process ended with, or that it is missing."""
        loaded = self.lane.description.result()
        return MISSING if loaded.problem is None else loaded.status

    @property
    def import_seconds(self) -> float:
        return self.lane.description.result().seconds


class Lanes:
    """The engines of a benchmark. Use it as a context manager: leaving it ends their processes.

    Parameters
    ----------
    cores
        How many each may use; all if None.
    pythons
        Those that names of backends may begin with.

    Attributes
    ----------
    available
        Bytes of memory that there were with all engines loaded and none holding a case, or None where the
        system does not say. Later some of what is not available is theirs, kept for the next case.

    Raises
    ------
    InvalidInput
        If a backend, variant or device has an unknown name.
    """

    def __init__(
        self,
        backends: Sequence[str] | None,
        devices: Sequence[str] | None,
        limits: Limits,
        cores: int | None = None,
        pythons: Pythons = HERE,
    ) -> None:
        self._cores, self._pythons = cores, pythons
        self._first: dict[str, Lane] = {}
        self._pool = Pool(limits)
        try:
            self.selection: Selection = select_engines(backends, devices, self._see, pythons)
            self.engines = tuple(self._engines())
            self.available = available_bytes()
        except BaseException:
            self._pool.close()
            raise

    def __enter__(self) -> "Lanes":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()

    def environment(self) -> dict[str, Any]:
        """What each engine that could be loaded says of itself, by backend."""
        told = {engine.id.backend: engine.lane.description.result().environment for engine in self.engines}
        return {name: _fit(environment) for name, environment in told.items() if environment is not None}

    @property
    def defaults(self) -> dict[str, str]:
        """Each backend's default variant, the first."""
        seen = {name: lane.description.result().variants for name, lane in self._first.items()}
        return {name: variants[0] for name, variants in seen.items() if variants}

    def hold(self, engine: Contender, case: Case, products: bool) -> tuple[Run, dict[str, Any]]:
        """Have a case compiled, run and kept; see `workers.held.Held.begin`.

        Raises `Ended`, also if it gives times or sizes that there cannot be.
        """
        task = HoldTask(engine.id, packed(case), products)
        run, found = self._pool.submit(engine.lane, task).result()
        for part, seconds in found.get("parts", {}).items():
            _require_possible(f"seconds of {shortened(repr(part))}", seconds)
        if found.get("copied_bytes") is not None:
            _require_possible("copied_bytes", found["copied_bytes"], whole=True)
        return run, found

    def seconds(self, engine: Contender, what: str, calls: int) -> float:
        """Time so many calls of what is held; raises `Ended`, also if that is no time."""
        found = self._order(engine, "time", what=what, calls=calls)
        _require_possible("seconds", found)
        return float(found)

    def again(self, engine: Contender) -> tuple[Run | None, float | None]:
        """What was timed, run once more, and the forward pass's loss: no longer what was checked, or None.

        Raises `Ended`.
        """
        found: tuple[Run | None, float | None] = self._pool.submit(engine.lane, AgainTask(engine.id)).result()
        return found

    def memory(self, engine: Contender) -> dict[str, int | None]:
        """Most memory during a step; raises `Ended`, also if that is no size."""
        found: dict[str, int | None] = self._order(engine, "weigh")
        if not isinstance(found, dict):
            raise Ended(PROTOCOL_ERROR, f"no sizes: {shortened(found)}", with_it=False)
        for size in found.values():
            if size is not None:
                _require_possible("bytes", size, whole=True)
        return found

    def renew(self, engines: Iterable[Contender]) -> None:
        """Start new processes for engines, all at once; what the old ones held is gone."""
        for engine in engines:
            self._pool.renew(engine.lane)

    def release(self, engine: Contender) -> None:
        """Let go of what is held; raises `Ended`."""
        self._order(engine, "release")

    def _order(self, engine: Contender, do: str, **words: Any) -> Any:
        return self._pool.submit(engine.lane, OrderTask(engine.id, do, words)).result()

    def _see(self, name: str) -> Seen:
        """Start a backend's first process, alone, so that its import is timed undisturbed."""
        if name not in self._first:
            self._first[name] = self._open(name)
        found = self._first[name].description.result()
        return Seen(found.variants, found.devices, found.problem, seconds=found.seconds)

    def _open(self, name: str) -> Lane:
        lane = self._pool.open(**to_load(name, self._pythons), cores=self._cores)
        lane.description.result()
        return lane

    def _engines(self) -> list[Contender]:
        unused = dict(self._first)
        found = []
        for chosen in self.selection.engines:
            name = chosen.id.backend
            lane = unused.pop(name, None)
            if lane is None:
                lane = self._first[name] if chosen.problem else self._open(name)
            found.append(Contender(chosen.id, lane, chosen.problem))
        on_cpu = any(engine.id.device == "cpu" and not engine.problem for engine in found)
        if on_cpu and YARDSTICK not in {engine.id for engine in found}:
            found.append(Contender(YARDSTICK, self._open(YARDSTICK.backend), None, asked_for=False))
        return found


def _fit(found: Any) -> Any:
    """What an engine says of itself, fit for UTF-8: a path may not be, and no result would be written."""
    if isinstance(found, str):
        return escape.utf8(found)
    if isinstance(found, Mapping):
        return {_fit(key): _fit(value) for key, value in found.items()}
    return [_fit(value) for value in found] if isinstance(found, list) else found


def _require_possible(what: str, found: object, whole: bool = False) -> None:
    """Raise `Ended` for what a program's own clock, or its device, cannot have found."""
    if isinstance(found, int if whole else float | int) and 0 <= found <= MOST:
        return
    told = f"its program gives {shortened(repr(found))} for {what}: expected a number from 0 on, below 2**63"
    raise Ended(PROTOCOL_ERROR, told, with_it=False)
