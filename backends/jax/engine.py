"""JAX on the network of a case.

Variants: ``jit``, the whole of value_and_grad compiled ahead of time;
``nojit``, the same dispatched operation by operation; ``forward``, forward
mode, one pass a parameter, for small networks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...networks.batches import Batch
from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ...networks.parameters import Parameters
from ..base import (
    Backend,
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
from .memory import limit_device_memory

DTYPES = ("float16", "bfloat16", "tf32", "float32", "float64")

FORWARD_LIMIT = 2048
"""Most inputs that ``forward`` differentiates by: it carries one tangent of the whole network for each."""

Layer = tuple[jax.Array, jax.Array | None]


class JaxBackend(Backend):
    """JAX on the CPU and on every CUDA device that it sees."""

    name = "jax"
    variants = ("jit", "nojit", "forward")

    def devices(self) -> tuple[str, ...]:
        try:
            count = len(jax.devices("cuda"))
        except RuntimeError:
            count = 0
        return ("cpu", *cuda_names(count))

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self.require_device(device)
        require_dtype(self.name, case.dtype, DTYPES)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        if case.dtype == "tf32" and device == "cpu":
            raise Unsupported("tf32 is a mode of CUDA devices: jax on cpu has none")
        if variant == "forward":
            _require_small(case)
        return JaxProgram(case, variant, device)

    def limit_device_memory(self, size: int) -> None:
        limit_device_memory(size)

    def forget(self) -> None:
        """Empty JAX's caches, which hold half a megabyte for each program ever compiled."""
        jax.clear_caches()  # type: ignore[no-untyped-call]

    def environment(self) -> dict[str, Any]:
        settings: Any = jax.config
        return {
            "x64": bool(settings.jax_enable_x64),
            "matmul_precision": settings.jax_default_matmul_precision or "default",
            "platform": jax.default_backend(),
        }


def _require_small(case: Case) -> None:
    probes = 2 * case.batch_size * sum(case.network.widths[1:])
    inputs = case.network.parameter_count + probes
    if inputs > FORWARD_LIMIT:
        raise Unsupported(
            f"jax:forward takes one pass for each of {inputs:,} parameters and intermediates; "
            f"it is meant for small networks, of at most {FORWARD_LIMIT:,}"
        )


@dataclass(frozen=True)
class _Values:
    layers: tuple[Layer, ...]
    x: jax.Array
    y: jax.Array


class JaxProgram(Program):
    """The network of a case as pure functions of ``(layers, ..., x, y)``."""

    def __init__(self, case: Case, variant: str, device: str) -> None:
        kind, _, index = device.partition(":")
        self._device = jax.devices(kind)[int(index or 0)]
        self._storage = find_dtype(case.dtype).storage
        self._x64 = case.dtype == "float64"
        self._precision = "tensorfloat32" if case.dtype == "tf32" else "highest"
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = case.learning_rate
        self._variant = variant
        # Kept: a jit made anew would compile anew, also for a case of the same shapes.
        self._trace = self._traced if variant == "nojit" else jax.jit(self._traced)
        self._last: Any = None
        self._step = self._compile(self._value_and_grad(self._loss_of), case)

    def put(self, parameters: Parameters, batch: Batch) -> _Values:
        with self._scope():
            layers = tuple((self._place(W), None if b is None else self._place(b)) for W, b in parameters)
            return _Values(layers, self._place(batch.x), self._place(batch.y))

    def step(self, values: _Values) -> Any:
        with self._scope():
            self._last = self._step(values.layers, values.x, values.y)
        return self._last

    def gradients(self, result: Any) -> dict[str, Array]:
        loss, gradients = result
        return {"loss": self._array(loss)} | self._named(("dW", "db"), gradients)

    def trace(self, values: _Values) -> Trace:
        with self._scope():
            found, gradients, updated = self._trace(values.layers, self._probes(values), values.x, values.y)
        quantities = {name: self._array(found[name]) for name in ("loss", "loss_new")}
        for kind in ("z", "a", "dz", "da"):
            quantities |= numbered(kind, map(self._array, found[kind]))
        quantities |= self._named(("dW", "db"), gradients) | self._named(("W_new", "b_new"), updated)
        return Trace(quantities)

    def synchronize(self) -> None:
        jax.block_until_ready(self._last)  # type: ignore[no-untyped-call]

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """JAX's settings for this dtype, in this thread, for as long as the scope lasts.

        Without x64 JAX turns float64 into float32 without a word; on CUDA its
        float32 matrix products are TF32 unless told otherwise.
        """
        with jax.enable_x64(self._x64), jax.default_matmul_precision(self._precision):
            yield

    def _compile(self, function: Callable[..., Any], case: Case) -> Callable[..., Any]:
        if self._variant == "nojit":
            return function
        values = self.put(case.parameters, case.batch)
        with self._scope():
            return jax.jit(function).lower(values.layers, values.x, values.y).compile()

    def _value_and_grad(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return (_forward_mode if self._variant == "forward" else jax.value_and_grad)(function, **options)

    def _loss_of(self, layers: Sequence[Layer], x: jax.Array, y: jax.Array) -> jax.Array:
        a = x
        for (W, b), activation in zip(layers, self._activations, strict=True):
            a = activation(_affine(a, W, b))
        return self._loss(a, y)

    def _probed(
        self, layers: Sequence[Layer], probes: Sequence[Any], x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, Any]:
        """The forward pass with a zero added to each z and a: its derivative is dz and da."""
        a, saved_z, saved_a = x, [], []
        for (W, b), (at_z, at_a), activation in zip(layers, probes, self._activations, strict=True):
            z = _affine(a, W, b) + at_z
            a = activation(z) + at_a
            saved_z.append(z)
            saved_a.append(a)
        return self._loss(a, y), (saved_z, saved_a)

    def _traced(
        self, layers: Any, probes: Any, x: jax.Array, y: jax.Array
    ) -> tuple[dict[str, Any], Any, Any]:
        transformed = self._value_and_grad(self._probed, argnums=(0, 1), has_aux=True)
        (loss, (z, a)), (gradients, at_probes) = transformed(layers, probes, x, y)
        updated = jax.tree.map(lambda p, g: p - self._learning_rate * g, layers, gradients)
        dz, da = zip(*at_probes, strict=True)
        loss_new = self._loss_of(updated, x, y)
        return {"loss": loss, "loss_new": loss_new, "z": z, "a": a, "dz": dz, "da": da}, gradients, updated

    def _probes(self, values: _Values) -> tuple[Any, ...]:
        shapes = [(len(values.x), len(W)) for W, _ in values.layers]
        return tuple(tuple(self._place(np.zeros(shape)) for _ in "za") for shape in shapes)

    def _place(self, array: Array) -> jax.Array:
        placed: jax.Array = jax.device_put(array.astype(self._storage), self._device)
        return placed

    def _array(self, value: jax.Array) -> Array:
        return np.asarray(value).astype(self._storage)

    def _named(self, kinds: tuple[str, str], layers: Sequence[Layer]) -> dict[str, Array]:
        matrix, vector = kinds
        biases = [None if b is None else self._array(b) for _, b in layers]
        return numbered(matrix, [self._array(W) for W, _ in layers]) | numbered(vector, biases)


def _affine(a: jax.Array, W: jax.Array, b: jax.Array | None) -> jax.Array:
    z: jax.Array = a @ W.T
    return z if b is None else z + b


def _forward_mode(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """value_and_grad by forward mode: the Jacobian of a scalar, one tangent an input."""

    def transformed(*args: Any) -> tuple[Any, Any]:
        def twice(*inner: Any) -> tuple[Any, Any]:
            value = function(*inner)
            return (value[0], value) if has_aux else (value, value)

        gradients, value = jax.jacfwd(twice, argnums=argnums, has_aux=True)(*args)
        return value, gradients

    return transformed
