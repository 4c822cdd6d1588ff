"""What the variants share: values to and from the device, the forward pass, the update."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import linear

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import Program, Trace, numbered
from .activations import ACTIVATIONS
from .losses import LOSSES
from .precision import Caller, InPrecision, plainly
from .timing import DeviceTimed

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "tf32": torch.float32,
    "float32": torch.float32,
    "float64": torch.float64,
}

Layer = tuple[torch.Tensor, ...]
"""``(W, b)``, or ``(W,)`` in a layer without bias: what torch's linear takes after its input."""


class Values(NamedTuple):
    """Parameters as autograd's leaves, in layers and in one list, and the batch."""

    layers: tuple[Layer, ...]
    leaves: list[torch.Tensor]
    x: torch.Tensor
    y: torch.Tensor


class Derivatives(NamedTuple):
    """What differentiation gave: the forward values, and the derivative of each; gradients as leaves."""

    loss: torch.Tensor
    z: Sequence[torch.Tensor]
    a: Sequence[torch.Tensor]
    dz: Sequence[torch.Tensor]
    da: Sequence[torch.Tensor]
    gradients: Sequence[torch.Tensor]


Stepped = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""The loss, and the gradients in the order of the leaves."""


class TorchProgram(DeviceTimed, Program):
    """A case's network in torch.nn.functional's words; variants say how it is differentiated."""

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(torch.device(device))
        self._dtype = DTYPES[case.dtype]
        self._storage = find_dtype(case.dtype).storage
        self._in_precision: Caller = InPrecision(case.dtype, self._device)
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._biased = [layer.bias for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = case.learning_rate

    def trust_precision(self) -> None:
        """Look at the process's precision no more, which small steps feel: nobody else sets it."""
        self._in_precision = plainly

    def put(self, parameters: Parameters, batch: Batch) -> Values:
        layers = tuple(
            tuple(self._tensor(p).requires_grad_() for p in pair if p is not None) for pair in parameters
        )
        leaves = [tensor for layer in layers for tensor in layer]
        return Values(layers, leaves, self._tensor(batch.x), self._tensor(batch.y))

    def step(self, values: Values) -> Stepped:
        return self._in_precision(self._step, values)

    def gradients(self, result: Stepped) -> dict[str, Array]:
        loss, gradients = result
        return {"loss": self._array(loss)} | self._named(("dW", "db"), gradients)

    def trace(self, values: Values) -> Trace:
        found, updated, loss_new = self._in_precision(self._traced, values)
        quantities = {"loss": self._array(found.loss), "loss_new": self._array(loss_new)}
        for kind in ("z", "a", "dz", "da"):
            quantities |= numbered(kind, map(self._array, getattr(found, kind)))
        quantities |= self._named(("dW", "db"), found.gradients) | self._named(("W_new", "b_new"), updated)
        return Trace(quantities)

    def forward(self, values: Values) -> torch.Tensor:
        return self._in_precision(self._forward, values)

    def loss(self, result: torch.Tensor) -> Array:
        return self._array(result)

    def update(self, values: Values, result: Stepped) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            updated: Any = torch._foreach_add(values.leaves, result[1], alpha=-self._learning_rate)
        return tuple(updated)

    def updated(self, parameters: Sequence[torch.Tensor]) -> dict[str, Array]:
        return self._named(("W_new", "b_new"), parameters)

    @abstractmethod
    def _step(self, values: Values) -> Stepped: ...

    @abstractmethod
    def _differentiate(self, values: Values) -> Derivatives: ...

    def _forward(self, values: Values) -> torch.Tensor:
        with torch.inference_mode():
            return self._loss_of(values.layers, values.x, values.y)

    def _loss_of(self, layers: Sequence[Layer], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = x
        for layer, activation in zip(layers, self._activations):  # noqa: B905 - strict costs in each step
            a = activation(linear(a, *layer))
        return self._loss(a, y)

    def _traced(self, values: Values) -> tuple[Derivatives, list[torch.Tensor], torch.Tensor]:
        found = self._differentiate(values)
        with torch.no_grad():
            updated = [
                p - self._learning_rate * g for p, g in zip(values.leaves, found.gradients, strict=True)
            ]
            return found, updated, self._loss_of(self._by_layer(updated), values.x, values.y)

    def _saving(
        self, layers: Sequence[Layer], x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        a, saved_z, saved_a = x, [], []
        for layer, activation in zip(layers, self._activations, strict=True):
            z = linear(a, *layer)
            a = activation(z)
            saved_z.append(z)
            saved_a.append(a)
        return self._loss(a, y), saved_z, saved_a

    def _probed(
        self, layers: Sequence[Layer], probes: Sequence[Layer], x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """The forward pass with a zero added to each z and a: its derivative is dz and da."""
        a, saved_z, saved_a = x, [], []
        for layer, (at_z, at_a), activation in zip(layers, probes, self._activations, strict=True):
            z = linear(a, *layer) + at_z
            a = activation(z) + at_a
            saved_z.append(z)
            saved_a.append(a)
        return self._loss(a, y), saved_z, saved_a

    def _probes(self, values: Values) -> tuple[Layer, ...]:
        shapes = [(len(values.x), len(layer[0])) for layer in values.layers]
        return tuple(tuple(values.x.new_zeros(shape) for _ in "za") for shape in shapes)

    def _by_layer(self, flat: Sequence[torch.Tensor]) -> tuple[Layer, ...]:
        """Cut what is ordered as the leaves are into layers."""
        remaining = iter(flat)
        return tuple(tuple(next(remaining) for _ in range(1 + biased)) for biased in self._biased)

    def _tensor(self, array: Array) -> torch.Tensor:
        if self._dtype is not torch.bfloat16:
            return torch.tensor(array, dtype=self._dtype, device=self._device)
        bits = torch.tensor(array.view(np.int16), device=self._device)  # torch reads no ml_dtypes array
        return bits.view(torch.bfloat16)

    def _array(self, tensor: torch.Tensor) -> Array:
        host = tensor.detach().cpu()
        if self._dtype is torch.bfloat16:
            host = host.view(torch.int16)
        array: Array = host.numpy().copy().view(self._storage)
        return array

    def _named(self, kinds: tuple[str, str], flat: Sequence[torch.Tensor]) -> dict[str, Array]:
        layers: Any = self._by_layer(flat)
        biases = [self._array(layer[1]) if len(layer) == 2 else None for layer in layers]
        return numbered(kinds[0], [self._array(layer[0]) for layer in layers]) | numbered(kinds[1], biases)
