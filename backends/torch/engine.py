"""PyTorch autograd on the network of a case.

Variants: ``eager``, autograd on leaf tensors; ``func``, torch.func's
transformation of a pure function; ``compile``, the loss through torch.compile.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import (
    Backend,
    BackendUnavailable,
    Program,
    Trace,
    Unsupported,
    cuda_names,
    numbered,
    require_dtype,
    require_rules,
)
from .activations import ACTIVATIONS
from .losses import LOSSES
from .precision import matmul_precision, matmul_settings

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "tf32": torch.float32,
    "float32": torch.float32,
    "float64": torch.float64,
}

Layer = tuple[torch.Tensor, ...]
"""``(W, b)``, or ``(W,)`` in a layer without bias: what torch's linear takes after its input."""


class TorchBackend(Backend):
    """PyTorch on the CPU and on every CUDA device that it sees."""

    name = "torch"
    variants = ("eager", "func", "compile")

    def devices(self) -> tuple[str, ...]:
        return ("cpu", *cuda_names(torch.cuda.device_count() if torch.cuda.is_available() else 0))

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self.require_device(device)
        require_dtype(self.name, case.dtype, DTYPES)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        if case.dtype == "tf32" and device == "cpu":
            raise Unsupported("tf32 is a mode of CUDA devices: torch on cpu has none")
        if variant == "compile":
            return _CompiledProgram(case, device)
        return {"eager": _EagerProgram, "func": _FuncProgram}[variant](case, device)

    def limit_device_memory(self, size: int) -> None:
        for index in range(len(self.devices()) - 1):
            total = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), index)

    def environment(self) -> dict[str, Any]:
        cuda, cpu = (settings.fp32_precision for settings in matmul_settings())
        reduced = torch.backends.cuda.matmul
        return {
            "threads": torch.get_num_threads(),
            "fp32_precision": {"cuda": cuda, "cpu": cpu},
            "cuda": torch.version.cuda,
            "reduced_precision_reduction": {
                "float16": bool(reduced.allow_fp16_reduced_precision_reduction),
                "bfloat16": bool(reduced.allow_bf16_reduced_precision_reduction),
            },
        }


@dataclass(frozen=True)
class _Values:
    layers: tuple[Layer, ...]
    x: torch.Tensor
    y: torch.Tensor

    @property
    def leaves(self) -> list[torch.Tensor]:
        return [tensor for layer in self.layers for tensor in layer]


@dataclass(frozen=True)
class _Result:
    loss: torch.Tensor
    gradients: tuple[Layer, ...]


@dataclass(frozen=True)
class _Derivatives:
    """What differentiation gave: the forward values, and the derivative of each."""

    loss: torch.Tensor
    z: Sequence[torch.Tensor]
    a: Sequence[torch.Tensor]
    dz: Sequence[torch.Tensor]
    da: Sequence[torch.Tensor]
    gradients: tuple[Layer, ...]


class _TorchProgram(Program):
    """What the variants share: values to and from the device, the update, the forward pass."""

    def __init__(self, case: Case, device: str) -> None:
        self._device = torch.device(device)
        self._dtype = DTYPES[case.dtype]
        self._storage = find_dtype(case.dtype).storage
        self._precision = "tf32" if case.dtype == "tf32" else "ieee"
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = case.learning_rate

    def put(self, parameters: Parameters, batch: Batch) -> _Values:
        layers = [tuple(p for p in pair if p is not None) for pair in parameters]
        return _Values(
            tuple(tuple(self._tensor(p).requires_grad_() for p in layer) for layer in layers),
            self._tensor(batch.x),
            self._tensor(batch.y),
        )

    def step(self, values: _Values) -> _Result:
        with matmul_precision(self._precision):
            return self._step(values)

    def gradients(self, result: _Result) -> dict[str, Array]:
        return {"loss": self._array(result.loss)} | self._named(("dW", "db"), result.gradients)

    def trace(self, values: _Values) -> Trace:
        with matmul_precision(self._precision):
            found = self._differentiate(values)
            with torch.no_grad():
                updated = tuple(
                    tuple(p - self._learning_rate * g for p, g in zip(layer, gradients, strict=True))
                    for layer, gradients in zip(values.layers, found.gradients, strict=True)
                )
                loss_new, _, _ = self._forward(updated, values.x, values.y)
        quantities = {"loss": self._array(found.loss), "loss_new": self._array(loss_new)}
        for kind in ("z", "a", "dz", "da"):
            quantities |= numbered(kind, map(self._array, getattr(found, kind)))
        quantities |= self._named(("dW", "db"), found.gradients) | self._named(("W_new", "b_new"), updated)
        return Trace(quantities)

    def synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _step(self, values: _Values) -> _Result:
        raise NotImplementedError

    def _differentiate(self, values: _Values) -> _Derivatives:
        raise NotImplementedError

    def _forward(
        self, layers: Sequence[Layer], x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        a, saved_z, saved_a = x, [], []
        for layer, activation in zip(layers, self._activations, strict=True):
            z = linear(a, *layer)
            a = activation(z)
            saved_z.append(z)
            saved_a.append(a)
        return self._loss(a, y), saved_z, saved_a

    def _loss_of(self, layers: Sequence[Layer], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = x
        for layer, activation in zip(layers, self._activations, strict=True):
            a = activation(linear(a, *layer))
        return self._loss(a, y)

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

    def _probes(self, values: _Values) -> tuple[Layer, ...]:
        shapes = [(len(values.x), len(layer[0])) for layer in values.layers]
        return tuple(tuple(values.x.new_zeros(shape) for _ in "za") for shape in shapes)

    def _tensor(self, array: Array) -> torch.Tensor:
        # torch reads no ml_dtypes array; float32 holds every bfloat16 exactly.
        plain = array.astype(np.float32) if self._dtype is torch.bfloat16 else array
        return torch.tensor(plain, dtype=self._dtype, device=self._device)

    def _array(self, tensor: torch.Tensor) -> Array:
        host = tensor.detach().cpu()
        if self._dtype is torch.bfloat16:
            host = host.float()
        return host.numpy().astype(self._storage)

    def _named(self, kinds: tuple[str, str], layers: Sequence[Layer]) -> dict[str, Array]:
        matrix, vector = kinds
        biases = [self._array(layer[1]) if len(layer) == 2 else None for layer in layers]
        return numbered(matrix, [self._array(layer[0]) for layer in layers]) | numbered(vector, biases)


def _by_layer(layers: Sequence[Layer], flat: Sequence[torch.Tensor]) -> tuple[Layer, ...]:
    """Cut a flat list of tensors as `layers` are cut."""
    remaining = iter(flat)
    return tuple(tuple(next(remaining) for _ in layer) for layer in layers)


class _EagerProgram(_TorchProgram):
    def _step(self, values: _Values) -> _Result:
        loss = self._loss_of(values.layers, values.x, values.y)
        return _Result(loss, _by_layer(values.layers, torch.autograd.grad(loss, values.leaves)))

    def _differentiate(self, values: _Values) -> _Derivatives:
        loss, z, a = self._forward(values.layers, values.x, values.y)
        found = torch.autograd.grad(loss, [*z, *a, *values.leaves])
        depth = len(z)
        gradients = _by_layer(values.layers, found[2 * depth :])
        return _Derivatives(loss, z, a, found[:depth], found[depth : 2 * depth], gradients)


class _FuncProgram(_TorchProgram):
    def _step(self, values: _Values) -> _Result:
        gradients, loss = torch.func.grad_and_value(self._loss_of)(values.layers, values.x, values.y)
        return _Result(loss, gradients)

    def _differentiate(self, values: _Values) -> _Derivatives:
        def probed(layers: Sequence[Layer], probes: Sequence[Layer]) -> tuple[torch.Tensor, Any]:
            loss, z, a = self._probed(layers, probes, values.x, values.y)
            return loss, (z, a)

        transformed = torch.func.grad_and_value(probed, argnums=(0, 1), has_aux=True)
        (gradients, at_probes), (loss, (z, a)) = transformed(values.layers, self._probes(values))
        dz, da = zip(*at_probes, strict=True)
        return _Derivatives(loss, z, a, dz, da, gradients)


class _CompiledProgram(_TorchProgram):
    """The loss compiled; autograd runs the backward that torch.compile generated with it."""

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(case, device)
        if device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
            raise BackendUnavailable("torch:compile needs a C++ compiler on cpu, and none is on PATH")
        self._compiled_loss = _compiled(self._loss_of)
        self.step(self.put(case.parameters, case.batch))
        self.synchronize()

    def _step(self, values: _Values) -> _Result:
        loss = self._compiled_loss(values.layers, values.x, values.y)
        return _Result(loss, _by_layer(values.layers, torch.autograd.grad(loss, values.leaves)))

    def _differentiate(self, values: _Values) -> _Derivatives:
        probes = tuple(tuple(p.requires_grad_() for p in pair) for pair in self._probes(values))
        loss, z, a = _compiled(self._probed)(values.layers, probes, values.x, values.y)
        flat = [p for pair in probes for p in pair]
        found = torch.autograd.grad(loss, [*flat, *values.leaves])
        dz, da = found[0 : len(flat) : 2], found[1 : len(flat) : 2]
        return _Derivatives(loss, z, a, dz, da, _by_layer(values.layers, found[len(flat) :]))


def _compiled(method: Any) -> Callable[..., Any]:
    """Compile a bound method for this program's shapes alone.

    torch.compile counts recompilations for each code object and gives up after
    eight; a copy of the code for each program starts a count of its own.
    fullgraph makes it raise where it would fall back to eager without a word.
    """
    function = method.__func__
    own = FunctionType(function.__code__.replace(), function.__globals__, closure=function.__closure__)
    return torch.compile(MethodType(own, method.__self__), fullgraph=True, dynamic=False)
