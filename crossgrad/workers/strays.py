"""What an engine started that has left its worker's session: a daemon, a server, a pool of processes.

The end of a process group does not reach it. Children inherit the environment,
though, and a worker's has a mark that no other process has. What clears its
environment, or runs where there is no ``/proc``, is beyond reach.
"""

import os
import signal
from collections.abc import Collection
from contextlib import suppress

from .proc import pids, told

VARIABLE = "CROSSGRAD_WORKER"

MOST_LOOKS = 10
"""What starts a process for each that is ended would keep this up for ever."""

LARGEST_ENVIRONMENT = 1 << 22


def end_strays(marks: Collection[str]) -> None:
    """End every other process that has one of the marks, and what these have started meanwhile."""
    wanted = [f"{VARIABLE}={mark}\0".encode() for mark in marks]
    for _ in range(MOST_LOOKS):
        found = [pid for pid in pids() if pid != os.getpid() and _has_one(pid, wanted)]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _has_one(pid: int, wanted: Collection[bytes]) -> bool:
    environment = told(pid, "environ", LARGEST_ENVIRONMENT)
    return any(mark in environment for mark in wanted)
