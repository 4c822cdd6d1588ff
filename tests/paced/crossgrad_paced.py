"""An engine for tests of benchmarks: NumPy's, right when it is checked, and with a vice when it is timed.

A variant a vice; ``slower-N`` spends N per cent more on each step, ``again-0`` is ``slower-0`` once more.
"""

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from crossgrad.backends.base import Backend, Products, Program, Trace, Unsupported
from crossgrad.backends.registry import load
from crossgrad.networks.batches import Batch
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.networks.parameters import Parameters

CHECKED = 3
"""Steps after which a benchmark has certainly begun to time."""


def out_of_memory() -> None:
    raise MemoryError("planted: no memory left")


VICES: dict[str, Callable[[], object]] = {
    "right": lambda: None,
    "late-crash": lambda: ctypes.string_at(0),
    "late-exit": lambda: os._exit(3),
    "late-hang": lambda: time.sleep(1000),
    "late-failure": lambda: 1 / 0,
    "late-out-of-memory": out_of_memory,
}
SLOWER = {"slower-0": 0.0, "again-0": 0.0, "slower-5": 0.05, "slower-400": 4.0}
CLOCKS: dict[str, Any] = {
    "clock-nan": np.nan,
    "clock-back": -1.0,
    "clock-words": "soon",
    "clock-eons": 10**400,
}
PARTS: dict[str, Any] = {"parts-back": {"trace": -1e-9}, "parts-words": {"cache": "hit"}}
PEAKS = {"less-than-nothing": -5, "beyond-count": 2**63}
COPIES: dict[str, Any] = {"copy-words": "much", "copy-back": -4096, "copy-at-once": 4096}
WRONG = ("wrong-forward", "wrong-update", "wrong-step", "late-wrong")


class PacedBackend(Backend):
    name = "paced"
    variants = (*VICES, *SLOWER, *CLOCKS, *WRONG, *PARTS, *PEAKS, *COPIES, "undecodable", "products-fail")

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def environment(self) -> dict[str, Any]:
        return {"libraries": [{"path": "undecodable-\udce9.so"}]}

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self._variant = variant
        if variant == "undecodable":
            raise Unsupported("planted: no \udce9 here")
        return PacedProgram(load("numpy").prepare(case, "manual", device), variant)

    def products(self, case: Case, device: str) -> Products:
        if self._variant == "products-fail":
            raise ArithmeticError("planted: no products")
        if self._variant not in COPIES:
            return super().products(case, device)
        return PacedProducts(load("numpy").products(case, device), COPIES[self._variant])


class PacedProducts(Products):
    """NumPy's, but for the copy: as large as is said, and in no time."""

    def __init__(self, right: Products, size: Any) -> None:
        self._right, self._size = right, size

    def seconds(self, call: Callable[[], object], calls: int) -> float:
        return 0.0 if call == self.copy else super().seconds(call, calls)

    def forward(self) -> Any:
        return self._right.forward()

    def step(self) -> Any:
        return self._right.step()

    def copy(self) -> Any:
        return self._right.copy()

    @property
    def copied_bytes(self) -> int:
        size: int = self._size
        return size


class PacedProgram(Program):
    def __init__(self, right: Program, variant: str) -> None:
        self._right, self._variant, self._steps = right, variant, 0
        self.preparation = PARTS.get(variant, {})

    def seconds(self, call: Callable[[], object], calls: int) -> float:
        right = super().seconds(call, calls)
        clock: float = CLOCKS.get(self._variant, right)
        return clock

    def device_peak(self, call: Callable[[], object]) -> int | None:
        return PEAKS.get(self._variant)

    def put(self, parameters: Parameters, batch: Batch) -> Any:
        return self._right.put(parameters, batch)

    def step(self, values: Any) -> Any:
        self._steps += 1
        if self._steps > CHECKED:
            VICES.get(self._variant, VICES["right"])()
        start = time.perf_counter()
        result = self._right.step(values)
        extra = SLOWER.get(self._variant, 0.0) * (time.perf_counter() - start)
        end = time.perf_counter() + extra
        while extra and time.perf_counter() < end:
            pass
        return result

    def gradients(self, result: Any) -> dict[str, Array]:
        found = self._right.gradients(result)
        wrong = self._variant == "wrong-step" or (self._variant == "late-wrong" and self._steps > CHECKED)
        return {**found, "dW.1": -found["dW.1"]} if wrong else found

    def trace(self, values: Any) -> Trace:
        return self._right.trace(values)

    def forward(self, values: Any) -> Any:
        return self._right.forward(values)

    def loss(self, result: Any) -> Array:
        right = self._right.loss(result)
        return np.asarray(2 * right) if self._variant == "wrong-forward" else right

    def update(self, values: Any, result: Any) -> Any:
        return self._right.update(values, result)

    def updated(self, parameters: Any) -> dict[str, Array]:
        found = self._right.updated(parameters)
        return {**found, "W_new.1": 2 * found["W_new.1"]} if self._variant == "wrong-update" else found
