"""An engine that exists to be rejected: the hand-derived one with a planted bug, a variant a bug.

A bug in the backward pass changes derivatives, and the updated parameters and
loss follow from the wrong ones, as they would in a real engine. A bug in the
delivery leaves the numbers right and hands one of them over wrongly. The
variant ``none`` has no bug: what makes the others disagree is the bug alone.

`step` and `trace` share one computation, so every bug is in both; only
``missing-in-step`` leaves db out of the timed core alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from crossgrad.backends.base import Backend, Program, Trace
from crossgrad.backends.registry import load
from crossgrad.networks.batches import Batch
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.networks.parameters import DenseParameters, Parameters

Quantities = dict[str, Array]
Bug = Callable[[Quantities, Case], Quantities]
"""Takes every quantity of a case and returns those that it gets wrong."""


def _of(quantities: Quantities, *kinds: str) -> Quantities:
    return {name: array for name, array in quantities.items() if name.partition(".")[0] in kinds}


def _derivatives_times(factor: Callable[[Case], float]) -> Bug:
    """A constant factor where the loss is differentiated: the chain rule carries it everywhere."""

    def bug(quantities: Quantities, case: Case) -> Quantities:
        scale = case.format.storage.type(factor(case))
        return {name: scale * array for name, array in _of(quantities, "da", "dz", "dW", "db").items()}

    return bug


def _transposed(quantities: Quantities, case: Case) -> Quantities:
    """``a_prev.T @ dz`` in place of ``dz.T @ a_prev``: the same shape if the layer is square."""
    return {name: dW.T for name, dW in _of(quantities, "dW").items()}


def _dropped_sample(quantities: Quantities, case: Case) -> Quantities:
    """The sums over the batch stop one sample early: ``range(B - 1)``."""
    wrong: Quantities = {}
    for n in range(1, len(case.parameters) + 1):
        dz, a_prev = quantities[f"dz.{n}"], quantities[f"a.{n - 1}"] if n > 1 else case.batch.x
        wrong |= {f"dW.{n}": dz[:-1].T @ a_prev[:-1], f"db.{n}": dz[:-1].sum(axis=0)}
    return wrong


BACKWARD_BUGS: dict[str, Bug] = {
    "none": lambda quantities, case: {},
    "zero": _derivatives_times(lambda case: 0.0),
    "sign": _derivatives_times(lambda case: -1.0),
    "half": _derivatives_times(lambda case: 0.5),
    "no-batch-mean": _derivatives_times(lambda case: case.batch_size),
    "transposed": _transposed,
    "dropped-sample": _dropped_sample,
}


def _raise(quantities: Quantities) -> Quantities:
    raise RuntimeError("planted failure")


def _nan(quantities: Quantities) -> Quantities:
    dW = quantities["dW.1"].copy()
    dW[-1, -1] = np.nan
    return quantities | {"dW.1": dW}


DELIVERY_BUGS: dict[str, Callable[[Quantities], Quantities]] = {
    "nan": _nan,
    "missing": lambda quantities: {name: array for name, array in quantities.items() if name != "db.1"},
    "wrong-shape": lambda quantities: quantities | {"db.1": quantities["db.1"][:, np.newaxis]},
    "wrong-dtype": lambda quantities: quantities | {"dW.1": quantities["dW.1"].astype(np.float16)},
    "raises": _raise,
    "text": lambda quantities: quantities | {"dW.1": quantities["dW.1"].astype(str)},
    "missing-in-step": lambda quantities: quantities,
}


class FaultyBackend(Backend):
    """The NumPy engine with the bug that the variant names."""

    name = "faulty"
    variants = (*BACKWARD_BUGS, *DELIVERY_BUGS)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        return FaultyProgram(case, load("numpy").prepare(case, "manual", device), variant)


class FaultyProgram(Program):
    """A right program whose results are spoilt on the way out."""

    def __init__(self, case: Case, right: Program, bug: str) -> None:
        self._case = case
        self._right = right
        self._bug = bug

    def put(self, parameters: Parameters, batch: Batch) -> Any:
        return self._right.put(parameters, batch)

    def step(self, values: Any) -> Quantities:
        quantities = dict(self._right.trace(values).quantities)
        if self._bug in DELIVERY_BUGS:
            return DELIVERY_BUGS[self._bug](quantities)
        wrong = BACKWARD_BUGS[self._bug](quantities, self._case)
        return quantities | wrong | (self._updates(quantities | wrong) if wrong else {})

    def gradients(self, result: Quantities) -> Quantities:
        if self._bug == "missing-in-step":
            return _of(result, "loss", "dW")
        return _of(result, "loss", "dW", "db")

    def trace(self, values: Any) -> Trace:
        return Trace(self.step(values))

    def _updates(self, quantities: Quantities) -> Quantities:
        """The step of gradient descent that the derivatives in `quantities` lead to."""
        rate = self._case.format.storage.type(self._case.learning_rate)
        updated = [
            DenseParameters(W - rate * quantities[f"dW.{n}"], b - rate * quantities[f"db.{n}"])
            for n, (W, b) in enumerate(self._case.parameters, start=1)
        ]
        after = self._right.gradients(self._right.step(self._right.put(tuple(updated), self._case.batch)))
        found = {"loss_new": after["loss"]}
        for n, (W, b) in enumerate(updated, start=1):
            found |= {f"W_new.{n}": W, f"b_new.{n}": b}
        return found
