"""A run opened with its engines: a new one, or one that goes on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..candidates import CandidateFile
from ..engines import candidate_id
from ..environment import environment
from ..execution import Executor, open_executor
from ..networks.errors import InvalidInput
from ..oracle import require_oracle
from ..workers.limits import Limits
from .info import RunInfo, now, read_info
from .plan import Plan, RandomPlan, Shard
from .plan_files import read_plan, require_affordable_plan
from .store import RunWriter, Warn, require_new


@dataclass(frozen=True)
class Means:
    """With what cases are run; none of it changes what they are.

    Parameters
    ----------
    jobs
        Processes of each engine.
    """

    candidates: Mapping[str, CandidateFile]
    isolate: bool
    limits: Limits | None
    jobs: int
    allow_large: bool

    @property
    def candidate_backend(self) -> str:
        """Whose arrays the candidates take: one for all."""
        return next((found.backend for found in self.candidates.values()), "numpy")


@dataclass(frozen=True)
class Wanted:
    """What a new run runs: the fields of `RunInfo` that a user gives."""

    plan: Plan
    shard: Shard
    backends: Sequence[str] | None
    devices: Sequence[str] | None
    oracle: str


@contextmanager
def new_run(path: Path, wanted: Wanted, means: Means) -> Iterator[tuple[RunWriter, Executor]]:
    """Make a run, its engines being loaded.

    Raises
    ------
    InvalidInput
        If a case is too large, an engine or oracle is unknown, or the directory is in use.
    """
    _require_possible(wanted.plan, wanted.oracle, means)
    require_new(path)
    with _executor(wanted.backends, wanted.devices, means) as executor:
        info = RunInfo(
            created=now(),
            plan=wanted.plan,
            backends=None if wanted.backends is None else list(wanted.backends),
            devices=None if wanted.devices is None else list(wanted.devices),
            candidates=_candidate_texts(means.candidates),
            candidate_backend=means.candidate_backend,
            engines=_engines(executor, means),
            oracle=wanted.oracle,
            shards=[str(wanted.shard)],
            environment=environment(executor.environment()),
        )
        with RunWriter.create(path, info) as run:
            yield run, executor


@contextmanager
def resumed_run(
    path: Path, cases: int | None, means: Means, warn: Warn
) -> Iterator[tuple[RunWriter, Executor]]:
    """Open a run that goes on, with as many `cases` in all if that is given.

    Raises
    ------
    InvalidInput
        As `new_run`; also if the engines are not those that the run began with.
    """
    info = _resumable(read_info(path), cases, path, means)
    with RunWriter.resume(path, warn) as run, _executor(info.backends, info.devices, means) as executor:
        info = _resumable(run.info, cases, path, means)
        if _engines(executor, means) != info.engines:
            raise InvalidInput(
                f"{path} was begun with {', '.join(info.engines)}, here are "
                f"{', '.join(_engines(executor, means))}: its summary would mix the two, begin a new run"
            )
        info = info.run_in([environment(executor.environment())])
        if info != run.info:
            run.describe(info)
        if info.mixture is not None:
            warn(f"{path}: {info.mixture}")
        yield run, executor


def _executor(backends: Sequence[str] | None, devices: Sequence[str] | None, means: Means) -> Executor:
    return open_executor(backends, devices, means.candidates, means.isolate, means.limits, means.jobs)


def _require_possible(plan: Plan, oracle: str, means: Means) -> None:
    require_affordable_plan(plan, allow_large=means.allow_large)
    for dtype in plan.dtype:
        require_oracle(oracle, dtype)


def _resumable(info: RunInfo, cases: int | None, path: Path, means: Means) -> RunInfo:
    """What a run that goes on says of itself; `InvalidInput` if it cannot, with these means."""
    info = _extended(info, cases, path)
    _require_possible(info.plan, info.oracle, means)
    if (_candidate_texts(means.candidates), means.candidate_backend) != (
        info.candidates,
        info.candidate_backend,
    ):
        # Not taken from the file: a run that somebody sent must not start programs.
        raise InvalidInput(f"{path} was begun with {_named(info)}: give the same again")
    return info


def _extended(info: RunInfo, cases: int | None, path: Path) -> RunInfo:
    if cases is None:
        return info
    if not isinstance(info.plan, RandomPlan):
        raise InvalidInput(f"--cases {cases}: {path} is a grid, whose cases are given by its plan")
    if cases < info.plan.cases:
        raise InvalidInput(f"--cases {cases}: {path} has {info.plan.cases:,} already, give at least as many")
    plan = read_plan({**info.plan.model_dump(), "cases": cases}, "the command line")
    return info.model_copy(update={"plan": plan})


def _engines(executor: Executor, means: Means) -> list[str]:
    engines = [engine.id for engine in executor.selection.engines]
    return [str(engine) for engine in [*engines, *map(candidate_id, means.candidates)]]


def _candidate_texts(candidates: Mapping[str, CandidateFile]) -> list[str]:
    return [f"{found.name}={found.file}:{found.function}" for found in candidates.values()]


def _named(info: RunInfo) -> str:
    """The options that name the candidates of a run."""
    if not info.candidates:
        return "no candidate"
    arrays = [] if info.candidate_backend == "numpy" else [f"--candidate-backend {info.candidate_backend}"]
    return " ".join([*(f"--candidate {text}" for text in info.candidates), *arrays])
