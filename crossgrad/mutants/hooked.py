"""One training step, run through its hooks.

With `HOOKS`, the right formulas, the result equals the NumPy engine's bit for
bit in every dtype: a mutant then differs from right code in its fault alone.
The rounding points are the engine's too: float16 and bfloat16 compute in
float32, and each quantity is rounded when it is stored.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends.base import Trace, numbered
from ..backends.numpy.activations import ACTIVATIONS
from ..backends.numpy.losses import LOSSES
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..networks.parameters import DenseParameters
from .hooks import HOOKS, Gradient, Hooks, Layer, Seen


def run_hooked(case: Case, hooks: Hooks = HOOKS) -> Trace:
    """Every quantity of the case, in its dtype, as `hooks` compute them."""
    with np.errstate(all="ignore"):
        return _Step(case, hooks).trace()


def outputs(case: Case) -> Array:
    """What the network answers: ``a (B, O)`` of the last layer, in the case's dtype."""
    with np.errstate(all="ignore"):
        step = _Step(case, HOOKS)
        return np.asarray(step.forward(step.layers)[-1].a, case.format.storage)


class _Step:
    def __init__(self, case: Case, hooks: Hooks) -> None:
        self._case = case
        self._hooks = hooks
        self._storage = case.format.storage
        self._arithmetic = np.dtype(np.float32) if self._storage.itemsize == 2 else self._storage
        self._loss = LOSSES[case.loss]
        self._batch = hooks.read(Batch(*(array.astype(self._arithmetic) for array in case.batch)))
        self.layers = self._with_parameters(
            [
                DenseParameters(W.astype(self._arithmetic), None if b is None else b.astype(self._arithmetic))
                for W, b in case.parameters
            ]
        )

    def trace(self) -> Trace:
        seen = self.forward(self.layers)
        a = seen[-1].a
        loss = self._stored("loss", self._hooks.loss_value(self._loss, a, self._batch.y))
        da, dz, gradients = self._backward(seen)
        updated = [
            DenseParameters(self._stored("W_new", W), None if b is None else self._stored("b_new", b))
            for W, b in (self._hooks.update(at, gradients) for at in self.layers)
        ]
        a_new = self.forward(self._with_parameters(updated))[-1].a
        loss_new = self._stored("loss_new", self._hooks.loss_value(self._loss, a_new, self._batch.y))
        quantities = numbered("z", (s.z for s in seen)) | numbered("a", (s.a for s in seen))
        quantities |= numbered("da", da) | numbered("dz", dz)
        quantities |= numbered("dW", (g.dW for g in gradients)) | numbered("db", (g.db for g in gradients))
        quantities |= numbered("W_new", (p.W for p in updated)) | numbered("b_new", (p.b for p in updated))
        quantities |= {"loss": loss, "loss_new": loss_new}
        return Trace({name: np.asarray(value, self._storage) for name, value in quantities.items()})

    def forward(self, layers: Sequence[Layer]) -> list[Seen]:
        z = a = self._batch.x
        seen = []
        for at in layers:
            z_prev, a_prev = z, a
            z = self._stored("z", self._hooks.affine(at, a_prev))
            a = self._stored("a", self._hooks.activate(at, z))
            seen.append(Seen(z_prev, a_prev, z, a))
        return seen

    def _backward(self, seen: Sequence[Seen]) -> tuple[list[Array], list[Array], list[Gradient]]:
        """``da``, ``dz`` and the gradients, each a list in the order of the layers."""
        da = self._stored("da", self._hooks.loss_backward(self._loss, seen[-1].a, self._batch.y))
        all_da, all_dz, gradients = [], [], []
        for at, kept in zip(reversed(self.layers), reversed(seen), strict=True):
            dz = self._stored("dz", self._hooks.derivative(at, kept, da))
            all_da.append(da)
            all_dz.append(dz)
            dW = self._stored("dW", self._hooks.weight_gradient(at, kept, dz))
            db = None if at.b is None else self._stored("db", self._hooks.bias_gradient(at, kept, dz))
            gradients.append(Gradient(dW, db))
            if at.number > 1:
                da = self._stored("da", self._hooks.pull_back(at, kept, dz))
        return all_da[::-1], all_dz[::-1], gradients[::-1]

    def _with_parameters(self, parameters: Sequence[DenseParameters]) -> list[Layer]:
        return [
            Layer(
                number=number,
                depth=len(parameters),
                W=W,
                b=b,
                rule=ACTIVATIONS[layer.activation],
                learning_rate=self._arithmetic.type(self._case.learning_rate),
                product=self._hooks.product,
                round=self._round,
            )
            for number, (layer, (W, b)) in enumerate(
                zip(self._case.network.layers, parameters, strict=True), start=1
            )
        ]

    def _stored(self, kind: str, value: Any) -> Any:
        return self._hooks.store(kind, self._round(value))

    def _round(self, value: Any) -> Any:
        """Round to the storage dtype where the arithmetic is wider; the carrier stays float32."""
        if self._storage == self._arithmetic:
            return value
        return value.astype(self._storage).astype(self._arithmetic)
