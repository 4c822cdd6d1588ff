"""Where engines run: in this process, for debuggers, or each in a process of its own.

An executor starts a case on all its engines and gives the runs when asked;
between the two the caller may work on something else, such as the case's oracle.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from .candidates import Candidate, CandidateFile
from .engines import Engine, EngineId, Seen, Selection, select_engines, wanted_backends
from .environment import describe
from .networks.cases import Case
from .networks.errors import InvalidInput
from .run import FAILED, MISSING, OK, Run, run_candidate, run_engine, summary_of
from .workers.limits import Limits
from .workers.pool import Lane, Pool

Began = Callable[[EngineId], None]
"""Called with each engine as it begins, or as its result is waited for."""

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

    def start(self, case: Case) -> Finish: ...

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
        candidates: Mapping[str, Candidate | CandidateFile],
    ) -> None:
        self._selection = select_engines(backends, devices)
        _require_free(candidates, self._selection)
        self._candidates = candidates

    @property
    def selection(self) -> Selection:
        return self._selection

    def start(self, case: Case) -> Finish:
        def finish(began: Began) -> tuple[Run, ...]:
            runs: list[Run] = []
            for engine in self.selection.engines:
                began(engine.id)
                runs.append(run_engine(case, engine))
            for name, candidate in self._candidates.items():
                began(candidate_id(name))
                runs.append(_run_here(case, name, candidate))
            return tuple(runs)

        return finish

    def environment(self) -> dict[str, Any]:
        return {e.backend.name: describe(e.backend) for e in self.selection.engines if e.backend}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Isolated:
    """Each engine in a process of its own; all start at once, so that their imports overlap.

    Candidates that are functions, not files, run in this process.
    """

    def __init__(
        self,
        backends: Sequence[str] | None,
        devices: Sequence[str] | None,
        candidates: Mapping[str, Candidate | CandidateFile],
        limits: Limits,
        jobs: int = 1,
    ) -> None:
        wanted = wanted_backends(backends)
        self.ahead = 4 * jobs
        self._pool = Pool(limits, jobs)
        self._lanes: dict[str, list[Lane]] = {}
        self._lane_of: dict[EngineId, Lane] = {}
        self._ended: dict[EngineId, Run] = {}
        try:
            for name, _ in dict.fromkeys(wanted):
                self._lanes.setdefault(name, []).append(self._pool.open(backend=name))
            self._candidates = dict(candidates)
            self._candidate_lanes = {
                name: self._pool.open(name=name, file=str(found.file), function=found.function)
                for name, found in candidates.items()
                if isinstance(found, CandidateFile)
            }
            self._wanted = (backends, devices)
            self._selection: Selection | None = None
        except BaseException:
            self._pool.close()
            raise

    @property
    def selection(self) -> Selection:
        """The engines; waits until their processes have said what they see."""
        if self._selection is None:
            self._selection = select_engines(*self._wanted, self._see)
            _require_free(self._candidates, self._selection)
            for engine in self._selection.engines:
                self._assign(engine)
        return self._selection

    def start(self, case: Case) -> Finish:
        started: list[tuple[EngineId, Callable[[], Run]]] = [
            (engine.id, self._started(case, engine.id)) for engine in self.selection.engines
        ]
        for name, candidate in self._candidates.items():
            started.append((candidate_id(name), self._started_candidate(case, name, candidate)))

        def finish(began: Began) -> tuple[Run, ...]:
            runs = []
            for engine, wait in started:
                began(engine)
                runs.append(wait())
            return tuple(runs)

        return finish

    def environment(self) -> dict[str, Any]:
        found = {name: lanes[0].description.result() for name, lanes in self._lanes.items()}
        return {name: dict(seen.environment) for name, seen in found.items() if seen.environment is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.close()

    def _see(self, name: str) -> Seen:
        found = self._lanes[name][0].description.result()
        return Seen(found.variants, found.devices, found.problem)

    def _assign(self, engine: Engine) -> None:
        """Give an engine one of the lanes that loaded its backend, or another."""
        lanes = self._lanes[engine.id.backend]
        described = lanes[0].description.result()
        if engine.problem is not None:
            status = MISSING if described.status == OK else described.status
            self._ended[engine.id] = Run(
                engine.id, status, {}, message=engine.problem, stderr=described.stderr
            )
            return
        taken = set(map(id, self._lane_of.values()))
        free = [lane for lane in lanes if id(lane) not in taken]
        if not free:
            lanes.append(self._pool.open(backend=engine.id.backend))
            free = lanes[-1:]
        self._lane_of[engine.id] = free[0]

    def _started(self, case: Case, engine: EngineId) -> Callable[[], Run]:
        if engine in self._ended:
            return lambda: self._ended[engine]
        return self._pool.submit(self._lane_of[engine], case, engine).result

    def _started_candidate(
        self, case: Case, name: str, candidate: Candidate | CandidateFile
    ) -> Callable[[], Run]:
        if name not in self._candidate_lanes:
            return lambda: _run_here(case, name, candidate)
        lane = self._candidate_lanes[name]
        found = lane.description.result()
        if found.problem is not None:
            status = found.status if found.stderr is not None else FAILED
            run = Run(candidate_id(name), status, {}, None, found.problem, partial=True, stderr=found.stderr)
            return lambda: run
        return self._pool.submit(lane, case, candidate_id(name), partial=True).result


def open_executor(
    backends: Sequence[str] | None,
    devices: Sequence[str] | None,
    candidates: Mapping[str, Candidate | CandidateFile],
    isolate: bool,
    limits: Limits | None = None,
    jobs: int = 1,
) -> Executor:
    """The executor asked for, with its engines on the way.

    Raises
    ------
    InvalidInput
        If a backend, variant or device has an unknown name, or a candidate that of an engine.
    """
    if not isolate:
        return InProcess(backends, devices, candidates)
    return Isolated(backends, devices, candidates, limits or Limits(), jobs)


def candidate_id(name: str) -> EngineId:
    """The name under which a candidate is in a report."""
    return EngineId(name, "candidate", "cpu")


def _run_here(case: Case, name: str, candidate: Candidate | CandidateFile) -> Run:
    if not isinstance(candidate, CandidateFile):
        return run_candidate(case, name, candidate)
    try:
        function = candidate.load()
    except (Exception, SystemExit) as error:
        return Run(candidate_id(name), FAILED, {}, None, summary_of(error), partial=True)
    return run_candidate(case, name, function)


def _require_free(candidates: Mapping[str, Any], selection: Selection) -> None:
    """Raise `InvalidInput` if a candidate has the name of an engine, or cannot be called."""
    taken = {engine.id.backend for engine in selection.engines}
    for name, candidate in candidates.items():
        if name in taken:
            raise InvalidInput(f"candidate {name!r}: an engine has this name, choose another")
        if not isinstance(candidate, CandidateFile) and not callable(candidate):
            raise InvalidInput(f"candidate {name!r} is a {type(candidate).__name__}: expected a function")
