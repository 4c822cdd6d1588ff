"""Flax modules as specifications: the same function, the same bits, or a refusal by name."""

from collections.abc import Callable
from itertools import pairwise
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

nnx = pytest.importorskip("flax.nnx")

RANDOM = np.random.default_rng(0)


def rngs() -> Any:
    return nnx.Rngs(int(RANDOM.integers(2**31)))


def drawn(key: Any, shape: Any, dtype: Any) -> Any:
    return jnp.array(RANDOM.standard_normal(shape), dtype)


def flax_linear(i: int, o: int, **options: Any) -> Any:
    """With a bias that is not zero, as Flax draws it, and nothing to compile for each shape."""
    layer = nnx.Linear(i, o, rngs=rngs(), kernel_init=drawn, bias_init=drawn, **options)
    assert layer.kernel.shape == (i, o)
    return layer


class FlaxOwn(nnx.Module):
    """A module as most are written."""

    def __init__(self, *widths: int) -> None:
        self.layers = nnx.List([flax_linear(i, o) for i, o in pairwise(widths)])

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = nnx.sigmoid(layer(x))
        return x


class FlaxMatrices(nnx.Module):
    """Without a layer of Flax: matrices in both layouts."""

    def __init__(self) -> None:
        self.W = nnx.Param(jnp.array(RANDOM.standard_normal((4, 4))))
        self.V = nnx.Param(jnp.array(RANDOM.standard_normal((4, 4))))
        self.b = nnx.Param(jnp.arange(4.0))

    def __call__(self, x: Any) -> Any:
        hidden = jax.nn.sigmoid(self.b[...] + x @ self.W[...])
        return jax.jit(jax.nn.sigmoid)(jnp.dot(hidden, self.V[...].T))


FLAX: dict[str, Callable[[], Any]] = {
    "sequential": lambda: nnx.Sequential(
        flax_linear(3, 4), jax.nn.sigmoid, flax_linear(4, 4), nnx.sigmoid, flax_linear(4, 2), nnx.sigmoid
    ),
    "nested": lambda: nnx.Sequential(
        nnx.Sequential(flax_linear(3, 2, use_bias=False)), nnx.Sequential(jax.nn.sigmoid)
    ),
    "own": lambda: FlaxOwn(2, 3, 3, 1),
    "matrices": FlaxMatrices,
    "expit": lambda: nnx.Sequential(flax_linear(1, 1), jax.scipy.special.expit),
}


def flax_gradients(module: Any) -> Callable[[Any, Any], Any]:
    """mse and its gradients by nnx.grad, on the module itself."""

    def step(x: Any, y: Any) -> Any:
        loss, found = nnx.jit(nnx.value_and_grad(mse))(module, jnp.array(x), jnp.array(y))
        leaves = jax.tree_util.tree_flatten_with_path(found)[0]
        named = {".".join(str(k.key) for k in path if hasattr(k, "key")): np.array(g) for path, g in leaves}
        if "W" in named:
            return float(loss), [(named["W"].T, named["b"]), (named["V"], None)]
        pairs: dict[str, list[Any]] = {}
        for name, gradient in named.items():
            place, _, kind = name.rpartition(".")
            pair = pairs.setdefault(place, [None, None])
            pair[kind == "bias"] = gradient if kind == "bias" else gradient.T
        return float(loss), [tuple(pair) for pair in pairs.values()]

    return step


# What is read: in float64, and one in float32


@pytest.mark.parametrize(("name", "x64"), [(name, name != "own") for name in FLAX], ids=FLAX)
def test_nnx_grad_on_the_module_agrees(name: str, x64: bool) -> None:
    with jax.enable_x64(x64):
        module = FLAX[name]()
        if x64:
            state = jax.tree.map(lambda a: a.astype("float64"), nnx.state(module, nnx.Param))
            nnx.update(module, state)
        model = crossgrad.from_flax(module)
        require_agreement(model, flax_gradients(module), "float64" if x64 else "float32")


def test_kernels_of_flax_are_turned() -> None:
    module = nnx.Sequential(flax_linear(3, 2), jax.nn.sigmoid)
    network, ((W, b),) = crossgrad.from_flax(module)
    assert str(network) == "3-2"
    np.testing.assert_array_equal(W, module.layers[0].kernel[...].T)
    np.testing.assert_array_equal(b, module.layers[0].bias[...])


def test_check_takes_what_was_read() -> None:
    model = crossgrad.from_flax(FLAX["own"]())
    report = crossgrad.check(
        model.network, params=model.parameters, dtypes=["float32", "float64"], backends=["numpy"]
    )
    assert report.ok


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_every_bit_of_flax_comes_back(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    with jax.enable_x64(dtype == "float64"):
        parts: list[Any] = []
        for W, b in parameters:
            layer = nnx.Linear(
                W.shape[1],
                W.shape[0],
                use_bias=b is not None,
                kernel_init=lambda *_, kernel=W.T: jnp.array(kernel),
                bias_init=lambda *_, bias=b: jnp.array(bias),
                rngs=rngs(),
            )
            parts += [layer, nnx.sigmoid]
        back = crossgrad.from_flax(nnx.Sequential(*parts))
    assert back.network == network
    assert bits(back.parameters) == bits(parameters)


# What is refused


def own(function: Callable[[Any, Any], Any]) -> Any:
    """A Flax module with layers a (3, 3) and b (3, 3), a counter, and this call."""

    class Own(nnx.Module):
        def __init__(self) -> None:
            self.a, self.b = flax_linear(3, 3), flax_linear(3, 3)
            self.row = nnx.Param(jnp.ones((1, 3)))
            self.fixed = nnx.Variable(jnp.ones((3, 3)))

        def __call__(self, x: Any) -> Any:
            return function(self, x)

    return Own()


@jax.custom_jvp
def sigmoid(z: Any) -> Any:
    """The same values as jax.nn.sigmoid, another derivative."""
    return jax.nn.sigmoid(z)


sigmoid.defjvp(lambda primals, tangents: (sigmoid(*primals), tangents[0]))


@jax.custom_vjp
def backward_sigmoid(z: Any) -> Any:
    return jax.nn.sigmoid(z)


backward_sigmoid.defvjp(lambda z: (backward_sigmoid(z), None), lambda _, da: (da,))


def flax_twice() -> Any:
    layer = flax_linear(3, 3)
    return nnx.Sequential(layer, nnx.sigmoid, layer, nnx.sigmoid)


FLAX_REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no-module": (lambda: jnp.tanh, ["expected a flax.nnx.Module"]),
    "unknown": (
        lambda: nnx.Sequential(flax_linear(3, 3), nnx.sigmoid, nnx.LayerNorm(3, rngs=rngs())),
        ["layers.2: LayerNorm is no part of a specification", "sigmoid"],
    ),
    "dropout": (
        lambda: nnx.Sequential(flax_linear(3, 3), nnx.sigmoid, nnx.Dropout(0.5, rngs=rngs())),
        ["layers.2: Dropout computes one thing in training and another in evaluation"],
    ),
    "no-activation": (
        lambda: nnx.Sequential(flax_linear(3, 3)),
        ["layers.0.kernel in Sequential: dot_general has no activation behind it"],
    ),
    "activation-alone": (
        lambda: nnx.Sequential(nnx.sigmoid, flax_linear(3, 3), nnx.sigmoid),
        ["Sequential: logistic has no dense layer of its own before it"],
    ),
    "other-activation": (lambda: nnx.Sequential(flax_linear(3, 3), jnp.tanh), ["tanh is no part"]),
    "own-derivative": (
        lambda: nnx.Sequential(flax_linear(3, 3), sigmoid),
        ["custom_jvp_call sigmoid is no part of a specification"],
    ),
    "own-derivative-backward": (
        lambda: nnx.Sequential(flax_linear(3, 3), backward_sigmoid),
        ["custom_vjp_call backward_sigmoid is no part of a specification"],
    ),
    "stop-gradient": (
        lambda: nnx.Sequential(flax_linear(3, 3), nnx.sigmoid, jax.lax.stop_gradient),
        ["stop_gradient is no part"],
    ),
    "layer-twice": (flax_twice, ["layers.0.kernel in Sequential: dot_general shares a parameter"]),
    "narrower": (
        lambda: nnx.Sequential(flax_linear(3, 3, dtype=jnp.bfloat16), nnx.sigmoid),
        ["convert_element_type is no part"],
    ),
    "residual": (lambda: own(lambda m, x: nnx.sigmoid(m.a(x)) + x), ["makes the way of the data branch"]),
    "not-used": (lambda: own(lambda m, x: (m.a(x), nnx.sigmoid(m.b(x)))[1]), ["branch"]),
    "scaled": (lambda: own(lambda m, x: nnx.sigmoid(2 * m.a(x))), ["Own: mul is no part"]),
    "scaled-weight": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ (2 * m.a.kernel[...]))),
        ["multiplies with the result of mul"],
    ),
    "stretched-weight": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ jnp.broadcast_to(m.row[...], (3, 3)))),
        ["another product than x @ W"],
    ),
    "bias-as-weight": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ jnp.broadcast_to(m.a.bias[...], (3, 3)))),
        ["another product than x @ W"],
    ),
    "turned-bias": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ m.row[...].T + m.a.bias[...].reshape(1, 3).T)),
        ["adds something else than a bias"],
    ),
    "weight-that-is-no-parameter": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ m.fixed[...])),
        ["multiplies with a constant"],
    ),
    "bias-twice": (
        lambda: own(lambda m, x: nnx.sigmoid(m.a(x) + m.b.bias[...])),
        ["b.bias in Own: add is no bias of a dense layer"],
    ),
    "bias-of-one-number": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ m.a.kernel[...] + m.a.bias[0])),
        ["adds something else than a bias"],
    ),
    "bias-along-the-batch": (
        lambda: own(lambda m, x: nnx.sigmoid(x @ m.a.kernel[...] + m.a.bias[...][:, None])),
        ["adds something else than a bias"],
    ),
    "bias-of-the-input": (
        lambda: own(lambda m, x: nnx.sigmoid(m.a(x + m.b.bias[...]))),
        ["b.bias in Own: add is no bias of a dense layer"],
    ),
    "batch-mean": (lambda: own(lambda m, x: nnx.sigmoid(m.a(x) - x.mean(0))), ["branch"]),
    "turned-data": (
        lambda: own(lambda m, x: nnx.sigmoid(m.a.kernel[...] @ x)),
        ["another product than x @ W"],
    ),
    "pair": (lambda: own(lambda m, x: (nnx.sigmoid(m.a(x)), 1)), ["returns something else"]),
    "control-flow": (
        lambda: own(lambda m, x: nnx.sigmoid(m.a(x)) if x.sum() > 0 else x),
        ["Own cannot be traced: it takes no x of any width (TracerBoolConversionError"],
    ),
    "no-matrix": (lambda: nnx.Sequential(nnx.sigmoid), ["Sequential cannot be traced: it has no matrix"]),
    "input-itself": (lambda: own(lambda m, x: x), ["has no dense layer"]),
    "constant-output": (lambda: own(lambda m, x: jnp.zeros((3, 3))), ["returns something else"]),
}


@pytest.mark.parametrize(("make", "said"), FLAX_REFUSED.values(), ids=FLAX_REFUSED)
def test_flax_modules_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_flax, make(), *said)


def test_relu_may_become_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of the registry needs its line in the engine's table alone, derivatives of its own included."""
    from crossgrad.models import jax_rules

    monkeypatch.setitem(jax_rules.ACTIVATIONS, "sigmoid", jax.nn.relu)
    for function in (jax.nn.relu, nnx.relu):
        assert str(crossgrad.from_flax(nnx.Sequential(flax_linear(3, 2), function)).network) == "3-2"

    @jax.custom_jvp
    def relu(z: Any) -> Any:
        return jax.jit(jax.nn.relu.__wrapped__)(z)

    relu.defjvp(lambda primals, tangents: (relu(*primals), tangents[0]))
    refusal(crossgrad.from_flax, nnx.Sequential(flax_linear(3, 2), relu), "custom_jvp_call relu is no part")
