"""Memory that processes hold, as far as ``/proc`` tells it; nothing where there is none."""

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .proc import pids, told

COUNT_EVERY = 5.0
"""Seconds between two looks at all processes, to find those that an engine started."""

SHARE = 5e-4
"""Of the time, at most, that looking at all processes takes where there are many."""


class Sessions:
    """Which processes belong to which session, found anew now and then for all that ask.

    What is looked at five times a second is kept open: reading is a quarter of
    opening, reading and closing.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[int]] = {}
        self._next = 0.0

    def resident(self, leader: int) -> int:
        """Bytes that a session's leader holds, and those that were in its session when last looked at."""
        if leader not in self._open:
            self._open[leader] = _opened([leader])
        now = time.monotonic()
        if now >= self._next:
            members = _sessions()
            for known in self._open:
                self._close(known)
                self._open[known] = _opened({known, *members.get(known, ())})
            self._next = now + max(COUNT_EVERY, (time.monotonic() - now) / SHARE)
        return sum(map(_resident, self._open[leader]))

    def forget(self, leader: int) -> None:
        """A session is at its end; nothing is kept open of it."""
        self._close(leader)
        self._open.pop(leader, None)

    def _close(self, leader: int) -> None:
        for descriptor in self._open.get(leader, ()):
            os.close(descriptor)


def most_held(pid: int) -> int:
    """Bytes that a process held at most since its peak was last forgotten: none if it has ended."""
    with suppress(ValueError, IndexError):
        return peak_in(told(pid, "status")) or 0
    return 0


def oom_kills() -> int:
    """How many processes the system has killed since it began, to have memory for others."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def peak_in(status: bytes) -> int | None:
    """Bytes that a process held at most, by what its ``/proc/PID/status`` holds; None if it does not say."""
    lines = status.splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"VmHWM:")), None)


def _opened(pids: Iterable[int]) -> list[int]:
    found = []
    for pid in pids:
        with suppress(OSError):
            found.append(os.open(f"/proc/{pid}/statm", os.O_RDONLY))
    return found


def _resident(statm: int) -> int:
    """Bytes of memory that a process holds: none if it has ended."""
    try:
        return int(os.pread(statm, 256, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _sessions() -> dict[int, list[int]]:
    """The processes of each session, by its leader."""
    found = defaultdict(list)
    for pid in pids():
        with suppress(IndexError, ValueError):
            found[int(told(pid, "stat").rpartition(b")")[2].split()[3])].append(pid)
    return found
