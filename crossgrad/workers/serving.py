"""What a worker's process answers: runs of an engine or a candidate, and times of a case that it holds."""

import gc
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends.base import Backend, BackendUnavailable, Program, devices_of
from ..backends.registry import find_listing, load
from ..candidates import CandidateFile, CandidateFunction
from ..engines import CANDIDATE, Engine, EngineId
from ..environment import describe
from ..natives import load_native
from ..networks.cases import Case
from ..networks.errors import InvalidInput
from ..run import (
    FAILED,
    MISSING,
    OK,
    UNSUPPORTED,
    Announce,
    Run,
    place_in,
    run_candidate,
    run_engine,
    status_of,
    summary_of,
)
from .held import Held
from .wire import Message, read_case, run_message

PROGRAMS_KEPT = 8
"""Compiled programs that a warm worker keeps for cases of the same shapes and rules."""


class NotServed(RuntimeError):
    """What was to be served is not there: the status of every run of it, and the reason in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server(ABC):
    """Runs cases out of one file, and puts what they deliver into another.

    Parameters
    ----------
    message
        As `Pool.open` has it: what is to be loaded.
    """

    def __init__(self, message: Message, case_file: int, result_file: int, announce: Announce) -> None:
        self._message, self._announce = message, announce
        self._case_file, self._result_file = case_file, result_file

    @abstractmethod
    def load(self) -> Mapping[str, Any]:
        """Import what is to be run; return the fields of its `wire.Description`.

        Raises
        ------
        NotServed
            If it is not there.
        """

    def answer(self, message: Message) -> Message:
        """Do what a message asks for, by default run the case that it describes."""
        return {"ticket": message["ticket"], **self._answer(message)}

    def _answer(self, message: Message) -> Message:
        try:
            case = read_case(message["case"], self._case_file)
        except InvalidInput as error:
            return _not_here(error)
        return self._ran(self._run(case, message))

    @abstractmethod
    def _run(self, case: Case, message: Message) -> Run: ...

    def _ran(self, run: Run) -> Message:
        return {"is": "ran", **run_message(run, self._result_file)}


class EngineServer(Server):
    """Runs an engine, and keeps its compiled programs: JAX compiles once a shape."""

    def load(self) -> Mapping[str, Any]:
        name, python = self._message["backend"], self._message.get("python")
        self._programs: dict[tuple[object, ...], Program] = {}
        self._held: Held | None = None
        try:
            if python and not (listing := find_listing(name)).installed:
                raise BackendUnavailable(
                    f"{name} is not installed: {python} -m pip install {listing.distribution}"
                )
            backend = self._backend = load(name)
        except (BackendUnavailable, InvalidInput) as error:  # a plugin may be known to the parent only
            raise NotServed(MISSING, str(error)) from None
        try:
            if self._message["device_memory"] is not None:
                backend.limit_device_memory(self._message["device_memory"])
            devices, environment = devices_of(backend), describe(backend)
        except Exception as error:
            problem = f"{backend.name} cannot say which devices it sees: {summary_of(error)}"
            raise NotServed(MISSING, problem) from None
        if python:
            environment |= {"python": platform.python_version(), "interpreter": python}
        return {"variants": backend.variants, "devices": devices, "environment": environment}

    def _answer(self, message: Message) -> Message:
        if message["do"] == "run":
            return super()._answer(message)
        return self._hold(message) if message["do"] == "hold" else self._of_held(message)

    def _hold(self, message: Message) -> Message:
        """Run a case, and keep its program to be timed; let go of what was held before."""
        self._held = None
        self._backend.forget()
        try:
            case = read_case(message["case"], self._case_file)
        except InvalidInput as error:
            return _not_here(error) | {"found": {}}
        os.ftruncate(self._case_file, 0)
        self._programs.clear()  # of other settings
        self._backend.settle(case)
        self._held = Held(self._backend, self._engine(message), message["products"], self._announce)
        run, found = self._held.begin(case)
        answer = self._ran(run) | {"found": found}
        del run
        self._backend.give_back()  # the other engines are checked next, and need much memory too
        return answer

    def _of_held(self, message: Message) -> Message:
        if self._held is None:
            return {"is": "gone"}
        try:
            if message["do"] == "again":
                return self._again(self._held)
            return {"is": "found", "found": self._found(self._held, message)}
        except Exception as error:
            return {"is": "failed", "status": status_of(error), "message": summary_of(error)}

    def _found(self, held: Held, message: Message) -> object:
        if message["do"] == "time":
            return held.seconds(message["what"], message["calls"])
        if message["do"] == "weigh":
            return held.memory()
        self._held = None
        gc.unfreeze()
        gc.collect()
        self._backend.give_back()
        return None

    def _again(self, held: Held) -> Message:
        changed = held.again()
        if changed is None:
            return {"is": "found", "found": None}
        run, loss = changed
        return self._ran(run) | {"found": loss}

    def _engine(self, message: Message) -> EngineId:
        return EngineId(self._message["backend"], message["variant"], message["device"])

    def _run(self, case: Case, message: Message) -> Run:
        engine = Engine(self._engine(message), self._backend)
        return run_engine(case, engine, self._announce, self._prepared)

    def _prepared(self, backend: Backend, case: Case, variant: str, device: str) -> Program:
        """A program for the case, from an earlier one of the same shapes and rules if there is one."""
        key = (case.network, case.batch_size, case.loss, case.learning_rate, case.dtype, variant, device)
        if key not in self._programs:
            if len(self._programs) >= PROGRAMS_KEPT:
                self._programs.clear()
                backend.forget()
            self._programs[key] = backend.prepare(case, variant, device)
        return self._programs[key]


class CandidateServer(Server):
    """Runs a function out of a user's file."""

    def load(self) -> Mapping[str, Any]:
        file = CandidateFile(self._message["name"], Path(self._message["file"]), self._message["function"])
        try:
            load_native(self._message["arrays"])
            self._candidate = CandidateFunction(file.load(), self._message["arrays"])
        except BackendUnavailable as error:
            raise NotServed(MISSING, str(error)) from None
        except (Exception, SystemExit) as error:  # a script may end by leaving
            raise NotServed(FAILED, summary_of(error) + place_in(file.file, error)) from None
        return {"variants": (CANDIDATE,), "devices": ("cpu",)}

    def _run(self, case: Case, message: Message) -> Run:
        return run_candidate(case, self._message["name"], self._candidate, self._announce)


def serve(
    message: Message, case_file: int, result_file: int, announce: Announce
) -> tuple[Server, Mapping[str, Any]]:
    """Load what a message names; return who answers from now on, and the description of it."""
    kind = CandidateServer if message.get("function") else EngineServer
    server = kind(message, case_file, result_file, announce)
    nothing = {"variants": (), "devices": (), "environment": None, "status": OK, "problem": None}
    try:
        return server, {**nothing, **server.load()}
    except NotServed as error:
        return server, {**nothing, "status": error.status, "problem": str(error)}


def _not_here(error: Exception) -> Message:
    """The run of a case that another Python cannot hold: of a dtype that a package brings."""
    told = {"status": UNSUPPORTED, "seconds": {}, "message": str(error), "partial": False, "arrays": None}
    return {"is": "ran", **told}
