"""The formulas of one training step, each under a name by which a mutant can replace it.

The mathematics is that of ``backends/numpy/backprop.py``. There it is written
to be read and to be fast; here every formula is a function of its own, a hook,
and `HOOKS` holds the right ones. What a hook sees of its layer is a `Layer`,
and on the way back also what the forward pass left there, a `Seen`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backends.numpy.activations import ActivationRule
from ..backends.numpy.losses import LossRule
from ..networks.batches import Batch
from ..networks.dtypes import Array
from ..networks.parameters import DenseParameters


class Seen(NamedTuple):
    """What the forward pass leaves at a layer: ``a_prev (B, I)``, ``z (B, O)``, ``a (B, O)``.

    ``z_prev (B, I)`` is what the layer below activated to get a_prev; x itself in the first layer.
    """

    z_prev: Array
    a_prev: Array
    z: Array
    a: Array


class Gradient(NamedTuple):
    """``dW (O, I)`` and ``db (O,)`` of one layer; `db` is None in a layer without bias."""

    dW: Array
    db: Array | None


@dataclass(frozen=True)
class Layer:
    """One layer, as its hooks see it.

    Parameters
    ----------
    number, depth
        Its number, from 1, and the number of layers.
    W, b
        Its parameters, in the arithmetic's dtype.
    learning_rate
        In the arithmetic's dtype.
    product
        The hook of that name: layers multiply matrices with it only.
    round
        Rounds a value to the case's dtype, as for storing it.
    """

    number: int
    depth: int
    W: Array
    b: Array | None
    rule: ActivationRule
    learning_rate: Any
    product: Callable[[Array, Array], Array]
    round: Callable[[Any], Any]


def read(batch: Batch) -> Batch:
    """The samples that the step works on."""
    return batch


def product(left: Array, right: Array) -> Array:
    """The matrix product."""
    result: Array = left @ right
    return result


def store(kind: str, value: Any) -> Any:
    """What is kept of a quantity of this kind (``z``, ``dW``, ``loss`` ...) after rounding."""
    return value


def affine(at: Layer, a_prev: Array) -> Array:
    """``z = a_prev @ W.T + b``."""
    z = at.product(a_prev, at.W.T)
    return z if at.b is None else z + at.b


def activate(at: Layer, z: Array) -> Array:
    """``a = f(z)``."""
    return at.rule.forward(z)


def loss_value(rule: LossRule, a: Array, y: Array) -> Any:
    """The loss."""
    return rule.value(a, y)


def loss_backward(rule: LossRule, a: Array, y: Array) -> Array:
    """``da`` of the last layer."""
    return rule.backward(a, y)


def derivative(at: Layer, seen: Seen, da: Array) -> Array:
    """``dz = da * f'(z)``."""
    return at.rule.backward(da, seen.a)


def weight_gradient(at: Layer, seen: Seen, dz: Array) -> Array:
    """``dW = dz.T @ a_prev``."""
    return at.product(dz.T, seen.a_prev)


def bias_gradient(at: Layer, seen: Seen, dz: Array) -> Array:
    """``db[o] = sum_s dz[s, o]``, as a product."""
    db: Array = np.ones(len(dz), dz.dtype) @ dz
    return db


def pull_back(at: Layer, seen: Seen, dz: Array) -> Array:
    """``da`` of the layer below: ``dz @ W``."""
    return at.product(dz, at.W)


def update(at: Layer, gradients: Sequence[Gradient]) -> DenseParameters:
    """``p - lr * dp`` for both parameters, given the gradients of all layers."""
    dW, db = gradients[at.number - 1]
    W_new = at.W - at.learning_rate * dW
    return DenseParameters(W_new, None if at.b is None else at.b - at.learning_rate * db)


@dataclass(frozen=True)
class Hooks:
    """One training step as a set of replaceable formulas."""

    read: Callable[[Batch], Batch] = read
    product: Callable[[Array, Array], Array] = product
    store: Callable[[str, Any], Any] = store
    affine: Callable[[Layer, Array], Array] = affine
    activate: Callable[[Layer, Array], Array] = activate
    loss_value: Callable[[LossRule, Array, Array], Any] = loss_value
    loss_backward: Callable[[LossRule, Array, Array], Array] = loss_backward
    derivative: Callable[[Layer, Seen, Array], Array] = derivative
    weight_gradient: Callable[[Layer, Seen, Array], Array] = weight_gradient
    bias_gradient: Callable[[Layer, Seen, Array], Array] = bias_gradient
    pull_back: Callable[[Layer, Seen, Array], Array] = pull_back
    update: Callable[[Layer, Sequence[Gradient]], DenseParameters] = update


HOOKS = Hooks()
"""The right formulas."""
