"""What an engine started that has left its worker's session: a daemon, a server, a pool of processes.

The end of a process group does not reach it. Children inherit the environment,
though, and a worker's has a mark that no other process has. What clears its
environment, or runs where there is no ``/proc``, is beyond reach.
"""

import os
import signal
from collections.abc import Collection
from contextlib import suppress

VARIABLE = "CROSSGRAD_WORKER"

MOST_LOOKS = 10
"""What starts a process for each that is ended would keep this up for ever."""

LARGEST_ENVIRONMENT = 1 << 22


def end_strays(marks: Collection[str]) -> None:
    """End every other process that has one of the marks, and what these have started meanwhile."""
    wanted = [f"{VARIABLE}={mark}\0".encode() for mark in marks]
    for _ in range(MOST_LOOKS):
        found = [pid for pid in _others() if any(mark in _environment(pid) for mark in wanted)]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _others() -> list[int]:
    with suppress(OSError), os.scandir("/proc") as entries:
        return [int(e.name) for e in entries if e.name.isdecimal() and int(e.name) != os.getpid()]
    return []


def _environment(pid: int) -> bytes:
    """What a process was started with, NUL after each variable; nothing of the dead and of strangers."""
    with suppress(OSError):
        descriptor = os.open(f"/proc/{pid}/environ", os.O_RDONLY)
        try:
            return os.read(descriptor, LARGEST_ENVIRONMENT)
        finally:
            os.close(descriptor)
    return b""
