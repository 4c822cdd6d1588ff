"""How long, and in how much memory, an engine may work before it is ended."""

from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import Self

from ..networks.errors import InvalidInput
from ..networks.whole import whole

IMPORT, COMPILE, RUN = "import", "compile", "run"

RECEIVE = "receive"
"""Where a worker is from when it is sent a case until it says that it has begun."""

PHASE_OF = {"load": IMPORT, RECEIVE: RUN, "prepare": COMPILE, "put": RUN, "step": RUN, "trace": RUN}
"""Which limit counts in what a worker says it is at."""

DUMP = 0.2
"""Seconds in which a process that is late may write where it is."""

GRACE = 1.0
"""Seconds between asking a process to end and ending it."""

LEAST_MEMORY = 2**26
"""Bytes: Python and NumPy alone take most of it, and nothing would run in less."""

FINAL = 2.0
"""Seconds after SIGKILL until a process that the system does not let go is given up."""


@dataclass(frozen=True)
class Limits:
    """Wall-clock seconds for each phase, and bytes of memory: None means no limit.

    The phases are: importing an engine's framework, compiling a case, and
    running it (moving values, the step, the trace), each of which is timed anew.
    `memory` is what a worker's whole session may hold, as far as ``/proc`` tells it:
    where there is none it is not limited. `device_memory` is what a worker may take of
    a device's own, a limit that the framework in it keeps (`Backend.limit_device_memory`).
    """

    importing: float = 120.0
    compiling: float = 300.0
    running: float = 300.0
    memory: int | None = None
    device_memory: int | None = None

    def __post_init__(self) -> None:
        for seconds in (self.importing, self.compiling, self.running):
            if not (isinstance(seconds, Real) and seconds > 0 and isfinite(seconds)):
                raise InvalidInput(f"timeout {seconds!r}: expected a number of seconds above 0")
        for name, least in {"memory": LEAST_MEMORY, "device_memory": 1}.items():
            size = getattr(self, name)
            limit = None if size is None else whole(size) or 0
            if limit is not None and limit < least:
                raise InvalidInput(
                    f"memory limit {size!r}: expected a whole number of bytes, at least {least:,}"
                )
            object.__setattr__(self, name, limit)

    def with_timeout(self, seconds: float | None) -> Self:
        """These limits, with one time for all phases if `seconds` is given."""
        if seconds is None:
            return self
        return replace(self, importing=seconds, compiling=seconds, running=seconds)

    def seconds_for(self, step: str) -> float:
        """The limit of what a worker says it is at."""
        by_phase = {IMPORT: self.importing, COMPILE: self.compiling, RUN: self.running}
        return by_phase[PHASE_OF[step]]
