"""Flax and Equinox modules as specifications, and specifications as JAX functions."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import Dense, DenseParameters, InvalidInput, Network
from crossgrad.networks.parameters import draw_parameters

from .conftest import skip
from .ported import DTYPES, NETWORKS, SMALL, bits, parameters_of, refusal, require_agreement

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    skip("jax", "jax is not installed")

nnx = pytest.importorskip("flax.nnx")
eqx = pytest.importorskip("equinox")

RANDOM = np.random.default_rng(0)


def rngs() -> Any:
    return nnx.Rngs(int(RANDOM.integers(2**31)))


def key() -> Any:
    return jax.random.key(int(RANDOM.integers(2**31)))


def drawn(key: Any, shape: Any, dtype: Any) -> Any:
    return jnp.array(RANDOM.standard_normal(shape), dtype)


def flax_linear(i: int, o: int, **options: Any) -> Any:
    """With a bias that is not zero, as Flax draws it, and nothing to compile for each shape."""
    layer = nnx.Linear(i, o, rngs=rngs(), kernel_init=drawn, bias_init=drawn, **options)
    assert layer.kernel.shape == (i, o)
    return layer


def eqx_linear(i: Any, o: Any, **options: Any) -> Any:
    return eqx.nn.Linear(i, o, key=key(), **options)


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
        self.W = nnx.Param(jax.random.normal(key(), (4, 4)))
        self.V = nnx.Param(jax.random.normal(key(), (4, 4)))
        self.b = nnx.Param(jnp.arange(4.0))

    def __call__(self, x: Any) -> Any:
        hidden = jax.nn.sigmoid(self.b[...] + x @ self.W[...])
        return jax.jit(jax.nn.sigmoid)(jnp.dot(hidden, self.V[...].T))


class EqxOwn(eqx.Module):
    first: Any
    second: Any

    def __init__(self) -> None:
        self.first, self.second = eqx_linear(3, 3), eqx_linear(3, 2, use_bias=False)

    def __call__(self, x: Any) -> Any:
        return jax.nn.sigmoid(self.second(jax.nn.sigmoid(self.first(x))))


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


def mse(module: Any, x: Any, y: Any) -> Any:
    return jnp.mean((module(x) - y) ** 2)


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


@pytest.mark.parametrize(("name", "x64"), [(name, name != "own") for name in EQUINOX], ids=EQUINOX)
def test_filter_grad_on_the_module_agrees(name: str, x64: bool) -> None:
    with jax.enable_x64(x64):
        module = EQUINOX[name]()
        if x64:
            module = jax.tree.map(lambda a: a.astype("float64") if eqx.is_array(a) else a, module)
        model = crossgrad.from_equinox(module)
        require_agreement(model, equinox_gradients(module), "float64" if x64 else "float32")


def test_kernels_of_flax_are_turned() -> None:
    module = nnx.Sequential(flax_linear(3, 2), jax.nn.sigmoid)
    network, ((W, b),) = crossgrad.from_flax(module)
    assert str(network) == "3-2"
    np.testing.assert_array_equal(W, module.layers[0].kernel[...].T)
    np.testing.assert_array_equal(b, module.layers[0].bias[...])


def test_a_jitted_module_is_read() -> None:
    module = EQUINOX["mlp"]()

    class Jitted(eqx.Module):
        inner: Any

        def __call__(self, x: Any) -> Any:
            return jax.jit(lambda x: self.inner(x))(x)

    plain = crossgrad.from_equinox(module)
    assert bits(crossgrad.from_equinox(Jitted(module)).parameters) == bits(plain.parameters)


def test_check_takes_what_was_read() -> None:
    model = crossgrad.from_flax(FLAX["own"]())
    report = crossgrad.check(
        model.network, params=model.parameters, dtypes=["float32", "float64"], backends=["numpy"]
    )
    assert report.ok


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8, deadline=None)
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


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8, deadline=None)
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


# A function out of a specification


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=10, deadline=None)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_parameters_for_jax_have_every_bit(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    with jax.enable_x64(dtype == "float64"):
        apply, params = crossgrad.to_jax(network, parameters)
        out = jax.eval_shape(apply, params, jnp.zeros((2, network.inputs), dtype))
    assert bits(params) == bits(parameters)
    assert (out.shape, out.dtype.name) == ((2, network.layers[-1].units), dtype)


def test_jax_grad_of_the_function_agrees() -> None:
    with jax.enable_x64(True):
        apply, params = crossgrad.to_jax(SMALL, draw_parameters(SMALL, 1))

        @jax.jit
        def step(params: Any, x: Any, y: Any) -> Any:
            return jax.value_and_grad(lambda params: mse(lambda x: apply(params, x), x, y))(params)

        model = crossgrad.Model(SMALL, params)
        require_agreement(model, lambda x, y: step(params, x, y))


def test_the_function_takes_one_sample_too() -> None:
    apply, params = crossgrad.to_jax(SMALL, draw_parameters(SMALL, 1), "float32")
    x = jnp.arange(6.0).reshape(2, 3)
    assert isinstance(params[0], DenseParameters)
    np.testing.assert_allclose(apply(params, x)[1], apply(params, x[1]), rtol=1e-6)
    np.testing.assert_allclose(apply(params, x), jax.vmap(apply, (None, 0))(params, x), rtol=1e-6)


def test_float64_is_not_rounded_in_silence() -> None:
    parameters = draw_parameters(SMALL, 1)
    with jax.enable_x64(False):
        with pytest.raises(
            InvalidInput, match=r"would be rounded to float32.*jax_enable_x64.*dtype='float32'"
        ):
            crossgrad.to_jax(SMALL, parameters)
        _, params = crossgrad.to_jax(SMALL, parameters, jnp.float32)
    assert params[0].W.dtype == jnp.float32


def test_another_activation_than_the_network_has_is_not_in_the_way() -> None:
    network = Network(1, (Dense(1),))
    apply, params = crossgrad.to_jax(network, [(np.ones((1, 1), "float32"), np.zeros(1, "float32"))])
    assert apply(params, jnp.zeros((1, 1))) == 0.5


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


@pytest.mark.parametrize(("make", "said"), FLAX_REFUSED.values(), ids=FLAX_REFUSED)
def test_flax_modules_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_flax, make(), *said)


@pytest.mark.parametrize(("make", "said"), EQUINOX_REFUSED.values(), ids=EQUINOX_REFUSED)
def test_equinox_modules_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_equinox, make(), *said)


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
