r"""Backprop derived by hand.

For one layer, with the chain rule and the letters of ``networks/spec.py``:

    z[s,o]  = sum_i a_prev[s,i] W[o,i] + b[o]        a[s,o] = f(z[s,o])

    dz[s,o] = da[s,o] f'(z[s,o])                     f is elementwise
    dW[o,i] = sum_s dz[s,o] dz/dW = sum_s dz[s,o] a_prev[s,i]    dW = dz.T @ a_prev
    db[o]   = sum_s dz[s,o]                          z[s,o] holds b[o] once a sample
    da_prev[s,i] = sum_o dz[s,o] W[o,i]              da_prev = dz @ W

The loss gives da of the last layer; each layer hands da_prev to the one below.

float16 and bfloat16 have no arithmetic of their own in NumPy's matrix
products: the engine computes in float32 and rounds each stored quantity.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import (
    Backend,
    BackendUnavailable,
    Program,
    Trace,
    numbered,
    require_dtype,
    require_rules,
)
from .activations import ACTIVATIONS
from .losses import LOSSES

DTYPES = ("float16", "bfloat16", "float32", "float64")


class NumpyBackend(Backend):
    """Hand-derived backprop on the CPU."""

    name = "numpy"
    variants = ("manual",)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        if device not in self.devices():
            raise BackendUnavailable("numpy runs on cpu only")
        require_dtype(self.name, case.dtype, DTYPES)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        return NumpyProgram(case)

    def environment(self) -> dict[str, Any]:
        blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        return {"blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()}


@dataclass(frozen=True)
class _Values:
    """What the step works on: arrays of the arithmetic's dtype."""

    weights: tuple[Array, ...]
    biases: tuple[Array | None, ...]
    x: Array
    y: Array


@dataclass(frozen=True)
class _Forward:
    z: list[Array]
    a: list[Array]
    """``a[0]`` is x, ``a[n]`` the output of layer n."""

    loss: Any


@dataclass(frozen=True)
class _Backward:
    """Derivatives, a list entry a layer, in the order of the layers."""

    da: list[Array]
    dz: list[Array]
    dW: list[Array]
    db: list[Array | None]


class NumpyProgram(Program):
    """The network of a case as a loop over its layers, forwards and backwards."""

    def __init__(self, case: Case) -> None:
        self._storage = find_dtype(case.dtype).storage
        self._arithmetic = np.dtype(np.float32) if self._storage.itemsize == 2 else self._storage
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = self._arithmetic.type(case.learning_rate)

    def put(self, parameters: Parameters, batch: Batch) -> _Values:
        def copied(array: Array) -> Array:
            return array.astype(self._arithmetic)

        return _Values(
            weights=tuple(copied(W) for W, _ in parameters),
            biases=tuple(None if b is None else copied(b) for _, b in parameters),
            x=copied(batch.x),
            y=copied(batch.y),
        )

    def step(self, values: _Values) -> tuple[_Forward, _Backward]:
        with np.errstate(over="ignore", invalid="ignore"):
            forward = self._forward(values)
            return forward, self._backward(values, forward)

    def gradients(self, result: tuple[_Forward, _Backward]) -> dict[str, Array]:
        forward, backward = result
        return self._stored(
            {"loss": forward.loss} | numbered("dW", backward.dW) | numbered("db", backward.db)
        )

    def trace(self, values: _Values) -> Trace:
        forward, backward = result = self.step(values)
        with np.errstate(over="ignore", invalid="ignore"):
            W_new = [self._updated(W, dW) for W, dW in zip(values.weights, backward.dW, strict=True)]
            b_new = [
                None if b is None else self._updated(b, db)
                for b, db in zip(values.biases, backward.db, strict=True)
            ]
            updated = _Values(tuple(W_new), tuple(b_new), values.x, values.y)
            loss_new = self._forward(updated).loss
        quantities = numbered("z", forward.z) | numbered("a", forward.a[1:])
        quantities |= numbered("da", backward.da) | numbered("dz", backward.dz)
        quantities |= numbered("W_new", W_new) | numbered("b_new", b_new) | {"loss_new": loss_new}
        return Trace(self._stored(quantities) | self.gradients(result))

    def _forward(self, values: _Values) -> _Forward:
        a, saved_z, saved_a = values.x, [], [values.x]
        for W, b, activation in zip(values.weights, values.biases, self._activations, strict=True):
            z = a @ W.T
            if b is not None:
                z += b
            z = self._round(z)
            a = self._round(activation.forward(z))
            saved_z.append(z)
            saved_a.append(a)
        return _Forward(saved_z, saved_a, self._round(self._loss.value(a, values.y)))

    def _backward(self, values: _Values, forward: _Forward) -> _Backward:
        da = self._round(self._loss.backward(forward.a[-1], values.y))
        found = _Backward([], [], [], [])
        for n in reversed(range(len(values.weights))):
            dz = self._round(self._activations[n].backward(da, forward.a[n + 1]))
            found.da.append(da)
            found.dz.append(dz)
            found.dW.append(self._round(dz.T @ forward.a[n]))
            found.db.append(None if values.biases[n] is None else self._round(dz.sum(axis=0)))
            if n:
                da = self._round(dz @ values.weights[n])
        return _Backward(found.da[::-1], found.dz[::-1], found.dW[::-1], found.db[::-1])

    def _updated(self, parameter: Array, gradient: Any) -> Array:
        """One step of gradient descent: ``p - lr * dp``."""
        updated: Array = self._round(parameter - self._learning_rate * gradient)
        return updated

    def _round(self, value: Any) -> Any:
        """Round to the storage dtype where the arithmetic is wider; the carrier stays float32."""
        if self._storage == self._arithmetic:
            return value
        return value.astype(self._storage).astype(self._arithmetic)

    def _stored(self, quantities: dict[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(value, self._storage) for name, value in quantities.items()}
