"""Equinox modules as specifications: the same function, the same bits, or a refusal by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import Network

from .conftest import skip
from .ported import DTYPES, NETWORKS, bits, mse, parameters_of, refusal, require_agreement

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    skip("jax", "jax is not installed")

eqx = pytest.importorskip("equinox")

RANDOM = np.random.default_rng(0)


def key() -> Any:
    return jax.random.key(int(RANDOM.integers(2**31)))


def eqx_linear(i: Any, o: Any, **options: Any) -> Any:
    return eqx.nn.Linear(i, o, key=key(), **options)


class EqxOwn(eqx.Module):
    first: Any
    second: Any

    def __init__(self) -> None:
        self.first, self.second = eqx_linear(3, 3), eqx_linear(3, 2, use_bias=False)

    def __call__(self, x: Any) -> Any:
        return jax.nn.sigmoid(self.second(jax.nn.sigmoid(self.first(x))))


EQUINOX: dict[str, Callable[[], Any]] = {
    "mlp": lambda: eqx.nn.MLP(3, 2, 3, 2, jax.nn.sigmoid, jax.nn.sigmoid, key=key()),
    "mlp-without-bias": lambda: eqx.nn.MLP(
        3, 2, 3, 2, jax.nn.sigmoid, jax.nn.sigmoid, use_bias=False, use_final_bias=True, key=key()
    ),
    "sequential": lambda: eqx.nn.Sequential(
        [
            eqx_linear(3, 4),
            eqx.nn.Lambda(jax.nn.sigmoid),
            eqx.nn.Identity(),
            eqx.nn.Sequential([eqx_linear(4, 4, use_bias=False), eqx.nn.Lambda(jax.nn.sigmoid)]),
        ]
    ),
    "own": EqxOwn,
    "one-unit": lambda: eqx.nn.MLP(1, 1, 1, 1, jax.nn.sigmoid, jax.nn.sigmoid, key=key()),
}


def equinox_gradients(module: Any) -> Callable[[Any, Any], Any]:
    """mse and its gradients by eqx.filter_grad, on the module itself."""

    def loss(module: Any, x: Any, y: Any) -> Any:
        return mse(jax.vmap(module), x, y)

    def step(x: Any, y: Any) -> Any:
        value, found = eqx.filter_jit(eqx.filter_value_and_grad(loss))(module, jnp.array(x), jnp.array(y))
        linear = [
            node
            for node in jax.tree.leaves(found, is_leaf=lambda node: isinstance(node, eqx.nn.Linear))
            if isinstance(node, eqx.nn.Linear)
        ]
        return float(value), [
            (np.array(layer.weight), None if layer.bias is None else np.array(layer.bias)) for layer in linear
        ]

    return step


@pytest.mark.parametrize(("name", "x64"), [(name, name != "own") for name in EQUINOX], ids=EQUINOX)
def test_filter_grad_on_the_module_agrees(name: str, x64: bool) -> None:
    with jax.enable_x64(x64):
        module = EQUINOX[name]()
        if x64:
            module = jax.tree.map(lambda a: a.astype("float64") if eqx.is_array(a) else a, module)
        model = crossgrad.from_equinox(module)
        require_agreement(model, equinox_gradients(module), "float64" if x64 else "float32")


def test_a_jitted_module_is_read() -> None:
    module = EQUINOX["mlp"]()

    class Jitted(eqx.Module):
        inner: Any

        def __call__(self, x: Any) -> Any:
            return jax.jit(lambda x: self.inner(x))(x)

    plain = crossgrad.from_equinox(module)
    assert bits(crossgrad.from_equinox(Jitted(module)).parameters) == bits(plain.parameters)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_every_bit_of_equinox_comes_back(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    with jax.enable_x64(dtype == "float64"):
        parts: list[Any] = []
        for W, b in parameters:
            # Not drawn: JAX would compile that for each shape.
            layer = eqx.filter_eval_shape(eqx_linear, W.shape[1], W.shape[0], use_bias=b is not None)
            layer = eqx.tree_at(lambda part: part.weight, layer, jnp.array(W))
            if b is not None:
                layer = eqx.tree_at(lambda part: part.bias, layer, jnp.array(b))
            parts += [layer, eqx.nn.Lambda(jax.nn.sigmoid)]
        back = crossgrad.from_equinox(eqx.nn.Sequential(parts))
    assert back.network == network
    assert bits(back.parameters) == bits(parameters)


EQUINOX_REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no-module": (lambda: jnp.tanh, ["expected an equinox.Module"]),
    "unknown": (
        lambda: eqx.nn.Sequential([eqx_linear(3, 3), eqx.nn.Sequential([eqx.nn.LayerNorm(3)])]),
        ["layers[1].layers[0]: LayerNorm is no part of a specification"],
    ),
    "dropout": (
        lambda: eqx.nn.Sequential([eqx_linear(3, 3), eqx.nn.Dropout(inference=True)]),
        ["layers[1]: Dropout computes one thing in training"],
    ),
    "no-final-activation": (
        lambda: eqx.nn.MLP(3, 2, 3, 1, jax.nn.sigmoid, key=key()),
        ["layers[1].weight in MLP: dot_general has no activation behind it"],
    ),
    "relu": (lambda: eqx.nn.MLP(3, 2, 3, 1, key=key()), ["custom_jvp_call relu is no part"]),
    "scalar-output": (
        lambda: eqx.nn.Sequential([eqx_linear(3, "scalar"), eqx.nn.Lambda(jax.nn.sigmoid)]),
        ["squeeze is no part"],
    ),
    "scalar-input": (
        lambda: eqx.nn.Sequential([eqx_linear("scalar", 1), eqx.nn.Lambda(jax.nn.sigmoid)]),
        ["cannot be traced: it takes no x of any width (ValueError: x must have scalar shape)"],
    ),
    "shared": (
        lambda: (lambda layer: eqx.nn.Sequential([layer, eqx.nn.Lambda(jax.nn.tanh), layer]))(
            eqx_linear(3, 3)
        ),
        ["tanh is no part"],
    ),
}


@pytest.mark.parametrize(("make", "said"), EQUINOX_REFUSED.values(), ids=EQUINOX_REFUSED)
def test_equinox_modules_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_equinox, make(), *said)
