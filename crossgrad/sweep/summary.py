"""The figures of a run, from its records one by one.

They do not depend on the order of the records, so that a run that was
interrupted and went on has those of one that was not, apart from times.
"""

import heapq
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..engines import CANDIDATE
from ..run import BROKEN
from .ids import CaseId
from .info import RunInfo
from .records import (
    MISMATCH,
    NOT_IN_ORDER,
    STATES,
    EngineRecord,
    Number,
    Record,
    State,
    number,
)

SHOWN_CLOSEST = 5


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, serialize_by_alias=True)


class Place(_Figures):
    """One engine on one case, and how to look into it."""

    id: str
    engine: str
    state: State
    quantity: str | None
    over_floor: Number
    digits: Number
    enters_at: str | None
    diagnosis: str | None
    message: str | None
    command: str = Field(description="Shows it again; for a mismatch, reduces it.")


class Problem(_Figures):
    """A case that failed for a reason that is no engine's state."""

    id: str
    problem: str


class Summary(_Figures):
    """The figures of a run. States count engines on cases, verdicts count cases."""

    schema_version: Literal["crossgrad.sweep/1"] = Field(default="crossgrad.sweep/1", alias="schema")
    planned: int
    done: int
    verdicts: dict[str, int] = Field(description="Cases of each verdict.")
    states: dict[str, int]
    quantities: dict[str, int] = Field(description="Compared quantities of each verdict.")
    by_engine: dict[str, dict[str, int]] = Field(description="States by engine.")
    by_dtype: dict[str, dict[str, int]]
    by_depth: dict[str, dict[str, int]] = Field(description="States by number of layers.")
    closest: list[Place] = Field(description="What is in order, and closest to its floor: a case once.")
    mismatches: list[Place]
    broken: list[Place] = Field(description="Engines that did not come through a case.")
    problems: list[Problem]
    seconds: dict[str, dict[str, float]] = Field(description="By engine and phase; `parent` is ourselves.")

    @property
    def verdict(self) -> str:
        """The run in a word, for an exit code: ``disagree``, ``failed`` or ``agree``."""
        if self.mismatches:
            return "disagree"
        return "failed" if self.verdicts.get("failed") or not self.states else "agree"


def summarise(info: RunInfo, records: Iterable[Record]) -> Summary:
    """The figures of records, of which only those that are not in order are kept in memory."""
    counts = _Counts(info)
    for record in records:
        counts.add(record)
    return counts.summary()


def command(info: RunInfo, case_id: str, engine: EngineRecord) -> str:
    """The command that reduces a mismatch, or runs a case again."""
    backend, _, device = engine.engine.rpartition("@")
    name, _, variant = backend.partition(":")
    oracle = [] if info.oracle == "auto" else ["--oracle", info.oracle]
    verb = "reduce" if engine.state == MISMATCH else "check"
    if variant == CANDIDATE:
        files = [text for text in info.candidates if text.startswith(f"{name}=")]
        arrays = [] if info.candidate_backend == "numpy" else ["--candidate-backend", info.candidate_backend]
        named = [*_each("--candidate", files), *arrays]
        return shlex.join(["crossgrad", verb, "--case", case_id, *named, *oracle])
    place = [] if device == "cpu" else ["-d", device]
    return shlex.join(["crossgrad", verb, "--case", case_id, "-b", backend, *place, *oracle])


class _Counts:
    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._done = 0
        self._verdicts, self._states, self._quantities = Counter[str](), Counter[str](), Counter[str]()
        self._by_engine: dict[str, Counter[str]] = {}
        self._by_dtype: dict[str, Counter[str]] = {}
        self._by_depth: dict[int, Counter[str]] = {}
        self._closest: list[tuple[float, str, str, Place]] = []
        self._mismatches: list[Place] = []
        self._broken: list[Place] = []
        self._problems: list[Problem] = []
        self._seconds: dict[str, dict[str, float]] = {}

    def add(self, record: Record) -> None:
        self._done += 1
        self._verdicts[record.verdict] += 1
        self._spent("parent", record.seconds)
        case_id = CaseId.parse(record.id)
        for engine in record.engines:
            self._states[engine.state] += 1
            self._quantities.update(engine.quantities)
            self._by_engine.setdefault(engine.engine, Counter())[engine.state] += 1
            self._by_dtype.setdefault(case_id.dtype, Counter())[engine.state] += 1
            self._by_depth.setdefault(case_id.depth, Counter())[engine.state] += 1
            self._spent(engine.engine, engine.seconds)
            if engine.state == MISMATCH:
                self._mismatches.append(self._place(record.id, engine))
            elif engine.state in BROKEN:
                self._broken.append(self._place(record.id, engine))
        self._look_closer(record)
        known = {f"{engine.engine}: {engine.message}" for engine in record.engines if engine.message}
        self._problems += [
            Problem(id=record.id, problem=text) for text in record.problems if text not in known
        ]

    def summary(self) -> Summary:
        return Summary(
            planned=self._info.planned,
            done=self._done,
            verdicts=_sorted(self._verdicts),
            states=_in_order(self._states),
            quantities=_sorted(self._quantities),
            by_engine={name: _in_order(self._by_engine[name]) for name in self._engines()},
            by_dtype={name: _in_order(self._by_dtype[name]) for name in sorted(self._by_dtype)},
            by_depth={str(depth): _in_order(self._by_depth[depth]) for depth in sorted(self._by_depth)},
            closest=[place for *_, place in sorted(self._closest, key=lambda c: (-c[0], c[1], c[2]))],
            mismatches=sorted(self._mismatches, key=_worst_first),
            broken=sorted(self._broken, key=lambda place: (place.engine, place.state, place.id)),
            problems=sorted(self._problems, key=lambda problem: (problem.problem, problem.id)),
            seconds=dict(sorted(self._seconds.items())),
        )

    def _engines(self) -> list[str]:
        """The engines that have records, as the run lists them."""
        listed = self._info.engines
        others = sorted(name for name in self._by_engine if name not in listed)
        return [*(name for name in listed if name in self._by_engine), *others]

    def _look_closer(self, record: Record) -> None:
        """Keep the record's engine that comes closest to the floor, if few others came closer."""
        found = [
            (over, record.id, engine.engine, engine)
            for engine in record.engines
            if engine.state not in NOT_IN_ORDER and (over := number(engine.over_floor)) is not None
        ]
        if not found:
            return
        over, _, name, engine = max(found, key=lambda entry: entry[:3])
        heapq.heappush(self._closest, (over, record.id, name, self._place(record.id, engine)))
        if len(self._closest) > SHOWN_CLOSEST:
            heapq.heappop(self._closest)

    def _place(self, case_id: str, engine: EngineRecord) -> Place:
        return Place(
            id=case_id,
            engine=engine.engine,
            state=engine.state,
            quantity=engine.worst,
            over_floor=engine.over_floor,
            digits=engine.digits,
            enters_at=engine.enters_at,
            diagnosis=engine.diagnosis,
            message=engine.message,
            command=command(self._info, case_id, engine),
        )

    def _spent(self, who: str, seconds: Mapping[str, float]) -> None:
        spent = self._seconds.setdefault(who, {})
        for phase, value in seconds.items():
            spent[phase] = spent.get(phase, 0.0) + value


def _worst_first(place: Place) -> tuple[float, str, str]:
    over = number(place.over_floor)
    return float("-inf") if over is None or over != over else -over, place.id, place.engine


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}


def _in_order(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: counts[state] for state in STATES if counts.get(state)}


def _each(option: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (option, value)]
