"""Many workers in a thread of their own: queues, deadlines, and one replacement for each that dies.

A lane is one engine: what its processes load, the cases that wait for it, and
its processes, one or several. Callers get futures. Whatever becomes of a
process, its future gets a `Run`: nothing that an engine does raises here, and
nothing is waited for longer than its limit and the few seconds of its end.
"""

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..networks.errors import InvalidInput
from ..run import FAILED, PROTOCOL_ERROR
from .limits import RECEIVE, Limits
from .memory import Sessions
from .protocol import ProtocolError
from .strays import end_strays
from .tasks import Ended, Task
from .wire import Description, Message, description_of, settled
from .worker import Ending, Worker

TICK = 0.2
"""Seconds between two looks at clocks and memory; messages are taken as they come."""

CASES_A_PROCESS = 100
"""After so many cases a process is replaced: what frameworks never free stays small."""

LOADING_TRIES = 2
"""How often a place's processes may fail to load in a row before the place is given up."""


@dataclass
class _Place:
    """Where a lane has a process, or will have one when there is work."""

    worker: Worker | None = None
    loaded: bool = False
    task: Task | None = None
    cases: int = 0
    """Handed to the process that is there."""

    failures: int = 0
    """How often in a row its process failed to load."""


@dataclass
class Lane:
    """One engine's processes and the cases that wait for them."""

    loads: Mapping[str, Any]
    places: list[_Place]
    description: "Future[Description]" = field(default_factory=Future)
    tasks: deque[Task] = field(default_factory=deque)
    ended: Ending | None = None
    """Set if the lane is given up."""

    last: Ending | None = None
    """What the process that ended last ended with."""

    def has_others(self, place: _Place) -> bool:
        """Whether there is a process beside this place's, loaded or on its way."""
        return any(other.worker is not None for other in self.places if other is not place)

    def may_try(self, place: _Place) -> bool:
        """Whether to begin a process there: once more only after another of the lane could be loaded."""
        return not place.failures or (self.description.done() and place.failures < LOADING_TRIES)


class PoolClosed(RuntimeError):
    """The pool was closed, or its thread has ended: no process runs any more."""


class Pool:
    """Processes that run engines. Use it as a context manager: leaving it ends them all.

    Parameters
    ----------
    jobs
        Processes a lane, at most.

    Raises
    ------
    InvalidInput
        On a system without what keeps the processes apart: Windows.
    """

    def __init__(self, limits: Limits, jobs: int = 1) -> None:
        if os.name != "posix":
            raise InvalidInput("engines in processes of their own need Linux or macOS")
        self._limits, self._jobs, self._sessions = limits, jobs, Sessions()
        self._lanes: list[Lane] = []
        self._orders: deque[Callable[[], None]] = deque()
        self._tickets = 0
        self._lock = threading.Lock()  # an order is taken before the pool closes, and seen to, or refused
        self._closing = self._closed = False
        self._next_tick = 0.0
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="crossgrad-pool", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def open(self, **loads: Any) -> Lane:
        """Start a process that loads an engine (``backend=``), or a candidate.

        That is ``file= function= name= arrays=``, the last for the framework whose arrays it takes.
        ``python=`` is the interpreter of an engine that another Python has.
        ``cores=`` says how many of the cores the process may use, where that is not all of them.
        """
        lane = Lane(loads, [_Place() for _ in range(self._jobs)])

        def start() -> None:
            self._lanes.append(lane)
            if not self._closing:
                self._start(lane, lane.places[0])

        self._order(start)
        return lane

    def submit(self, lane: Lane, task: Task) -> "Future[Any]":
        """Queue a task; its future says what became of it.

        An empty variant or device of its engine means the first that its process finds.
        """

        def queue() -> None:
            task.ticket = self._tickets
            self._tickets += 1
            lane.tasks.append(task)

        self._order(queue)
        return task.future

    def renew(self, lane: Lane) -> None:
        """End a lane's processes, which should be idle, and start one anew; what they held is gone."""

        def again() -> None:
            for place in lane.places:
                if place.worker is not None:
                    self._let_go(place, place.worker)
            if lane.ended is None and not self._closing:
                self._start(lane, lane.places[0])

        self._order(again)

    def close(self) -> None:
        """End every process and its process group; runs under way are given up."""
        if self._closed:
            return
        with self._lock:
            self._closing = self._closed = True
            self._awaken()
        self._thread.join()
        for descriptor in (self._woken, self._wake):
            os.close(descriptor)

    def _order(self, order: Callable[[], None]) -> None:
        """Have the pool's thread do something; raise `PoolClosed` if it never would."""
        with self._lock:
            if self._closing:
                raise PoolClosed("the pool of workers is closed")
            self._orders.append(order)
            if len(self._orders) == 1:  # or it has been woken for those before
                self._awaken()

    def _awaken(self) -> None:
        os.write(self._wake, b"!")

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            with self._lock:
                self._closing = True
            self._end()

    def _turn(self) -> None:
        """Wait for something to happen, or a tick; then see to every process."""
        ready = {key.fd for key, _ in self._selector.select(max(0.0, self._next_tick - time.monotonic()))}
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        tick = time.monotonic() >= self._next_tick
        if tick:
            self._next_tick = time.monotonic() + TICK
        while self._orders:
            self._orders.popleft()()
        for lane in self._lanes:
            for place in lane.places:
                worker = place.worker
                if worker is not None and (
                    (tick and worker.watched) or worker.messages in ready or worker.stderr in ready
                ):
                    self._see_to(lane, place, worker, ready)
            self._hand_out(lane)

    def _see_to(self, lane: Lane, place: _Place, worker: Worker, ready: Collection[int]) -> None:
        for answer in worker.read(ready):
            if place.worker is not worker:
                break  # it was let go: the place is another's
            try:
                self._take(lane, place, worker, answer)
            except ProtocolError as error:
                worker.end(PROTOCOL_ERROR, f"the process of the engine sent {error}")
                break  # what came with it is not to be believed either
        if place.worker is not worker:
            return
        worker.watch()
        if worker.silent:
            self._unregister(worker.messages)
        if worker.mute:
            self._unregister(worker.stderr)
        if worker.gone and (ending := worker.told) is not None:
            self._bury(lane, place, worker, ending)

    def _take(self, lane: Lane, place: _Place, worker: Worker, answer: Message) -> None:
        """Take an answer for what it is: a description after loading, a run after a case."""
        if answer["is"] == "loaded" and not place.loaded:
            found = _understood(partial(description_of, answer))
            if found.problem is not None and (lane.description.done() or lane.has_others(place)):
                self._let_go(place, worker)
                self._failed_to_load(lane, place, Ending(found.status, found.problem), worker.tail)
                return
            place.loaded, place.failures = True, 0
            if not lane.description.done():
                lane.description.set_result(found)
            if found.problem is not None:
                lane.ended = Ending(found.status, found.problem)
            return
        task = place.task
        if task is None or answer.get("ticket") != task.ticket:
            raise ProtocolError(f"{answer['is']!r} that nobody asked for")
        try:
            found = _understood(partial(task.take, answer, worker.result_file))
        except Ended as refused:
            place.task = None
            was = lane.last if refused.with_it else None  # it died idle: nobody waited to be told why
            task.future.set_exception(refused if was is None else Ended(was.status, was.reason))
            return
        os.ftruncate(worker.result_file, 0)
        place.task = None
        task.future.set_result(found)
        place.cases += task.counts
        if place.cases >= CASES_A_PROCESS or task.spoils(found):
            self._let_go(place, worker)

    def _bury(self, lane: Lane, place: _Place, worker: Worker, ending: Ending) -> None:
        """Let go of a process that has ended; say so to whoever waits for it."""
        task, loaded, lane.last = place.task, place.loaded, ending
        self._let_go(place, worker)
        died_before = worker.died and worker.phase == RECEIVE
        if task is not None and died_before and not task.begun_again:
            task.begun_again = True  # it died of what was before
            lane.tasks.appendleft(task)
        elif task is not None:
            task.ended(ending, worker.tail)
        elif not loaded:
            self._failed_to_load(lane, place, ending, worker.tail)

    def _let_go(self, place: _Place, worker: Worker) -> None:
        """End a process; the place is free for another."""
        self._unregister(worker.messages)
        self._unregister(worker.stderr)
        worker.close()
        end_strays({worker.mark})
        place.worker, place.task, place.loaded, place.cases = None, None, False, 0

    def _failed_to_load(self, lane: Lane, place: _Place, ending: Ending, stderr: str) -> None:
        """Give the lane up if none of its places has a process, or ever will."""
        place.failures += 1
        usable = any(other.failures < LOADING_TRIES for other in lane.places)
        if not lane.has_others(place) and not (usable and lane.description.done()):
            self._give_up(lane, ending, stderr)

    def _give_up(self, lane: Lane, ending: Ending, stderr: str) -> None:
        lane.ended = ending
        if not lane.description.done():
            lane.description.set_result(
                Description(status=ending.status, problem=ending.reason, stderr=stderr)
            )

    def _hand_out(self, lane: Lane) -> None:
        if lane.ended is not None:
            found = lane.description.result()
            while lane.tasks:
                task = lane.tasks.popleft()
                task.engine = settled(task.engine, found)
                task.ended(lane.ended, found.stderr)
        for place in lane.places:
            if not lane.tasks:
                return
            if place.worker is None and lane.may_try(place):
                self._start(lane, place)
            elif place.worker is None:
                continue
            elif place.loaded and place.task is None and place.worker.ending is None:
                place.task = task = lane.tasks.popleft()
                task.engine = settled(task.engine, lane.description.result())
                try:
                    task.hand_to(place.worker)
                except OSError as error:
                    place.worker.end(FAILED, f"the case could not be handed over: {error}")

    def _start(self, lane: Lane, place: _Place) -> None:
        try:
            place.worker = Worker(lane.loads, self._limits, self._sessions)
        except OSError as error:
            ending = Ending(FAILED, f"no process could be started: {error}")
            self._failed_to_load(lane, place, ending, "")
            return
        for descriptor in (place.worker.messages, place.worker.stderr):
            self._selector.register(descriptor, selectors.EVENT_READ)

    def _unregister(self, descriptor: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def _end(self) -> None:
        while self._orders:
            self._orders.popleft()()
        workers = [place.worker for lane in self._lanes for place in lane.places if place.worker]
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.close()
        end_strays({worker.mark for worker in workers})
        self._selector.close()
        closed = PoolClosed("the pool of workers was closed")
        for lane in self._lanes:
            waiting = [place.task for place in lane.places if place.task] + list(lane.tasks)
            futures: list[Future[Any]] = [lane.description, *(task.future for task in waiting)]
            for future in futures:
                if not future.done():
                    future.set_exception(closed)


def _understood(read: Callable[[], Any]) -> Any:
    """What a message stands for; whatever is in it, it ends the process that sent it, and nothing else."""
    try:
        return read()
    except (Ended, ProtocolError):
        raise
    except Exception as error:
        raise ProtocolError(f"a message that makes no sense: {error!r}") from error
