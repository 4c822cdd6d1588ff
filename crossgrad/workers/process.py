"""What runs in a worker's process: one engine, or one function of the user's, case after case.

The process is started by `worker.Worker` in a session of its own, with six
descriptors: messages in, messages out, a pipe whose end of file says that the
parent has gone, and anonymous memory for the case, for its results, and for the
phase that it is at.
"""

import faulthandler
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.variables import THREAD_VARIABLES
from .phases import Announcer
from .protocol import VERSION, Inbox, pack
from .strays import VARIABLE, end_strays

if TYPE_CHECKING:
    from .serving import Server
    from .wire import Message

READ_SIZE = 1 << 16
OOM_SCORE, MOST_OOM_SCORE = 500, 1000
"""Added to a worker's share of the memory, in thousandths, as Linux chooses whom to end (proc(5))."""


def main(inbound: int, outbound: int, life: int, case_file: int, result_file: int, phase_file: int) -> None:
    """Answer messages until the parent closes the pipe."""
    _guard(life, inbound, outbound, case_file, result_file, phase_file)
    _quieten()
    _offer_to_be_killed()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the device is other workers' too
    announce = Announcer(phase_file)
    channel = _Channel(inbound, outbound)
    channel.send({"is": "hello", "version": VERSION, "pid": os.getpid()})
    server: Server | None = None
    while (message := channel.receive()) is not None:
        if server is None:
            server, answer = _load(message, case_file, result_file, announce)
        else:
            answer = server.answer(message)
        channel.send(answer)


class _Channel:
    def __init__(self, inbound: int, outbound: int) -> None:
        self._inbound, self._outbound = inbound, outbound
        self._inbox, self._waiting = Inbox(), list[dict[str, Any]]()

    def send(self, message: dict[str, Any]) -> None:
        content = memoryview(pack(message))
        while content:
            content = content[os.write(self._outbound, content) :]

    def receive(self) -> dict[str, Any] | None:
        while not self._waiting:
            data = os.read(self._inbound, READ_SIZE)
            if not data:
                return None
            self._waiting += self._inbox.feed(data)
        return self._waiting.pop(0)


def _guard(life: int, *others: int) -> None:
    """Leave a process behind that ends this one, and all that it started, when the parent has gone.

    A thread could not: an engine that hangs in C may hold the interpreter's
    lock. Forking is safe here, before any thread or framework; the child does
    nothing but wait, and the group's end is its own. It holds no other
    descriptor: the parent is to see the pipes end with the worker. What has left
    the group is ended first, and the worker with it, by the mark that all have.
    """
    if os.fork():
        os.close(life)
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for descriptor in (0, 1, 2, *others):
        os.close(descriptor)
    os.read(life, 1)
    end_strays({os.environ[VARIABLE]})
    os.killpg(0, signal.SIGKILL)


def _quieten() -> None:
    """Send what engines print to stderr, where the parent keeps the last of it; make crashes speak."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def _offer_to_be_killed() -> None:
    """Have a system that runs out of memory end an engine, which costs its rows, sooner than its parent."""
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError):
        score.write_text(str(min(int(score.read_text()) + OOM_SCORE, MOST_OOM_SCORE)))


def _load(
    message: "Message", case_file: int, result_file: int, announce: Announcer
) -> "tuple[Server, Message]":
    if message.get("cores"):
        _keep_to(message["cores"])
    start = time.perf_counter()
    from .serving import serve

    server, found = serve(message, case_file, result_file, announce)
    return server, {"is": "loaded", **found, "seconds": time.perf_counter() - start}


def _keep_to(cores: int) -> None:
    """Use so many cores: thread pools count those that the process may run on, or read these variables."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(cores)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
