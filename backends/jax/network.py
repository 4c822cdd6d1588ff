"""The network of a case as pure functions of ``(layers, ..., x, y)``, and their derivatives."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ...networks.cases import Case
from .activations import ACTIVATIONS
from .losses import LOSSES

Layer = tuple[jax.Array, jax.Array | None]


class JaxNetwork:
    """Holds no numbers of the case but the learning rate; `value_and_grad` differentiates."""

    def __init__(self, case: Case, value_and_grad: Callable[..., Any]) -> None:
        self._activations = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._learning_rate = case.learning_rate
        self._value_and_grad = value_and_grad

    def loss(self, layers: Sequence[Layer], x: jax.Array, y: jax.Array) -> jax.Array:
        return self.loss_and_output(layers, x, y)[0]

    def loss_and_output(
        self, layers: Sequence[Layer], x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The loss, and the last layer's a."""
        a = x
        for (W, b), activation in zip(layers, self._activations, strict=True):
            a = activation(_affine(a, W, b))
        return self._loss(a, y), a

    def step(self, layers: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
        """The loss and its gradients."""
        found: tuple[jax.Array, Any] = self._value_and_grad(self.loss)(layers, x, y)
        return found

    def update(self, layers: Any, gradients: Any) -> Any:
        return jax.tree.map(lambda p, g: p - self._learning_rate * g, layers, gradients)

    def trace(self, layers: Any, probes: Any, x: jax.Array, y: jax.Array) -> tuple[dict[str, Any], Any, Any]:
        """Every quantity, the gradients, and the parameters after a step."""
        transformed = self._value_and_grad(self._probed, argnums=(0, 1), has_aux=True)
        (loss, (z, a)), (gradients, at_probes) = transformed(layers, probes, x, y)
        updated = self.update(layers, gradients)
        dz, da = zip(*at_probes, strict=True)
        loss_new = self.loss(updated, x, y)
        return {"loss": loss, "loss_new": loss_new, "z": z, "a": a, "dz": dz, "da": da}, gradients, updated

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


def _affine(a: jax.Array, W: jax.Array, b: jax.Array | None) -> jax.Array:
    """``a @ W.T + b``, by naming the dimension that is summed over: the inputs, the second of both.

    Of a transposed W the backward pass takes the transpose again, and XLA for the CPU makes the
    products of one sample parts of loops over W's columns (jaxlib 0.10.2; `benchmarks/layouts.py` has
    what a step then takes).
    """
    z: jax.Array = jax.lax.dot_general(a, W, (((1,), (1,)), ((), ())))
    return z if b is None else z + b


def forward_mode(
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
