"""Measures: every engine checked, then timed in rounds that take turns, beside the machine's limit."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any

from .. import escape
from ..interrupts import Cancelled
from ..networks.cases import Case
from ..networks.errors import InvalidInput
from ..oracle import Oracle
from ..run import OK, OUT_OF_MEMORY, PROTOCOL_ERROR, Run
from ..workers.held import PRODUCTS
from ..workers.tasks import Ended
from .amount import FEW, MANY, processes_for
from .calibration import call_seconds, calls_next, calls_of
from .gate import hold_before, oracle_for
from .lanes import Contender, Lanes
from .phases import REPEATED, Phase
from .plan import Item
from .results import Limit, Problem, Row, Settings, Yardstick
from .room import held_bytes, lack_of_room
from .rows import (
    LEAST,
    Timing,
    about_engine,
    repeated_row,
    roofline,
    single_rows,
    whole_rounds,
    with_products,
    yardstick,
)
from .turns import turn_order

MOST_ROUNDS = 10_000

PAUSE = 0.05
"""Seconds between turns: the waiting threads of a matrix library keep a core busy for a while."""

Say = Callable[[str], None]
"""Called with what is being done, in words."""

MISMATCH = "mismatch"
WEIGHED = "memory of a step"


@dataclass(frozen=True)
class Measured:
    """What was found for one item."""

    rows: tuple[Row, ...] = ()
    limits: tuple[Limit, ...] = ()
    yardsticks: tuple[Yardstick, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    """Whether only the rounds are there that were whole by then; nothing more is to be measured."""


@dataclass
class _Ready:
    """An engine whose gradients are right, ready to be timed."""

    engine: Contender
    run: Run
    verdict: str
    found: dict[str, Any]
    timings: dict[str, Timing] = field(default_factory=dict)
    memory: dict[str, int | None] = field(default_factory=dict)
    gone: bool = False
    """Whether its process has ended, and what was held with it; or it went wrong."""

    @property
    def phases(self) -> list[Phase]:
        """What is timed of it, but for its products and copies."""
        return [phase for phase in REPEATED if phase in self.timings]

    def lose(self) -> None:
        """Nothing more is asked of it, and what it was timed at is no result: it cannot be checked again."""
        self.timings.clear()
        self.gone = True


def measure(item: Item, lanes: Lanes, settings: Settings, say: Say = lambda words: None) -> Measured:
    """Check and time every engine on one item.

    Whatever an engine does costs its own rows: they become a `Problem`. After Ctrl-C, once there are a few
    whole rounds, those are kept if what they timed is still right; not if the process is `Cancelled`.
    """
    return _Measurement(item, lanes, settings, say).run()


def require_rounds_within(limit: float, settings: Settings) -> None:
    """Raise `InvalidInput` if a round is so long that the limit of one answer would end a healthy engine."""
    rounds = settings.rounds or FEW
    if settings.min_time / rounds > limit / 2:
        enough = ceil(2 * settings.min_time / limit)
        more = f"--rounds {enough}, or a longer --timeout" if enough <= MOST_ROUNDS else "a longer --timeout"
        raise InvalidInput(
            f"{settings.min_time:g} s in {rounds} rounds: one of them would take more than half of the "
            f"{limit:g} s after which an engine counts as hung: {more}"
        )


class _Measurement:
    def __init__(self, item: Item, lanes: Lanes, settings: Settings, say: Say) -> None:
        self._item, self._lanes, self._settings, self._say = item, lanes, settings, say
        self._ready: list[_Ready] = []
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._checked_processes, self._interrupted = 0, False
        self._rounds = settings.rounds or MANY
        self._processes = settings.processes or processes_for(self._rounds)

    def run(self) -> Measured:
        self._say("drawing and judging")
        case = self._item.case()
        oracle = oracle_for(case)
        self._check_all(case, oracle)
        self._calibrate()
        try:
            self._time_all(case, oracle)
        except Cancelled:
            raise
        except KeyboardInterrupt:
            if not self._keep_whole_rounds(case, oracle):
                raise
        self._leave_out_stopped()
        there = [held for held in self._ready if not held.gone]
        timed = with_products((held.engine.id, held.found, held.timings) for held in there)
        limits = roofline(self._item, timed)
        rows = tuple(row for held in there if held.engine.asked_for for row in self._rows(held, limits))
        yardsticks = tuple(yardstick(self._item, engine, timings) for engine, _, timings in timed)
        if not self._interrupted:
            self._release()
        found = rows, tuple(limits.values()), yardsticks, tuple(self._problems), tuple(self._notes)
        return Measured(*found, interrupted=self._interrupted)

    def _check_all(self, case: Case, oracle: Oracle) -> None:
        have_products: set[tuple[str, str]] = set()
        for engine in self._lanes.engines:
            if engine.problem is not None:
                self._problem(engine, None, engine.status, engine.problem)
                continue
            if (lack := self._lack_of_room(engine)) is not None:
                self._no_room(engine, lack)
                continue
            place = (engine.id.backend, engine.id.device)
            held = self._checked(engine, case, oracle, products=place not in have_products)
            if held is not None:
                have_products.add(place)
                self._ready.append(held)
                if held.found["products_failed"] is not None:
                    self._yardstick_less(engine, f"its bare products failed: {held.found['products_failed']}")

    def _lack_of_room(self, engine: Contender) -> str | None:
        """Why an engine cannot hold the item beside those that do."""
        there = [held.engine.id.device == "cpu" for held in self._ready] + [engine.id.device == "cpu"]
        item, on_cpu = self._item, sum(there)
        needed = held_bytes(item.network, item.batch_size, item.dtype, on_cpu, len(there) - on_cpu)
        return lack_of_room(needed, self._lanes.available, len(there))

    def _no_room(self, engine: Contender, lack: str) -> None:
        if engine.asked_for:
            self._problem(engine, None, OUT_OF_MEMORY, lack)
        else:
            self._yardstick_less(engine, lack)

    def _checked(self, engine: Contender, case: Case, oracle: Oracle, products: bool) -> _Ready | None:
        """Have a case held by an engine's process; None, with a problem noted, if it is not right there."""
        self._say(f"{engine.id}, compiling and checking")
        try:
            run, found = self._lanes.hold(engine, case, products)
        except Ended as ended:
            self._problem(engine, None, ended.status, str(ended))
            return None
        if run.status != OK:
            self._problem(engine, None, run.status, run.message or run.status)
            return None
        passed = hold_before(oracle, case, run, found["loss"])
        if passed.wrong is not None:
            self._problem(engine, None, MISMATCH, passed.wrong)
            with suppress(Ended):
                self._lanes.release(engine)  # the others need the memory
            return None
        return _Ready(engine, replace(run, trace=None), passed.verdict, found)

    def _check_again(self, case: Case, oracle: Oracle) -> None:
        """Hold what was timed before the judge once more; what has become wrong meanwhile is not shown."""
        for held in self._ready:
            if not held.phases:
                continue
            again = " (interrupted; once more drops this network)" if self._interrupted else ""
            self._say(f"{held.engine.id}, checking again{again}")
            found = self._tried(held, None, partial(self._lanes.again, held.engine))
            if found is not None and found[0] is None:
                continue
            wrong = None if found is None else hold_before(oracle, case, *found).wrong
            if found is not None and wrong is None:
                continue
            held.lose()
            if wrong is not None:
                told = f"right before it was timed, wrong after that: {wrong}"
                self._problem(held.engine, None, MISMATCH, told)

    def _begin_anew(self, case: Case, oracle: Oracle) -> None:
        """Have the case held by new processes, each checked like the first."""
        there = [held for held in self._ready if not held.gone]
        self._lanes.renew(held.engine for held in there)
        for held in there:
            if self._checked(held.engine, case, oracle, bool(held.found["copied_bytes"])) is None:
                held.lose()

    def _calibrate(self) -> None:
        """Find how many rounds there are, and how many calls make a round of each thing that is timed."""
        for held in list(self._ready):
            for what in self._to_time(held):
                self._say(f"{held.engine.id}, {what}")
                seconds = self._tried(held, what, partial(self._call_seconds, held.engine, what))
                if seconds is not None:
                    held.timings[what] = Timing(seconds)
        timings = self._timings()
        if any(map(self._is_long, timings)):
            every = self._every_engine_is_long()
            self._rounds = self._settings.rounds or FEW
            self._processes = self._settings.processes or (1 if every else processes_for(self._rounds))
        for timing in timings:
            timing.calls = calls_of(timing.call_seconds, self._round)

    def _is_long(self, timing: Timing) -> bool:
        """Whether one call takes longer than a round."""
        return timing.call_seconds > self._round

    def _every_engine_is_long(self) -> bool:
        """Whether each engine has a phase that is: one alone must not cost the others their processes."""
        phases = ([held.timings[phase] for phase in held.phases] for held in self._ready)
        return all(any(map(self._is_long, timings)) for timings in phases if timings)

    def _timings(self) -> list[Timing]:
        return [timing for held in self._ready for timing in held.timings.values()]

    @property
    def _rounds_each(self) -> int:
        """How many rounds each process has."""
        return ceil(self._rounds / self._processes)

    @property
    def _round(self) -> float:
        """Seconds that a round of one thing is to take."""
        return self._settings.min_time / self._rounds

    def _call_seconds(self, engine: Contender, what: str) -> float:
        return call_seconds(partial(self._lanes.seconds, engine, what), self._round)

    def _time_all(self, case: Case, oracle: Oracle) -> None:
        """Every round of every process, the gradients checked again at the end of each."""
        for number in range(1, self._processes + 1):
            if number > 1:
                self._begin_anew(case, oracle)
            self._time(number)
            if number == self._processes:
                self._weigh()  # before the check, whose copies of the gradients are memory too
            self._check_again(case, oracle)
            self._checked_processes = number

    def _time(self, process: int) -> None:
        """Rounds that take turns, so that the machine's moods hit all alike."""
        rounds = self._rounds_each
        for timing in self._timings():
            timing.rounds.append([])
        for number in range(rounds):
            which = f"process {process} of {self._processes}, " if self._processes > 1 else ""
            self._say(f"{which}round {number + 1} of {rounds}")
            for place in turn_order((process - 1) * rounds + number, len(self._ready)):
                held = self._ready[place]
                for what in list(held.timings):
                    if not held.gone:
                        self._time_once(held, what)
                if self._settings.threads != 1:
                    time.sleep(PAUSE)

    def _time_once(self, held: _Ready, what: str) -> None:
        calls = held.timings[what].calls
        seconds = self._tried(held, what, partial(self._lanes.seconds, held.engine, what, calls))
        if seconds is not None:
            held.timings[what].rounds[-1].append(seconds / calls)
            held.timings[what].calls = calls_next(calls, seconds, self._round)

    def _weigh(self) -> None:
        for held in self._ready:
            self._say(f"{held.engine.id}, {WEIGHED}")
            held.memory = self._tried(held, WEIGHED, partial(self._lanes.memory, held.engine)) or {}

    def _release(self) -> None:
        try:
            for held in self._ready:
                self._tried(held, None, partial(self._lanes.release, held.engine))
        except KeyboardInterrupt:  # which is for what comes next
            self._interrupted = True

    def _keep_whole_rounds(self, case: Case, oracle: Oracle) -> bool:
        """Keep the rounds that every engine has, after an interruption; whether they are enough for rows."""
        kept = whole_rounds([timing.rounds for timing in self._timings()])
        if not kept:
            return False
        for timing in self._timings():
            timing.rounds = [rounds[:count] for rounds, count in zip(timing.rounds, kept, strict=False)]
        self._interrupted = True
        told = f"interrupted, with {sum(kept)} of {self._rounds_each * self._processes} rounds"
        self._notes.append(f"{self._about_item}: {told}")
        if len(kept) > self._checked_processes:
            self._check_again(case, oracle)
        return True

    def _leave_out_stopped(self) -> None:
        """Products and copies that took no time by their clock: nothing could be held against them."""
        for held in self._ready:
            for what in PRODUCTS:
                if what in held.timings and held.timings[what].middle < LEAST:
                    del held.timings[what]
                    self._failed(held, what, Ended(PROTOCOL_ERROR, "its clock stands still", with_it=False))

    def _to_time(self, held: _Ready) -> list[str]:
        lacks = held.found["lacks"]
        phases = [phase for phase in REPEATED if phase not in lacks] if held.engine.asked_for else []
        return phases + (list(PRODUCTS) if held.found["copied_bytes"] else [])

    def _rows(self, held: _Ready, limits: dict[str, Limit]) -> Iterator[Row]:
        yield from single_rows(self._item, held.engine, held.run, held.verdict, held.found["parts"])
        limit = limits.get(held.engine.id.device)
        for phase in REPEATED:
            timing = held.timings.get(phase)
            if timing is not None:
                memory = held.memory if phase == "step" else {}
                yield repeated_row(self._item, held.engine, phase, timing, held.verdict, limit, memory)

    def _tried(self, held: _Ready, what: str | None, action: Callable[[], Any]) -> Any:
        """The outcome, or None with a problem noted; an engine whose process ended is out of the running."""
        if held.gone:
            return None
        try:
            return action()
        except Ended as ended:
            held.timings.pop(what or "", None)  # a round or two are no result
            if ended.with_it:
                held.lose()
            self._failed(held, what, ended)
            return None

    def _failed(self, held: _Ready, what: str | None, ended: Ended) -> None:
        """Note a problem; of a yardstick, which costs no row, a warning."""
        phase = what if what in REPEATED else None
        told = str(ended) if what in (None, phase) else f"{what}: {ended}"
        if what in PRODUCTS and not ended.with_it:
            self._yardstick_less(held.engine, f"its bare products failed: {told}")
        else:
            self._problem(held.engine, phase, ended.status, told)

    def _yardstick_less(self, engine: Contender, told: str) -> None:
        about = f"{engine.id} at {self._about_item}"
        self._notes.append(f"{about}: a yardstick less, as {told}")

    @property
    def _about_item(self) -> str:
        return f"{self._item.network} (batch {self._item.batch_size}, {self._item.dtype})"

    def _problem(self, engine: Contender, phase: Any, status: str, message: str) -> None:
        if engine.asked_for:
            about, told = about_engine(self._item, engine.id), escape.utf8(message)
            self._problems.append(Problem(**about, phase=phase, status=status, message=told))
