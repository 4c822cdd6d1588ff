"""An engine that behaves as badly as an engine can, a variant a vice; the numbers come from NumPy's.

Installed beside crossgrad by the tests of the workers and by ``benchmarks/faults.py``.
``CROSSGRAD_ROGUE_IMPORT`` names a vice that shows at import already.
"""

import ctypes
import os
import random
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from zlib import crc32

import numpy as np

from crossgrad.backends.base import Backend, Program, Trace
from crossgrad.backends.registry import load
from crossgrad.networks.batches import Batch
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.networks.parameters import Parameters
from crossgrad.workers.protocol import pack

Quantities = dict[str, Array]
FOREVER = 1000.0


def hang() -> None:
    time.sleep(FOREVER)


def hang_in_c() -> None:
    """Sleep with the interpreter's lock held: no thread of this process runs any more."""
    ctypes.PyDLL(None).sleep(int(FOREVER))


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(3)


def leave_politely() -> None:
    sys.exit(4)


def fail() -> None:
    raise RuntimeError("planted failure\nwith a second line")


def allocate() -> None:
    """Take memory and touch it, without end."""
    taken = []
    while True:
        taken.append(np.ones(2**22))


def fork() -> None:
    """Leave children behind that nobody waits for, one of them in no hurry to die."""
    for stubborn in (False, True):
        if os.fork() == 0:
            if stubborn:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(FOREVER)
            os._exit(0)


def fork_and_crash() -> None:
    fork()
    crash()


def escape() -> None:
    """Leave a daemon behind, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(FOREVER)
        os._exit(0)
    os.wait()


def escape_and_hang() -> None:
    escape()
    hang_in_c()


def chatter() -> None:
    """More on stdout and stderr than any pipe holds."""
    for stream in (1, 2):
        for _ in range(64):
            os.write(stream, os.urandom(2**14))


def babble() -> None:
    """Garbage on every descriptor that can be written to."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"garbage" * 100)
        except OSError:
            continue


def send(*frames: bytes) -> None:
    """Whole frames to every pipe that takes them."""
    for descriptor in range(3, 64):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                for frame in frames:
                    os.write(descriptor, frame)


def nest() -> None:
    """An intact frame, of brackets deeper than JSON is read."""
    body = b"[" * 100_000
    send(struct.pack(">4sII", b"xgrd", len(body), crc32(body)) + body)


def forge() -> None:
    """Answer what a check with one other engine asks second; no float holds its seconds."""
    answer = {"is": "ran", "ticket": 1, "status": "ok", "message": None, "partial": False, "arrays": None}
    send(pack(answer | {"seconds": {"step": 10**400}}))


def close_everything() -> None:
    os.closerange(3, 256)
    hang()


def meddle() -> None:
    """Change what is global: environment, seeds, NumPy's errors, JAX's default, the working folder."""
    os.environ["JAX_ENABLE_X64"] = "1"
    os.environ["OMP_NUM_THREADS"] = "7"
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    np.seterr(all="raise")
    os.chdir("/")


AT_ONCE: dict[str, Callable[[], None]] = {
    "hang": hang,
    "hang-in-c": hang_in_c,
    "ignore-sigterm": ignore_sigterm,
    "crash": crash,
    "leave": leave,
    "leave-politely": leave_politely,
    "fail": fail,
    "allocate": allocate,
    "fork": fork,
    "fork-and-crash": fork_and_crash,
    "escape": escape,
    "escape-and-hang": escape_and_hang,
    "chatter": chatter,
    "babble": babble,
    "nest": nest,
    "forge": forge,
    "close-everything": close_everything,
    "meddle": meddle,
}
"""What happens in the step, or in `prepare` where the variant ends in ``-in-prepare``."""


def _spoil_inputs(quantities: Quantities, case: Case) -> Quantities:
    for W, _ in case.parameters:
        W.setflags(write=True)
        W[...] = 0
    return {}


def _nan(quantities: Quantities, case: Case) -> Quantities:
    return {"dW.1": np.full_like(quantities["dW.1"], np.nan)}


def _read_only(quantities: Quantities, case: Case) -> Quantities:
    for array in quantities.values():
        array.setflags(write=False)
    return {}


DELIVERIES: dict[str, Callable[[Quantities, Case], Quantities]] = {
    "well-behaved": lambda quantities, case: {},
    "wrong-shape": lambda quantities, case: {"dW.1": quantities["dW.1"].ravel()},
    "text": lambda quantities, case: {"dW.1": quantities["dW.1"].astype(str)},
    "objects": lambda quantities, case: {"dW.1": quantities["dW.1"].astype(object)},
    "nan": _nan,
    "non-contiguous": lambda quantities, case: {
        k: np.asfortranarray(a) for k, a in quantities.items() if a.ndim == 2
    },
    "read-only": _read_only,
    "spoil-inputs": _spoil_inputs,
}

TOO_FEW = "too-few"
IN_PREPARE = "-in-prepare"
AT_IMPORT = "-at-import"

STATUSES = {
    "hang": "timeout",
    "hang-in-c": "timeout",
    "ignore-sigterm": "timeout",
    "crash": "crashed",
    "leave": "crashed",
    "leave-politely": "failed",
    "fail": "failed",
    "fail-at-import": "missing",
    "allocate": "out-of-memory",
    "fork-and-crash": "crashed",
    "escape-and-hang": "timeout",
    "babble": "protocol-error",
    "nest": "protocol-error",
    "forge": "protocol-error",
    "close-everything": "protocol-error",
    "text": "failed",
    "objects": "failed",
}
"""By vice, the status that its row must have; any other's is ok: wrong numbers are for the judge to find."""


def expected_status(vice: str) -> str:
    """The status of a variant's row, or of a vice with ``-at-import`` behind it."""
    usual = STATUSES.get(vice.removesuffix(IN_PREPARE).removesuffix(AT_IMPORT), "ok")
    return STATUSES.get(vice, usual)


class RogueBackend(Backend):
    name = "rogue"
    variants = (
        *DELIVERIES,
        TOO_FEW,
        *AT_ONCE,
        *(f"{vice}{IN_PREPARE}" for vice in AT_ONCE),
    )

    def __init__(self) -> None:
        self._device_memory: int | None = None

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def limit_device_memory(self, size: int) -> None:
        self._device_memory = size

    def environment(self) -> dict[str, Any]:
        return {"device_memory": self._device_memory}

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        if variant.endswith(IN_PREPARE):
            AT_ONCE[variant.removesuffix(IN_PREPARE)]()
            variant = "well-behaved"
        return RogueProgram(case, load("numpy").prepare(case, "manual", device), variant)


class RogueProgram(Program):
    def __init__(self, case: Case, right: Program, vice: str) -> None:
        self._case, self._right, self._vice = case, right, vice

    def put(self, parameters: Parameters, batch: Batch) -> Any:
        return self._right.put(parameters, batch)

    def step(self, values: Any) -> Quantities:
        if self._vice in AT_ONCE:
            AT_ONCE[self._vice]()
        quantities = dict(self._right.trace(values).quantities)
        if self._vice == TOO_FEW:
            return {name: array for name, array in quantities.items() if not name.startswith("db")}
        return quantities | DELIVERIES.get(self._vice, DELIVERIES["well-behaved"])(quantities, self._case)

    def gradients(self, result: Quantities) -> Quantities:
        return {n: a for n, a in result.items() if n.partition(".")[0] in ("loss", "dW", "db")}

    def trace(self, values: Any) -> Trace:
        return self._right.trace(values)


if at_import := os.environ.get("CROSSGRAD_ROGUE_IMPORT"):
    AT_ONCE[at_import]()
