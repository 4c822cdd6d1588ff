r"""One training step in ball arithmetic at a given precision.

Mathematics
-----------
A bias is the weight of an input that is always 1. With a column of ones
appended to a layer's inputs, ``A = [a_prev, 1]``, and the bias appended to its
weights, ``M = [W, b]``, a layer is ``z = A M'`` and nothing else. Write <X, Y>
for the sum of the products of the elements of X and Y. A small change Z of z
changes the loss by <dz, Z>, and z is bilinear in A and M:

    M changes by E:  z changes by A E',  the loss by <dz, A E'> = <dz' A, E>   so  dM = dz' A
    A changes by E:  z changes by E M',  the loss by <dz, E M'> = <dz M, E>    so  dA = dz M

The last column of dM is db. The last column of dA belongs to the ones, which
nobody changes, and is dropped. Through a = f(z) a change Z becomes f'(z) Z,
element by element, so <da, f'(z) Z> = <dz, Z> for every Z: dz = da f'(z).

After the update ``M_new = M - lr dM`` a layer with new inputs N gives

    N M_new' = N M' - lr N A' dz

so that the second forward pass needs the exact old weights and the small
matrix ``N A'``, not another copy of every weight as a ball.

Memory
------
A ball costs 48 bytes in a matrix and 72 more as a Python object, a double 8.
Weights are therefore balls for a block of rows at a time and dropped at once;
only what belongs to samples (A, dz, slopes) stays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, arb_mat

from ...networks.batches import Batch
from ...networks.dtypes import Array, DType
from ...networks.parameters import Parameters
from ...networks.spec import Network
from .enclosures import Enclosure
from .layer import Layer, balls, table
from .losses import LOSSES


@dataclass(frozen=True)
class Problem:
    """What a step is computed from; parameters and batch hold the case's numbers exactly, as float64."""

    network: Network
    loss: str
    learning_rate: float
    dtype: DType
    parameters: Parameters
    batch: Batch


class Step:
    """The enclosures of one step at the current precision of flint's context."""

    found: dict[str, Enclosure]
    """Enclosures by name of the quantity, in no special order."""

    shortfall: float
    """Bits by which the least sharp ball misses the criterion; at most 0 if all are sharp."""

    def __init__(self, problem: Problem) -> None:
        self._dtype = problem.dtype
        self._x, self._y = balls(problem.batch.x), balls(problem.batch.y)
        self._loss = LOSSES[problem.loss]
        self._learning_rate = arb(problem.learning_rate)
        self._layers = [
            Layer(W, b, len(self._x), layer.activation)
            for (W, b), layer in zip(problem.parameters, problem.network.layers, strict=True)
        ]
        self.found = {q.name: Enclosure.empty(q.shape) for q in problem.network.quantities(len(self._x))}
        self.shortfall = 0.0
        da = self._forward()
        for number in range(len(self._layers), 0, -1):
            da = self._backward(number, da)
        self._forward_after_update()

    def _forward(self) -> Array:
        """Enclose z and a of every layer and the loss; returns da of the last layer."""
        a = self._x
        for number, layer in enumerate(self._layers, start=1):
            layer.inputs = layer.with_ones(a)
            z = layer.product(layer.inputs)
            near, rest, layer.slope = layer.activate(z)
            a = near + rest
            self._keep(f"z.{number}", z)
            self._keep(f"a.{number}", a)
        d = self._distance(near, rest)
        self._keep("loss", self._loss.value(d))
        return self._loss.derivative(d)

    def _backward(self, number: int, da: Array) -> Array:
        """Derivatives and update of one layer; returns da of the layer below."""
        layer = self._layers[number - 1]
        layer.dz = da * layer.slope
        self._keep(f"da.{number}", da)
        self._keep(f"dz.{number}", layer.dz)
        below = arb_mat(layer.height, layer.columns)
        for rows, M in layer.blocks():
            dz = layer.matrix(layer.dz[:, rows])
            dM = dz.transpose() * layer.inputs
            self._keep_rows(number, ("dW", "db"), rows, dM)
            self._keep_rows(number, ("W_new", "b_new"), rows, M - self._learning_rate * dM)
            if number > 1:
                below += dz * M
        return layer.table(below)[:, : layer.width]

    def _forward_after_update(self) -> None:
        a = self._x
        for layer in self._layers:
            inputs = layer.with_ones(a)
            z = layer.product(inputs) - self._learning_rate * layer.moved(inputs)
            near, rest, _ = layer.activate(z)
            a = near + rest
        self._keep("loss_new", self._loss.value(self._distance(near, rest)))

    def _distance(self, near: Array, rest: Array) -> Array:
        """``a - y`` by way of ``near - y``, which is exact wherever y is a label."""
        return np.asarray((near - self._y) + rest, object)

    def _keep(self, name: str, values: Any) -> None:
        self._fill(name, ..., np.asarray(values, object))

    def _keep_rows(self, number: int, names: tuple[str, str], rows: slice, found: arb_mat) -> None:
        """File rows of ``[matrix, vector]`` under the layer's two names."""
        width = self._layers[number - 1].width
        values = table(found)
        self._fill(f"{names[0]}.{number}", rows, values[:, :width])
        if values.shape[1] > width:
            self._fill(f"{names[1]}.{number}", rows, values[:, width])

    def _fill(self, name: str, where: Any, values: Array) -> None:
        lacking = self.found[name].fill(where, values.reshape(-1).tolist(), self._dtype)
        self.shortfall = max(self.shortfall, lacking)
