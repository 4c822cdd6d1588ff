"""The parent's handle of one worker's process: what it says, when it is late, and how it is ended."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..run import CRASHED, OUT_OF_MEMORY, PROTOCOL_ERROR, TIMEOUT
from .arrays import anonymous_file, write_anew
from .limits import DUMP, FINAL, GRACE, RECEIVE, Limits
from .memory import Sessions, most_held, oom_kills
from .phases import Watcher, make_room
from .protocol import VERSION, Inbox, ProtocolError, pack
from .strays import VARIABLE
from .wire import Message, PackedCase

READ_SIZE = 1 << 16
READ_AT_ONCE = 1 << 22
TAIL = 4096
"""Bytes of an engine's stderr that are kept to explain its end."""

LOOK_EVERY = 0.1
"""Seconds between two looks at the memory of a worker."""

IDLE = "idle"

_FRAME = re.compile(r'Current thread [^\n]*\n +File "([^"\n]+)", line (\d+) in ([^\n]+)')
"""The innermost frame in what faulthandler writes."""

_HERE = "import sys; sys.path[:] = {path!r}"
"""A process of this Python finds what this one finds."""

_ELSEWHERE = """\
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
spec = PathFinder.find_spec("crossgrad", [{root!r}])
sys.modules["crossgrad"] = crossgrad = module_from_spec(spec)
spec.loader.exec_module(crossgrad)"""
"""A process of another Python finds what that one finds, and this crossgrad, whether it has one or not."""

_START = "{found}\nfrom crossgrad.workers.process import main\nmain({descriptors})"


@dataclass(frozen=True)
class Ending:
    """Why a worker does no more work: a status of a run, and the reason in words."""

    status: str
    reason: str


class Worker:
    """A process in a session of its own, which runs one engine or one candidate.

    Parameters
    ----------
    loads
        What the process is to load, as ``serving`` understands it.
    sessions
        Where to look for the memory of it and of all that it starts.

    Attributes
    ----------
    messages, stderr
        Descriptors to wait for; when there is something to read, call `read`.
    phase
        What it is at: one of `limits.PHASE_OF`, or ``idle``; as of the last look.
    ending
        Set once the worker will do no more work.
    died
        Whether that is because its process ended, and nobody here had ended it.
    mute
        Whether its stderr is closed.
    mark
        In its environment, and of all that it starts: for `strays.end_strays`, once it is closed.
    """

    def __init__(self, loads: Mapping[str, Any], limits: Limits, sessions: Sessions) -> None:
        self._limits, self._sessions = limits, sessions
        self.mark = uuid4().hex
        self._mine: list[int] = []
        theirs: list[int] = []
        try:
            self._case_file, self.result_file, phase_file = (self._shared() for _ in range(3))
            make_room(phase_file)
            self._phases = Watcher(phase_file)
            inbound, self._to_worker = self._pipe(theirs, 0)
            outbound, self.messages = self._pipe(theirs, 1)
            life, _ = self._pipe(theirs, 0)  # its end in this process, in `_mine`, closes with this process
            errors, self.stderr = self._pipe(theirs, 1)
            passed = [inbound, outbound, life, self._case_file, self.result_file, phase_file]
            self._process = subprocess.Popen(
                _command(loads.get("python"), passed),
                env=os.environ | {VARIABLE: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=passed,
                start_new_session=True,
            )
        except BaseException:  # Ctrl-C too
            self._let_go()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        for descriptor in (self.messages, self.stderr, self._to_worker):
            os.set_blocking(descriptor, False)
        self._inbox, self._tail, self._greeted = Inbox(), b"", False
        self.ending: Ending | None = None
        self.died = False
        self._silent_since: float | None = None
        self.mute = False
        self._signals: list[tuple[float, int]] = []
        self._given_up: float | None = None
        self._code: int | None = None
        self._next_look = 0.0
        self._oom_kills = oom_kills()
        self._deadline: float | None = None
        self._enter("load")
        self._send({"do": "load", **loads, "device_memory": limits.device_memory})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether its process has ended, or the system will not let go of it."""
        if self._code is not None:
            return True
        return self._given_up is not None and time.monotonic() > self._given_up

    @property
    def watched(self) -> bool:
        """Whether a clock is to be looked at: one that waits for work is silent until it dies."""
        return self.phase != IDLE or self.silent or self.ending is not None

    @property
    def silent(self) -> bool:
        """Whether its end of the messages' pipe is closed: nothing more will come."""
        return self._silent_since is not None

    @property
    def tail(self) -> str:
        """The last that the engine wrote to stderr or stdout."""
        return self._tail.decode(errors="replace").strip()

    @property
    def told(self) -> Ending | None:
        """Its ending, with the line of Python that it was at, if it could still write that."""
        by_fault = self.ending is not None and (self.ending.status == TIMEOUT or (self._code or 0) < 0)
        frames = _FRAME.findall(self.tail) if by_fault else []  # what an engine prints is no place
        if self.ending is None or not frames:
            return self.ending
        file, line, function = frames[-1]
        return replace(self.ending, reason=f"{self.ending.reason}, at {Path(file).name}:{line} in {function}")

    def ask(self, do: str, ticket: int, case: PackedCase | None = None, **words: Any) -> None:
        """Start on something: a message that ``serving`` answers, with the case that it is about."""
        self._enter(RECEIVE)
        if case is not None:
            write_anew(self._case_file, case.pieces)
            words["case"] = case.place
        self._send({"do": do, "ticket": ticket, **words})

    def read(self, ready: Collection[int]) -> list[Message]:
        """Answers that have come in since, by the descriptors that are ready; what is no message ends it."""
        self._code = self._process.poll()  # before reading: what a dead one wrote last is read below
        if self.stderr in ready or self._code is not None:
            self._listen()
        answers: list[Message] = []
        content, closed = b"", False
        if self.messages in ready or self._code is not None:
            content, closed = _drained(self.messages)
        if closed and self._silent_since is None:
            self._silent_since = time.monotonic()
        try:
            if (phase := self._phases.changed()) is not None and self.phase != IDLE:
                self._enter(phase)
            for message in self._inbox.feed(content):
                if self._is_answer(message):
                    answers.append(message)
        except (ProtocolError, ValueError, KeyError, TypeError) as error:
            self.end(PROTOCOL_ERROR, f"the process of the engine sent {error}")
        return [] if self.ending is not None else answers

    def watch(self) -> None:
        """See what the clock, the memory and the system say of the worker since `read`, and act on it."""
        now = time.monotonic()
        if self.ending is None:
            if self._code is not None:
                self.ending, self.died = self._death(self._code), True
            elif self._deadline is not None and now > self._deadline:
                limit = self._limits.seconds_for(self.phase)
                self.end(TIMEOUT, f"{self.phase} took longer than {limit:g} s")
            elif self._silent_since is not None and now > self._silent_since + GRACE:
                self.end(PROTOCOL_ERROR, "the process of the engine closed its pipe")
            else:
                self._limit_memory(self._resident(now))
        while self._signals and now >= self._signals[0][0]:
            self._kill(self._signals.pop(0)[1])

    def end(self, status: str, reason: str) -> None:
        """Give the worker up: let one that is late say where it is, ask it to end, then end it."""
        if self.ending is not None:
            return
        self.ending = Ending(status, reason)
        asked = time.monotonic()
        if status == TIMEOUT:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGUSR1)
            asked += DUMP
            self._signals = [(asked, signal.SIGTERM), (asked + GRACE, signal.SIGKILL)]
        else:
            self._signals = [(asked, signal.SIGKILL)]
        self._given_up = asked + GRACE + FINAL

    def kill(self) -> None:
        """End the process and everything in its process group, now."""
        self._kill(signal.SIGKILL)

    def close(self) -> None:
        """Kill, and let go of the process and its descriptors."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(FINAL)
        self._sessions.forget(self.pid)
        self._let_go()

    def _shared(self) -> int:
        self._mine.append(anonymous_file())
        return self._mine[-1]

    def _pipe(self, theirs: list[int], end: int) -> tuple[int, int]:
        """A pipe: the worker's end, 0 to read or 1 to write, and the other."""
        pipe = os.pipe()
        theirs.append(pipe[end])
        self._mine.append(pipe[1 - end])
        return pipe[end], pipe[1 - end]

    def _let_go(self) -> None:
        for descriptor in self._mine:
            os.close(descriptor)
        self._mine.clear()

    def _listen(self) -> None:
        content, closed = _drained(self.stderr)
        self._tail = (self._tail + content)[-TAIL:]
        self.mute = self.mute or closed

    def _is_answer(self, message: Message) -> bool:
        if message["is"] == "hello":
            if message["version"] != VERSION:
                raise ProtocolError(f"messages of version {message['version']!r}, not {VERSION}")
            self._greeted = True
        elif not self._greeted:
            raise ProtocolError(f"{message['is']!r} before its version")
        else:
            if self._limits.memory is not None:
                self._limit_memory(most_held(self.pid))  # what was missed between two looks
            self.phase, self._deadline = IDLE, None
            return True
        return False

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._deadline = time.monotonic() + self._limits.seconds_for(phase)

    def _send(self, message: Mapping[str, Any]) -> None:
        """Send a message, which is short: the pipe takes it at once, or the worker does not read."""
        try:
            os.write(self._to_worker, pack(message))
        except BrokenPipeError:
            pass  # it has ended: `watch` finds out how
        except BlockingIOError:
            self.end(PROTOCOL_ERROR, "the process of the engine does not read its messages")

    def _resident(self, now: float) -> int:
        """Bytes that its process and all that it started hold; 0 between two looks."""
        if self._limits.memory is None or self._deadline is None or now < self._next_look:
            return 0
        self._next_look = now + LOOK_EVERY
        return self._sessions.resident(self.pid)

    def _limit_memory(self, held: int) -> None:
        limit = self._limits.memory
        if limit is not None and held > limit:
            self.end(OUT_OF_MEMORY, f"{self.phase} took more than {limit / 2**20:,.0f} MiB of memory")

    def _death(self, code: int) -> Ending:
        """How it ended, though nobody here ended it."""
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            return Ending(OUT_OF_MEMORY, f"the system ran out of memory, and killed it in {self.phase}")
        return Ending(CRASHED, f"{_exit_in_words(code)} in {self.phase}")

    def _kill(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _command(python: str | None, descriptors: Sequence[int]) -> list[str]:
    """What starts a worker's process, of this Python or of another."""
    if python is None:
        path = [entry for entry in sys.path if isinstance(entry, str)]  # others Python ignores too
        start, found = [sys.executable], _HERE.format(path=path)
    else:
        # Neither the variables that are meant for this Python, nor the directory it was started in.
        start, found = [python, "-E", "-P"], _ELSEWHERE.format(root=str(Path(__file__).parents[2]))
    return [*start, "-c", _START.format(found=found, descriptors=", ".join(map(str, descriptors)))]


def _drained(descriptor: int) -> tuple[bytes, bool]:
    """What can be read without waiting, at most `READ_AT_ONCE`; and whether the other end is closed."""
    found = b""
    with suppress(BlockingIOError):
        while len(found) < READ_AT_ONCE:
            data = os.read(descriptor, READ_SIZE)
            if not data:
                return found, True
            found += data
    return found, False


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"
