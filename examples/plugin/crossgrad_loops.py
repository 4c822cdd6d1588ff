"""Backprop in plain Python: floats, lists and loops, and a model for an engine of your own.

The formulas are every textbook's. For a layer ``z = a_prev @ W.T + b``, ``a = f(z)``:

    dz = da f'(z)      dW = dz.T @ a_prev      db = sum of dz over samples      da_prev = dz @ W

NumPy carries values in and out and computes nothing. A Python float is a
float64, so this engine has no other dtype, and says so.
"""

from collections.abc import Callable
from math import exp
from operator import add, mul, sub
from typing import Any, NamedTuple

import numpy as np

from crossgrad.backends.base import Backend, Program, Trace, Unsupported, require_dtype, require_rules
from crossgrad.networks.batches import Batch
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array
from crossgrad.networks.parameters import Parameters

Vector = list[float]
Matrix = list[Vector]


def sigmoid(z: float) -> float:
    """``1 / (1 + exp(-z))``, for z < 0 with both parts multiplied by exp(z): nothing overflows."""
    e = exp(-abs(z))
    return (1.0 if z >= 0 else e) / (1.0 + e)


ACTIVATIONS: dict[str, tuple[Callable[[float], float], Callable[[float, float], float]]] = {
    "sigmoid": (sigmoid, lambda da, a: da * a * (1.0 - a)),
}
"""By name: ``f(z) -> a``, and what takes da and a to dz."""

LOSSES: dict[str, Callable[[int, int], float]] = {
    "mse": lambda batch, outputs: 1.0 / (batch * outputs),
    "mse-sum": lambda batch, outputs: 1.0,
    "half-mse": lambda batch, outputs: 0.5 / batch,
}
"""By name: the weight w in ``loss = w * sum(r**2)`` with ``r = a - y``, so that ``da = 2 w r``."""


class LoopsBackend(Backend):
    """Plain Python on the CPU."""

    name = "loops"
    variants = ("plain",)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        if device != "cpu":
            raise Unsupported(f"loops runs on cpu only, not on {device}")
        require_dtype(self.name, case.dtype, ["float64"])
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        return LoopsProgram(case)


class Values(NamedTuple):
    """Each layer's ``W (O, I)`` and ``b (O,)``, None without bias; ``x (B, I)`` and ``y (B, O)``."""

    layers: list[tuple[Matrix, Vector | None]]
    x: Matrix
    y: Matrix


class LoopsProgram(Program):
    """The network of a case, layer by layer, forwards and backwards; results go by their names."""

    def __init__(self, case: Case) -> None:
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._weight = LOSSES[case.loss](case.batch_size, case.network.widths[-1])
        self._learning_rate = case.learning_rate

    def put(self, parameters: Parameters, batch: Batch) -> Values:
        layers = [(W.tolist(), None if b is None else b.tolist()) for W, b in parameters]
        return Values(layers, batch.x.tolist(), batch.y.tolist())

    def step(self, values: Values) -> dict[str, Any]:
        found = self._forward(values)
        last = len(values.layers)
        da = elementwise(lambda a, y: 2.0 * self._weight * (a - y), found[f"a.{last}"], values.y)
        for n in range(last, 0, -1):
            (W, b), (_, backward) = values.layers[n - 1], self._activations[n - 1]
            a_prev = found[f"a.{n - 1}"] if n > 1 else values.x
            dz = elementwise(backward, da, found[f"a.{n}"])
            found |= {f"da.{n}": da, f"dz.{n}": dz}
            found[f"dW.{n}"] = product(transposed(dz), transposed(a_prev))
            if b is not None:
                found[f"db.{n}"] = [sum(column) for column in transposed(dz)]
            da = product(dz, transposed(W))
        return found

    def gradients(self, result: dict[str, Any]) -> dict[str, Array]:
        return as_arrays({name: v for name, v in result.items() if name.startswith(("loss", "dW", "db"))})

    def trace(self, values: Values) -> Trace:
        found = self.step(values)
        layers: list[tuple[Matrix, Vector | None]] = []
        for n, (W, b) in enumerate(values.layers, start=1):
            found[f"W_new.{n}"] = elementwise(self._updated, W, found[f"dW.{n}"])
            if b is not None:
                found[f"b_new.{n}"] = list(map(self._updated, b, found[f"db.{n}"]))
            layers.append((found[f"W_new.{n}"], found.get(f"b_new.{n}")))
        found["loss_new"] = self._forward(values._replace(layers=layers))["loss"]
        return Trace(as_arrays(found))

    def _forward(self, values: Values) -> dict[str, Any]:
        found: dict[str, Any] = {}
        a = values.x
        for n, ((W, b), (f, _)) in enumerate(zip(values.layers, self._activations, strict=True), start=1):
            z = product(a, W)
            if b is not None:
                z = [list(map(add, row, b)) for row in z]
            a = [list(map(f, row)) for row in z]
            found |= {f"z.{n}": z, f"a.{n}": a}
        found["loss"] = self._weight * sum(r * r for row in elementwise(sub, a, values.y) for r in row)
        return found

    def _updated(self, parameter: float, gradient: float) -> float:
        return parameter - self._learning_rate * gradient


def product(A: Matrix, B: Matrix) -> Matrix:
    """``A @ B.T``: the scalar product of every row of A with every row of B."""
    return [[sum(map(mul, row, other)) for other in B] for row in A]


def transposed(A: Matrix) -> Matrix:
    return [list(column) for column in zip(*A, strict=True)]


def elementwise(f: Callable[[float, float], float], A: Matrix, B: Matrix) -> Matrix:
    return [list(map(f, *rows)) for rows in zip(A, B, strict=True)]


def as_arrays(quantities: dict[str, Any]) -> dict[str, Array]:
    return {name: np.array(value) for name, value in quantities.items()}
