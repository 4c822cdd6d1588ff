"""Ways to differentiate: autograd on leaves, torch.func's transformation, torch.compile."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import FunctionType, MethodType
from typing import Any

import torch

from ...networks.cases import Case
from ..base import BackendUnavailable
from .program import Derivatives, Layer, Stepped, TorchProgram, Values


class EagerProgram(TorchProgram):
    def _step(self, values: Values) -> Stepped:
        layers, leaves, x, y = values
        loss = self._loss_of(layers, x, y)
        return loss, torch.autograd.grad(loss, leaves)

    def _differentiate(self, values: Values) -> Derivatives:
        loss, z, a = self._saving(values.layers, values.x, values.y)
        found = torch.autograd.grad(loss, [*z, *a, *values.leaves])
        depth = len(z)
        return Derivatives(loss, z, a, found[:depth], found[depth : 2 * depth], found[2 * depth :])


class FuncProgram(TorchProgram):
    def __init__(self, case: Case, device: str) -> None:
        super().__init__(case, device)
        self._grad_and_value = torch.func.grad_and_value(self._loss_of)

    def _step(self, values: Values) -> Stepped:
        gradients, loss = self._grad_and_value(values.layers, values.x, values.y)
        return loss, _flat(gradients)

    def _differentiate(self, values: Values) -> Derivatives:
        def probed(layers: Sequence[Layer], probes: Sequence[Layer]) -> tuple[torch.Tensor, Any]:
            loss, z, a = self._probed(layers, probes, values.x, values.y)
            return loss, (z, a)

        transformed = torch.func.grad_and_value(probed, argnums=(0, 1), has_aux=True)
        (gradients, at_probes), (loss, (z, a)) = transformed(values.layers, self._probes(values))
        dz, da = zip(*at_probes, strict=True)
        return Derivatives(loss, z, a, dz, da, _flat(gradients))


class CompiledProgram(TorchProgram):
    """The loss compiled; autograd runs the backward that torch.compile generated with it."""

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(case, device)
        _require_tools(self._device.type)
        self._compiled_loss = _compiled(self._loss_of)
        self._compiled_forward = _compiled(self._loss_of)
        start = time.perf_counter()
        self.step(self.put(case.parameters, case.batch))
        self.synchronize()
        self.preparation = {"compile": time.perf_counter() - start}

    def _step(self, values: Values) -> Stepped:
        loss = self._compiled_loss(values.layers, values.x, values.y)
        return loss, torch.autograd.grad(loss, values.leaves)

    def _forward(self, values: Values) -> torch.Tensor:
        with torch.no_grad():
            loss: torch.Tensor = self._compiled_forward(values.layers, values.x, values.y)
        return loss

    def _differentiate(self, values: Values) -> Derivatives:
        probes = tuple(tuple(p.requires_grad_() for p in pair) for pair in self._probes(values))
        loss, z, a = _compiled(self._probed)(values.layers, probes, values.x, values.y)
        flat = _flat(probes)
        found = torch.autograd.grad(loss, [*flat, *values.leaves])
        dz, da = found[0 : len(flat) : 2], found[1 : len(flat) : 2]
        return Derivatives(loss, z, a, dz, da, found[len(flat) :])


def _require_tools(kind: str) -> None:
    """Raise `BackendUnavailable` if what torch.compile has build its code is not here."""
    if kind == "cpu":
        if not _on_path("c++", "g++", "clang++", "cl"):
            raise BackendUnavailable("torch:compile needs a C++ compiler on cpu, and none is on PATH")
    elif find_spec("triton") is None:
        raise BackendUnavailable("torch:compile needs Triton on cuda: python -m pip install triton")
    elif not (_on_path("gcc", "clang") or "CC" in os.environ or sys.platform == "win32"):
        # Triton for Windows brings one with it.
        raise BackendUnavailable("torch:compile needs a C compiler on cuda, and none is on PATH or in CC")


def _on_path(*names: str) -> bool:
    return any(map(shutil.which, names))


def _flat(layers: Sequence[Layer]) -> tuple[torch.Tensor, ...]:
    return tuple(tensor for layer in layers for tensor in layer)


def _compiled(method: Any) -> Callable[..., Any]:
    """Compile a bound method for this program's shapes alone.

    torch.compile counts recompilations for each code object and gives up after
    eight; a copy of the code for each program starts a count of its own.
    fullgraph makes it raise where it would fall back to eager without a word.
    """
    function = method.__func__
    own = FunctionType(function.__code__.replace(), function.__globals__, closure=function.__closure__)
    return torch.compile(MethodType(own, method.__self__), fullgraph=True, dynamic=False)
