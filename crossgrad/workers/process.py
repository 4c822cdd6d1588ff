"""What runs in a worker's process: one engine, or one function of the user's, case after case.

The process is started by `worker.Worker` in a session of its own, with six
descriptors: messages in, messages out, a pipe whose end of file says that the
parent has gone, and anonymous memory for the case, for its results, and for the
phase that it is at.
"""

import faulthandler
import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..backends.variables import THREAD_VARIABLES
from .phases import Announcer
from .protocol import VERSION, Inbox, pack
from .strays import VARIABLE, end_strays

READ_SIZE = 1 << 16
Announce = Callable[[str], None]
PROGRAMS_KEPT = 8
"""Compiled programs that a warm worker keeps for cases of the same shapes and rules."""


def main(inbound: int, outbound: int, life: int, case_file: int, result_file: int, phase_file: int) -> None:
    """Answer messages until the parent closes the pipe."""
    _guard(life, inbound, outbound, case_file, result_file, phase_file)
    _quieten()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the device is other workers' too
    announce = Announcer(phase_file)
    channel = _Channel(inbound, outbound)
    channel.send({"is": "hello", "version": VERSION, "pid": os.getpid()})
    worker: Any = None
    while (message := channel.receive()) is not None:
        if message["do"] == "load":
            worker, answer = _load(message, case_file, result_file, announce)
        else:
            answer = worker.answer(message)
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


def _load(
    message: dict[str, Any], case_file: int, result_file: int, announce: Announce
) -> "tuple[_Worker, dict[str, Any]]":
    if message.get("cores"):
        _keep_to(message["cores"])
    start = time.perf_counter()
    worker = _CandidateWorker if message.get("function") else _EngineWorker
    loaded = worker(message, case_file, result_file, announce)
    answer = {
        "is": "loaded",
        "variants": (),
        "devices": (),
        "environment": None,
        "status": "ok",
        "problem": None,
    }
    return loaded, answer | loaded.describe() | {"seconds": time.perf_counter() - start}


def _keep_to(cores: int) -> None:
    """Use so many cores: thread pools count those that the process may run on, or read these variables."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(cores)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


class _Worker:
    def __init__(self, message: dict[str, Any], case_file: int, result_file: int, announce: Announce) -> None:
        self._message, self._announce = message, announce
        self._case_file, self._result_file = case_file, result_file

    def describe(self) -> dict[str, Any]:
        raise NotImplementedError

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run the case that the message describes, and describe what came of it."""
        from ..networks.errors import InvalidInput
        from .wire import read_case, run_message

        try:
            case = read_case(message["case"], self._case_file)
        except InvalidInput as error:
            return {"is": "ran", "ticket": message["ticket"], **_not_here(error)}
        run = self._run(case, message)
        return {"is": "ran", "ticket": message["ticket"], **run_message(run, self._result_file)}

    def _run(self, case: Any, message: dict[str, Any]) -> Any:
        raise NotImplementedError


class _EngineWorker(_Worker):
    """Runs an engine, and keeps its compiled programs: JAX compiles once a shape."""

    def describe(self) -> dict[str, Any]:
        from ..backends.base import BackendUnavailable, devices_of
        from ..backends.registry import find_listing, load
        from ..environment import describe
        from ..networks.errors import InvalidInput
        from ..run import summary_of

        name, python = self._message["backend"], self._message.get("python")
        self._programs: dict[Any, Any] = {}
        self._held: Any = None
        self._backend: Any = None
        try:
            if python and not (listing := find_listing(name)).installed:
                raise BackendUnavailable(
                    f"{name} is not installed: {python} -m pip install {listing.distribution}"
                )
            backend = load(name)
        except (BackendUnavailable, InvalidInput) as error:  # a plugin may be known to the parent only
            return {"status": "missing", "problem": str(error)}
        try:
            if self._message["device_memory"] is not None:
                backend.limit_device_memory(self._message["device_memory"])
            devices, environment = devices_of(backend), describe(backend)
            if python:
                environment |= {"python": platform.python_version(), "interpreter": python}
        except Exception as error:
            problem = f"{backend.name} cannot say which devices it sees: {summary_of(error)}"
            return {"status": "missing", "problem": problem}
        self._backend = backend
        return {"variants": backend.variants, "devices": devices, "environment": environment}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["do"] == "run":
            return super().answer(message)
        if message["do"] == "hold":
            return {"ticket": message["ticket"], **self._hold(message)}
        return {"ticket": message["ticket"], **self._of_held(message)}

    def _hold(self, message: dict[str, Any]) -> dict[str, Any]:
        """Run a case, and keep its program to be timed; let go of what was held before."""
        from ..bench.held import Held
        from ..networks.errors import InvalidInput
        from .wire import read_case, run_message

        self._held = None
        self._backend.forget()
        try:
            case = read_case(message["case"], self._case_file)
        except InvalidInput as error:
            return {"is": "ran", **_not_here(error), "found": {}}
        os.ftruncate(self._case_file, 0)
        self._programs.clear()  # of other settings
        self._backend.settle(case)
        self._held = Held(self._backend, self._engine(message), message["products"], self._announce)
        run, found = self._held.begin(case)
        answer = {"is": "ran", **run_message(run, self._result_file), "found": found}
        del run
        self._backend.give_back()  # the other engines are checked next, and need much memory too
        return answer

    def _of_held(self, message: dict[str, Any]) -> dict[str, Any]:
        from ..run import status_of, summary_of

        if self._held is None:
            return {"is": "gone"}
        try:
            if message["do"] == "again":
                return self._again()
            if message["do"] == "time":
                found: Any = self._held.seconds(message["what"], message["calls"])
            elif message["do"] == "weigh":
                found = self._held.memory()
            else:
                self._held = found = None
        except Exception as error:
            return {"is": "failed", "status": status_of(error), "message": summary_of(error)}
        return {"is": "found", "found": found}

    def _again(self) -> dict[str, Any]:
        from .wire import run_message

        changed = self._held.again()
        if changed is None:
            return {"is": "found", "found": None}
        run, loss = changed
        return {"is": "ran", **run_message(run, self._result_file), "found": loss}

    def _engine(self, message: dict[str, Any]) -> Any:
        from ..engines import EngineId

        return EngineId(self._message["backend"], message["variant"], message["device"])

    def _run(self, case: Any, message: dict[str, Any]) -> Any:
        from ..engines import Engine
        from ..run import run_engine

        engine = Engine(self._engine(message), self._backend)
        return run_engine(case, engine, self._announce, self._prepared)

    def _prepared(self, backend: Any, case: Any, variant: str, device: str) -> Any:
        """A program for the case, from an earlier one of the same shapes and rules if there is one."""
        key = (case.network, case.batch_size, case.loss, case.learning_rate, case.dtype, variant, device)
        if key not in self._programs:
            if len(self._programs) >= PROGRAMS_KEPT:
                self._programs.clear()
                backend.forget()
            self._programs[key] = backend.prepare(case, variant, device)
        return self._programs[key]


def _not_here(error: Exception) -> dict[str, Any]:
    """The run of a case that another Python cannot hold: of a dtype that a package brings."""
    return {"status": "unsupported", "seconds": {}, "message": str(error), "partial": False, "arrays": None}


class _CandidateWorker(_Worker):
    """Runs a function out of a user's file."""

    def describe(self) -> dict[str, Any]:
        from ..backends.base import BackendUnavailable
        from ..candidates import CandidateFile, CandidateFunction
        from ..natives import load_native
        from ..run import place_in, summary_of

        file = CandidateFile(self._message["name"], Path(self._message["file"]), self._message["function"])
        try:
            load_native(self._message["arrays"])
            self._candidate = CandidateFunction(file.load(), self._message["arrays"])
        except BackendUnavailable as error:
            return {"status": "missing", "problem": str(error)}
        except (Exception, SystemExit) as error:  # a script may end by leaving
            return {"status": "failed", "problem": summary_of(error) + place_in(file.file, error)}
        return {"variants": ("candidate",), "devices": ("cpu",)}

    def _run(self, case: Any, message: dict[str, Any]) -> Any:
        from ..run import run_candidate

        return run_candidate(case, self._message["name"], self._candidate, self._announce)
