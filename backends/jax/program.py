"""A case's network compiled: each phase one call, with arguments that are on the device already."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array
from ...networks.parameters import Parameters
from ...networks.work import forward_work
from ..base import Program, Trace, numbered
from .layout import as_it_is, gains_somewhere, laid_out
from .network import JaxNetwork, Layer, forward_mode
from .scope import OnDevice, Ready

Values = tuple[tuple[Layer, ...], jax.Array, jax.Array]
"""``(layers, x, y)``, the arguments of the network's functions."""


GIVEN_AWAY_FROM = 2**22
"""Bytes of a parameter from which a step on a CPU gives away the gradients of the last, to be written into.

glibc returns arrays of some MiB to the system when they are freed, and maps them anew: a page fault for every
4 KiB. Below, it would only cost memory: XLA keeps nothing else where gradients will be. A device's
memory is JAX's own to keep.
"""

OUTPUT_TOO_FROM = 10**7
"""FLOPs of a forward pass on the CPU from which it returns the network's output beside the loss.

XLA for the CPU, as of jaxlib 0.10.2, otherwise makes products and the loss's sum one call of
YNNPACK (``__ynn_fusion`` in its HLO), which can take ten times as long: in
``crossgrad bench 1024-1024-1024-1024 --batch-size 32 -b jax``, with and without. A second
result costs a microsecond, which short passes would feel.
"""


class JaxProgram(OnDevice, Program):
    """The phases of a training step; all but `step` are compiled when they are first called."""

    def __init__(self, case: Case, variant: str, device: str, x64_for_good: bool = False) -> None:
        super().__init__(case, device, x64_for_good)
        self._network = JaxNetwork(case, forward_mode if variant == "forward" else jax.value_and_grad)
        self._compiles = variant != "nojit"
        lay_out = laid_out if device == "cpu" and variant == "jit" and gains_somewhere(case) else as_it_is
        self._network_step = lay_out(self._network.step)
        self._ready: dict[str, Ready] = {}
        # Kept: a jit made anew would compile anew, also for a case of the same shapes.
        self._trace = jax.jit(self._network.trace) if self._compiles else self._network.trace
        flops = forward_work(case.network, case.batch_size, case.dtype).flops
        output_too = device == "cpu" and flops >= OUTPUT_TOO_FROM
        self._forward = lay_out(self._network.loss_and_output if output_too else self._network.loss)
        shapes = self._shapes(case)
        largest = max(W.size for W, _ in case.parameters) * self._storage.itemsize
        self._gives_away = self._compiles and device == "cpu" and largest >= GIVEN_AWAY_FROM
        self._outputs: Any = None
        if self._gives_away:
            options = {"donate_argnums": 0, "keep_unused": True}
            ready = self._compile(self._step_into, shapes[0], *shapes, **options)
        else:
            ready = self._prepared(self._network_step, *shapes)
        self._step, self.preparation = ready.call, ready.seconds
        self._stepping = self._started = ready

    def put(self, parameters: Parameters, batch: Batch) -> Values:
        layers = tuple((self._stored(W), None if b is None else self._stored(b)) for W, b in parameters)
        with self._scope():
            values: Values = jax.device_put(
                (layers, self._stored(batch.x), self._stored(batch.y)), self._device
            )
        # Not left to `synchronize`: copies end in any order, so that the last put stands for no other.
        jax.block_until_ready(values)  # type: ignore[no-untyped-call]
        return values

    def step(self, values: Values) -> Any:
        self._last = None  # so that no two results are held at a time
        if self._gives_away:
            result = self._step(self._outputs or self._empty(values[0]), *values)
            self._outputs = result[1]
        else:
            result = self._step(*values)
        self._last = result
        return result

    def gradients(self, result: Any) -> dict[str, Array]:
        loss, gradients = result
        return {"loss": self._array(loss)} | self._named(("dW", "db"), gradients)

    def trace(self, values: Values) -> Trace:
        with self._scope():
            layers, x, y = values
            found, gradients, updated = self._trace(layers, self._probes(values), x, y)
        quantities = {name: self._array(found[name]) for name in ("loss", "loss_new")}
        for kind in ("z", "a", "dz", "da"):
            quantities |= numbered(kind, map(self._array, found[kind]))
        quantities |= self._named(("dW", "db"), gradients) | self._named(("W_new", "b_new"), updated)
        return Trace(quantities)

    def forward(self, values: Values) -> Any:
        return self._run("forward", self._forward, *values)

    def loss(self, result: Any) -> Array:
        return self._array(result[0] if isinstance(result, tuple) else result)

    def update(self, values: Values, result: Any) -> Any:
        return self._run("update", self._network.update, values[0], result[1])

    def updated(self, parameters: Any) -> dict[str, Array]:
        return self._named(("W_new", "b_new"), parameters)

    def device_peak(self, call: Callable[[], object]) -> int | None:
        """The temporaries and outputs of a call: by how much it raised the most that JAX ever held.

        That cannot be set back: where it was not raised, what XLA planned of both for the last
        executable that the call started.
        """
        if self._device.platform == "cpu":
            return None
        self.synchronize()
        self._last = self._outputs = None  # the call frees them or writes into them, and would seem smaller
        before = self._device.memory_stats() or {}
        self._started = self._stepping
        call()
        self.synchronize()
        after = self._device.memory_stats() or {}
        if after.get("peak_bytes_in_use", 0) > before.get("peak_bytes_in_use", 0):
            return int(after["peak_bytes_in_use"] - before["bytes_in_use"])
        plan = self._started.executable and self._started.executable.memory_analysis()
        return None if plan is None else int(plan.temp_size_in_bytes + plan.output_size_in_bytes)

    def _run(self, phase: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if phase not in self._ready:
            self._ready[phase] = self._prepared(function, *arguments)
        self._last = None
        self._started = self._ready[phase]
        self._last = result = self._started.call(*arguments)
        return result

    def _prepared(self, function: Callable[..., Any], *arguments: Any) -> Ready:
        """Compile a function, or let it run as it is, operation by operation, in its scope."""
        if self._compiles:
            return self._compile(function, *arguments)

        def scoped(*arguments: Any) -> Any:
            with self._scope():
                return function(*arguments)

        return Ready(scoped)

    def _step_into(self, outputs: Any, layers: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
        """The step; its first argument is not read, but its memory is taken for the gradients."""
        found: tuple[jax.Array, Any] = self._network_step(layers, x, y)
        return found

    def _empty(self, layers: tuple[Layer, ...]) -> Any:
        with self._scope():
            return jax.tree.map(lambda p: jax.device_put(np.zeros(p.shape, p.dtype), self._device), layers)

    def _shapes(self, case: Case) -> tuple[Any, Any, Any]:
        """What `put` returns, without the numbers: a second copy of these would not be given back at once."""
        layers = tuple((self._shape(W), None if b is None else self._shape(b)) for W, b in case.parameters)
        return layers, self._shape(case.batch.x), self._shape(case.batch.y)

    def _probes(self, values: Values) -> tuple[Any, ...]:
        layers, x, _ = values
        shapes = [(len(x), len(W)) for W, _ in layers]
        return tuple(tuple(self._place(np.zeros(shape)) for _ in "za") for shape in shapes)

    def _named(self, kinds: tuple[str, str], layers: Sequence[Layer]) -> dict[str, Array]:
        matrix, vector = kinds
        biases = [None if b is None else self._array(b) for _, b in layers]
        return numbered(matrix, [self._array(W) for W, _ in layers]) | numbered(vector, biases)
