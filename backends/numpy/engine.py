"""The hand-derived engine: what the contract of ``backends/base.py`` asks, around `Workspace`.

float16 and bfloat16 have no arithmetic of their own in NumPy's matrix
products: the engine computes in float32 and rounds each stored quantity.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import (
    Backend,
    BackendUnavailable,
    Products,
    Program,
    Trace,
    numbered,
    require_dtype,
    require_rules,
    settings_in_variables,
)
from ..variables import KERNEL_VARIABLES
from .activations import ACTIVATIONS
from .backprop import Dense, Store, Workspace
from .losses import LOSSES
from .memory import Order, copy, empty
from .multiply import layout_of
from .products import NumpyProducts
from .scalars import without_warnings

NATIVE = ("float32", "float64")
DTYPES = ("float16", "bfloat16", *NATIVE)


class NumpyBackend(Backend):
    """Hand-derived backprop on the CPU."""

    name = "numpy"
    variants = ("manual",)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self._require(device)
        require_dtype(self.name, case.dtype, DTYPES)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        return NumpyProgram(case)

    def products(self, case: Case, device: str) -> Products:
        self._require(device)
        require_dtype(f"{self.name}'s matrix product", case.dtype, NATIVE)
        return NumpyProducts(case)

    def environment(self) -> dict[str, Any]:
        blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        return {
            "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
            **_kernels(),
            **settings_in_variables(*KERNEL_VARIABLES),
        }

    def _require(self, device: str) -> None:
        if device not in self.devices():
            raise BackendUnavailable("numpy runs on cpu only")


def _kernels() -> dict[str, str]:
    """The processor whose kernels the matrix library runs, where threadpoolctl is there to ask it."""
    if find_spec("threadpoolctl") is None:
        return {}
    import threadpoolctl

    found = (about.get("architecture") for about in threadpoolctl.threadpool_info())
    names = sorted({name for name in found if name})
    return {"kernels": ", ".join(names)} if names else {}


@dataclass(frozen=True)
class _Values:
    """What the step works on: arrays of the arithmetic's dtype, frozen."""

    parameters: tuple[Dense, ...]
    x: Array
    y: Array


_New = list[tuple[Array, Array | None]]
"""Updated W and b of each layer."""


class NumpyProgram(Program):
    """The network of a case, with everything that its shapes decide prepared."""

    def __init__(self, case: Case) -> None:
        self._storage = find_dtype(case.dtype).storage
        self._narrow = self._storage.itemsize == 2
        self._arithmetic = np.dtype(np.float32) if self._narrow else self._storage
        self._network, self._batch_size = case.network, case.batch_size
        self._rules = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = np.array(case.learning_rate, self._arithmetic)
        self._layout = layout_of(case.network.shapes, case.batch_size, self._arithmetic)
        self._workspace = self._new_workspace()
        self._store: Store | None = self._round_stored if self._narrow else None
        self._quietly = without_warnings(overflow="ignore")

    def put(self, parameters: Parameters, batch: Batch) -> _Values:
        layers = (
            self._dense(self._frozen(W, order), None if b is None else self._frozen(b))
            for (W, b), order in zip(parameters, self._layout.weights, strict=True)
        )
        samples = self._layout.samples
        return _Values(tuple(layers), self._frozen(batch.x, samples), self._frozen(batch.y, samples))

    def step(self, values: _Values) -> tuple[Workspace, Any]:
        work = self._workspace
        return work, self._quietly(work.step, values.parameters, values.x, values.y, self._store)

    def gradients(self, result: tuple[Workspace, Any]) -> dict[str, Array]:
        work, loss = result
        return self._stored({"loss": loss} | numbered("dW", work.dW) | numbered("db", work.db))

    def forward(self, values: _Values) -> Any:
        return self._quietly(self._workspace.loss, values.parameters, values.x, values.y, self._store)

    def loss(self, result: Any) -> Array:
        return np.array(result, self._storage)

    def update(self, values: _Values, result: tuple[Workspace, Any]) -> _New:
        new: _New = self._quietly(self._update, values, result[0], self._updates)
        return new

    def updated(self, parameters: _New) -> dict[str, Array]:
        W, b = zip(*parameters, strict=True)
        return self._stored(numbered("W_new", W) | numbered("b_new", b))

    def trace(self, values: _Values) -> Trace:
        return Trace(self._quietly(self._trace, values))

    def _trace(self, values: _Values) -> dict[str, Array]:
        """Run a step in arrays of its own, and copy each quantity before the next is written over it."""
        found: dict[str, Array] = {}

        def store(kind: str, n: int, value: Array) -> None:
            if self._narrow:
                self._round(value)
            found[f"{kind}.{n}"] = value.astype(self._storage, order="C")

        work = self._new_workspace()
        loss = work.step(values.parameters, values.x, values.y, store)
        new = self._update(values, work, self._new_parameters())
        loss_new = work.loss([self._dense(W, b) for W, b in new], values.x, values.y, self._store)
        return found | self._stored({"loss": loss, "loss_new": loss_new}) | self.updated(new)

    def _update(self, values: _Values, work: Workspace, new: _New) -> _New:
        return [
            (self._updated(p.W, dW, W), None if p.b is None else self._updated(p.b, db, b))
            for p, dW, db, (W, b) in zip(values.parameters, work.dW, work.db, new, strict=True)
        ]

    def _updated(self, parameter: Array, gradient: Any, out: Any) -> Array:
        """One step of gradient descent, ``p - lr * dp``."""
        np.multiply(gradient, self._learning_rate, out)
        updated: Array = np.subtract(parameter, out, out)
        if self._narrow:
            self._round(updated)
        return updated

    @cached_property
    def _updates(self) -> _New:
        """What `update` writes to."""
        return self._new_parameters()

    def _new_parameters(self) -> _New:
        return [
            (empty((o, i), self._arithmetic, order), empty(o, self._arithmetic) if layer.bias else None)
            for (o, i), layer, order in zip(
                self._network.shapes, self._network.layers, self._layout.weights, strict=True
            )
        ]

    def _dense(self, W: Array, b: Array | None) -> Dense:
        return Dense.of(W, b, self._batch_size, self._layout.samples)

    def _new_workspace(self) -> Workspace:
        return Workspace(
            self._network.shapes,
            [layer.bias for layer in self._network.layers],
            self._rules,
            self._loss,
            self._batch_size,
            self._arithmetic,
            self._layout,
        )

    def _frozen(self, array: Array, order: Order = "C") -> Array:
        copied = copy(array, self._arithmetic, order)
        copied.setflags(write=False)
        return copied

    def _round_stored(self, kind: str, n: int, value: Array) -> None:
        self._round(value)

    def _round(self, value: Array) -> None:
        """Round to the storage dtype, which is narrower than the arithmetic; the carrier stays float32."""
        value[...] = value.astype(self._storage)

    def _stored(self, quantities: dict[str, Any]) -> dict[str, Array]:
        return {name: np.array(value, self._storage, order="C") for name, value in quantities.items()}
