"""Memory that processes hold, as far as ``/proc`` tells it; nothing where there is none."""

import os
import time
from collections import defaultdict
from contextlib import suppress

COUNT_EVERY = 5.0
"""Seconds between two looks at all processes, to find those that an engine started."""

SHARE = 1e-3
"""Of the time, at most, that looking at all processes takes where there are many."""


class Sessions:
    """Which processes belong to which session, found anew now and then for all that ask."""

    def __init__(self) -> None:
        self._members: dict[int, list[int]] = {}
        self._next = 0.0

    def resident(self, leader: int) -> int:
        """Bytes that a session's leader holds, and those that were in its session when last looked at."""
        now = time.monotonic()
        if now >= self._next:
            self._members = _sessions()
            spent = time.monotonic() - now
            self._next = now + max(COUNT_EVERY, spent / SHARE)
        return sum(map(resident, {leader, *self._members.get(leader, ())}))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _sessions() -> dict[int, list[int]]:
    """The processes of each session, by its leader."""
    found = defaultdict(list)
    with suppress(OSError), os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdecimal():
                with suppress(OSError, IndexError, ValueError):
                    found[int(_read(f"/proc/{entry.name}/stat").rpartition(b")")[2].split()[3])].append(
                        int(entry.name)
                    )
    return found


def _read(path: str) -> bytes:
    """A short file's content; these are read five times a second, so without Python's layers."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
