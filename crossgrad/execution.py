"""Where engines run: in this process, for debuggers, or each in a process of its own.

An executor starts a case on all its engines and gives the runs when asked;
between the two the caller may work on something else, such as the case's oracle.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, NoReturn, Protocol, Self

from .backends.base import device_name
from .candidates import CandidateFile, CandidateFunction, NotLoaded
from .engines import EngineId, Seen, Selection, candidate_id, select_engines, wanted_backends
from .environment import describe
from .networks.cases import Case
from .networks.errors import InvalidInput
from .pythons import HERE, Pythons, to_load
from .run import Run, place_in, run_candidate, run_engine, summary_of
from .workers.limits import Limits
from .workers.pool import Lane, Pool
from .workers.tasks import CaseTask
from .workers.wire import Description, PackedCase, packed, settled

Began = Callable[[EngineId], None]
"""Called with each engine as it begins, or as its result is waited for."""

Given = Mapping[str, CandidateFunction | CandidateFile]
"""Candidates by name."""

Finish = Callable[[Began], tuple[Run, ...]]
"""Gives the runs of a case that was started, in the order of the engines."""


class Executor(Protocol):
    """Runs cases on the engines of a selection.

    Attributes
    ----------
    ahead
        Cases that may be started before the runs of the first are asked for.
    """

    ahead: int

    @property
    def selection(self) -> Selection: ...

    @property
    def runs_a_case(self) -> int: ...

    def start(self, case: Case) -> Finish: ...

    def run_on(self, engine: EngineId, case: Case) -> Run:
        """Run a case on one engine of the selection alone."""
        ...

    def environment(self) -> dict[str, Any]:
        """What each engine that could be loaded says of itself, by backend."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class InProcess:
    """Engines in this process, one after the other."""

    ahead = 0

    def __init__(
        self,
        backends: Sequence[str] | None,
        devices: Sequence[str] | None,
        candidates: Given,
    ) -> None:
        require_free(candidates, [name for name, _ in wanted_backends(backends)])
        self._selection = select_engines(backends, devices)
        self._candidates = {name: loaded(found) for name, found in candidates.items()}

    @property
    def selection(self) -> Selection:
        return self._selection

    @property
    def runs_a_case(self) -> int:
        return len(self._selection.engines) + len(self._candidates)

    def start(self, case: Case) -> Finish:
        def finish(began: Began) -> tuple[Run, ...]:
            runs: list[Run] = []
            for engine in self.selection.engines:
                began(engine.id)
                runs.append(run_engine(case, engine))
            for name, candidate in self._candidates.items():
                began(candidate_id(name))
                runs.append(run_candidate(case, name, candidate))
            return tuple(runs)

        return finish

    def run_on(self, engine: EngineId, case: Case) -> Run:
        (chosen,) = (one for one in self.selection.engines if one.id == engine)
        return run_engine(case, chosen)

    def environment(self) -> dict[str, Any]:
        return {e.backend.name: describe(e.backend) for e in self.selection.engines if e.backend}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Isolated:
    """Each engine in a process of its own; all start at once, so that their imports overlap.

    Cases are queued before the engines have said what they see, for the first
    variant and device of each where none was named: no engine waits for the
    import of another. Candidates that are functions, not files, run in this process.
    """

    def __init__(
        self,
        backends: Sequence[str] | None,
        devices: Sequence[str] | None,
        candidates: Given,
        limits: Limits,
        jobs: int = 1,
        pythons: Pythons = HERE,
    ) -> None:
        wanted = wanted_backends(backends, pythons)
        places = [device_name(text) for text in devices or ()] or [""]
        self.ahead = 4 * jobs
        require_free(candidates, [name for name, _ in wanted])
        self._wanted, self._candidates = (backends, devices), dict(candidates)
        self._pythons = pythons
        self._variant_named = any(variant for _, variant in wanted)
        self._selection: Selection | None = None
        self._lanes: dict[EngineId, Lane] = {}
        self._lane_of: dict[EngineId, EngineId] = {}
        self._used: set[EngineId] = set()
        self._pool = Pool(limits, jobs)
        try:
            for (name, variant), place in product(wanted, places):
                self._open(EngineId(name, variant or "", place))
            for name, found in candidates.items():
                if isinstance(found, CandidateFile):
                    self._lanes[candidate_id(name)] = self._pool.open(**_loads(name, found))
        except BaseException:  # Ctrl-C too
            self._pool.close()
            raise

    @property
    def selection(self) -> Selection:
        """The engines; waits until their processes have said what they see."""
        if self._selection is None:
            selection = select_engines(*self._wanted, self._see, self._pythons)
            for engine in selection.engines:
                self._lane_of[engine.id] = self._lane_for(engine.id)
            self._used = {*self._lane_of.values(), *map(candidate_id, self._candidates)}
            self._selection = selection
        return self._selection

    @property
    def runs_a_case(self) -> int:
        return len(self.selection.engines) + len(self._candidates)

    def start(self, case: Case) -> Finish:
        if self._variant_named:
            self.selection  # noqa: B018 - such a variant may not exist, and nothing is to run then
        used, content = self._used or self._lanes, packed(case)
        started = {at: self._submit(at, content) for at in self._lanes if at in used}

        def finish(began: Began) -> tuple[Run, ...]:
            for engine in self.selection.engines:
                at = self._lane_of[engine.id]
                if at not in started:  # a device that only the engine's own process told of
                    started[at] = self._submit(at, content)
            runs: list[Run] = []
            for engine in self.selection.engines:
                began(engine.id)
                run = started[self._lane_of[engine.id]].result()
                runs.append(replace(run, engine=engine.id))
            for name, candidate in self._candidates.items():
                began(candidate_id(name))
                if isinstance(candidate, CandidateFile):
                    runs.append(started[candidate_id(name)].result())
                else:
                    runs.append(run_candidate(case, name, candidate))
            return tuple(runs)

        return finish

    def run_on(self, engine: EngineId, case: Case) -> Run:
        self.selection  # noqa: B018 - by which lanes are known
        return replace(self._submit(self._lane_of[engine], packed(case)).result(), engine=engine)

    def environment(self) -> dict[str, Any]:
        found = {engine.id.backend: self._described(engine.id.backend) for engine in self.selection.engines}
        return {name: dict(seen.environment) for name, seen in found.items() if seen.environment is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()

    def _open(self, at: EngineId) -> None:
        if at not in self._lanes:
            self._lanes[at] = self._pool.open(**to_load(at.backend, self._pythons))

    def _submit(self, at: EngineId, case: PackedCase) -> "Future[Run]":
        lane = self._lanes[at]
        return self._pool.submit(lane, CaseTask(at, case, partial="function" in lane.loads))

    def _described(self, name: str) -> Description:
        """What a process of this backend found: one that could load it, if there is one."""
        found = [lane.description.result() for at, lane in self._lanes.items() if at.backend == name]
        return next((description for description in found if description.problem is None), found[0])

    def _see(self, name: str) -> Seen:
        found = self._described(name)
        return Seen(found.variants, found.devices, found.problem, seconds=found.seconds)

    def _lane_for(self, engine: EngineId) -> EngineId:
        """The lane that runs an engine: opened under its name, or for the first variant or device."""
        found = self._described(engine.backend)
        for at in self._lanes:
            if at.backend == engine.backend and settled(at, found) == engine:
                return at
        self._open(engine)
        return engine


def open_executor(
    backends: Sequence[str] | None,
    devices: Sequence[str] | None,
    candidates: Given,
    isolate: bool,
    limits: Limits | None = None,
    jobs: int = 1,
    pythons: Pythons = HERE,
) -> Executor:
    """The executor asked for, with its engines on the way.

    Raises
    ------
    InvalidInput
        If a backend, variant or device has an unknown name, a candidate that of an engine, or what is given
        is for processes of their own and there are none.
    """
    if isolate and os.name != "posix":
        raise InvalidInput("engines in processes of their own need Linux or macOS: use --no-isolate")
    if pythons and not isolate:
        raise InvalidInput(
            "engines of another Python need processes of their own: isolate=True, or no --no-isolate"
        )
    if limits is not None and not isinstance(limits, Limits):
        raise InvalidInput(f"limits is {limits!r}: expected crossgrad.Limits, as in Limits(running=10)")
    if limits is not None and not isolate:
        raise InvalidInput(f"{limits} is for engines in processes of their own: isolate=True")
    if not isolate:
        return InProcess(backends, devices, candidates)
    return Isolated(backends, devices, candidates, limits or Limits(), jobs, pythons)


@contextmanager
def candidate_process(
    file: CandidateFile, limits: Limits | None, isolate: bool
) -> Iterator[Callable[[Case], Run]]:
    """What runs a file's function, case after case; in a process of its own if `isolate`."""
    if not isolate:
        yield partial(run_candidate, name=file.name, candidate=loaded(file))
        return
    engine = candidate_id(file.name)
    with Pool(limits or Limits()) as pool:
        lane = pool.open(**_loads(file.name, file))
        yield lambda case: pool.submit(lane, CaseTask(engine, packed(case), partial=True)).result()


def _loads(name: str, file: CandidateFile) -> dict[str, Any]:
    return {"name": name, "file": str(file.file), "function": file.function, "arrays": file.backend}


def loaded(candidate: CandidateFunction | CandidateFile) -> CandidateFunction:
    """A candidate in this process; one that cannot be loaded fails when it is called."""
    if not isinstance(candidate, CandidateFile):
        return candidate
    try:
        return CandidateFunction(candidate.load(), candidate.backend)
    except (Exception, SystemExit) as error:
        problem = NotLoaded(summary_of(error) + place_in(candidate.file, error))

    def fail(*_: Any) -> NoReturn:
        raise problem

    return CandidateFunction(fail)


def require_free(candidates: Iterable[str], backends: Iterable[str]) -> None:
    """Raise `InvalidInput` if a candidate has the name of an engine, or of the judge."""
    taken = set(backends)
    for name in candidates:
        if name.partition(":")[0] == "oracle":
            raise InvalidInput(f"candidate {name!r}: the judge has this name, choose another")
        if name in taken:
            raise InvalidInput(f"candidate {name!r}: an engine has this name, choose another")
