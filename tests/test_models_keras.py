"""Keras models as specifications: on each backend of Keras that is here, or a refusal by name."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import GradientsDisagree, Network
from crossgrad.networks.rules import ACTIVATIONS

from .conftest import skip
from .ported import DTYPES, NETWORKS, bits, parameters_of, refusal, require_agreement

try:
    import torch
except ImportError:
    skip("torch", "torch is not installed")

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "torch":
    pytest.skip("these tests are written for Keras on torch", allow_module_level=True)

layers = keras.layers


@pytest.fixture(autouse=True)
def _same_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras counts layers for their names; what it does beside takes 0.3 s a test."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)
    keras.utils.clear_session()


def dense(units: int, activation: Any = "sigmoid", **options: Any) -> Any:
    return layers.Dense(units, activation, bias_initializer="random_normal", **options)


def functional(function: Callable[[Any], Any], width: int = 3) -> Any:
    x = keras.Input((width,))
    return keras.Model(x, function(x))


MODELS: dict[str, Callable[[], Any]] = {
    "sequential": lambda: keras.Sequential([keras.Input((3,)), dense(4), dense(4), dense(2)]),
    "activations-apart": lambda: keras.Sequential(
        [keras.Input((3,)), dense(4, None, use_bias=False), layers.Activation("sigmoid"), dense(1)]
    ),
    "nested": lambda: keras.Sequential(
        [keras.Input((3,)), keras.Sequential([dense(2)]), layers.Identity(), keras.Sequential([dense(2)])]
    ),
    "nested-in-functional": lambda: functional(keras.Sequential([keras.Input((3,)), dense(2), dense(1)])),
    "functional": lambda: functional(lambda x: layers.Activation("sigmoid")(dense(2, "linear")(dense(4)(x)))),
}


def theirs(model: Any) -> Callable[[Any, Any], Any]:
    """mse and its gradients by autograd, on the model itself."""

    def step(x: Any, y: Any) -> Any:
        variables = [variable.value for variable in model.trainable_variables]
        found = model(torch.from_numpy(x).to(variables[0].device))
        loss = torch.nn.functional.mse_loss(found, torch.from_numpy(y).to(found.device))
        pairs: list[list[Any]] = []
        for variable, gradient in zip(variables, torch.autograd.grad(loss, variables), strict=True):
            if variable.ndim == 2:
                pairs.append([gradient.cpu().numpy().T, None])
            else:
                pairs[-1][1] = gradient.cpu().numpy()
        return loss.item(), [tuple(pair) for pair in pairs]

    return step


# What is read


NARROW = pytest.mark.xfail(
    strict=True,
    raises=GradientsDisagree,
    reason="Keras 3.15 multiplies float64 in float32, and crossgrad sees it: keras-team/keras#23704",
)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=NARROW)])
@pytest.mark.parametrize("name", MODELS)
def test_autograd_on_the_model_agrees(name: str, dtype: str) -> None:
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx(dtype)  # of Input
    try:
        model = MODELS[name]()
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])
    read = crossgrad.from_keras(model)
    assert read.parameters[0].W.dtype == dtype
    require_agreement(read, theirs(model), dtype)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's get_weights
def test_kernels_are_turned() -> None:
    model = keras.Sequential([keras.Input((3,)), dense(2)])
    network, ((W, b),) = crossgrad.from_keras(model)
    kernel, bias = model.get_weights()
    assert (str(network), kernel.shape) == ("3-2", (3, 2))
    np.testing.assert_array_equal(W, kernel.T)
    np.testing.assert_array_equal(b, bias)
    W_before = W.copy()
    model.set_weights([kernel + 1, bias])
    np.testing.assert_array_equal(W, W_before)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=8)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_every_bit_comes_back(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    parts = [keras.Input((network.inputs,), dtype=dtype)]
    parts += [layers.Dense(part.units, "sigmoid", part.bias, dtype=dtype) for part in network.layers]
    model = keras.Sequential(parts)
    for layer, (W, b) in zip(model.layers, parameters, strict=True):
        for variable, array in zip(layer.weights, (W.T, b), strict=False):
            bits_of = torch.from_numpy(np.ascontiguousarray(array).view(f"i{array.itemsize}"))
            with torch.no_grad():
                variable.value.copy_(bits_of.view(getattr(torch, dtype)))
    back = crossgrad.from_keras(model)
    assert back.network == network
    assert bits(back.parameters) == bits(parameters)


def test_check_takes_what_was_read() -> None:
    model = crossgrad.from_keras(MODELS["functional"]())
    assert crossgrad.check(model.network, params=model.parameters, dtypes=["float32"], backends=["numpy"]).ok


def on_jax(code: str, **environment: str) -> str:
    """What a process prints in which JAX is the backend of Keras, which a process has one of."""
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", f"import keras, crossgrad\n{code}"],
        env={**os.environ, "KERAS_BACKEND": "jax", **environment},
        capture_output=True,
        text=True,
    )
    return done.stdout or done.stderr


@pytest.mark.slow
def test_on_jax_the_same_numbers_are_read() -> None:
    code = """
assert keras.backend.backend() == 'jax'
m = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, 'sigmoid')])
network, ((W, b),) = crossgrad.from_keras(m)
assert str(network) == '3-2' and (W == m.get_weights()[0].T).all()
m = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, 'sigmoid', dtype='bfloat16')])
print(crossgrad.from_keras(m).parameters[0].W.dtype)
"""
    assert on_jax(code) == "bfloat16\n"


def test_on_jax_float64_takes_its_x64_mode() -> None:
    code = """
dense = keras.layers.Dense(2, 'sigmoid', dtype='float64')
m = keras.Sequential([keras.Input((3,), dtype='float64'), dense])
try:
    print(crossgrad.from_keras(m).parameters[0].W.dtype)
except crossgrad.InvalidInput as refused:
    print(refused)
"""
    assert on_jax(code, JAX_ENABLE_X64="1") == "float64\n"
    said = on_jax(code, JAX_ENABLE_X64="0")
    assert "is float64, but Keras gives float32: with JAX as its backend" in said
    assert "jax.config.update('jax_enable_x64', True)" in said


def test_every_activation_has_a_line() -> None:
    from crossgrad.models import keras_models

    assert keras_models.ACTIVATIONS.keys() == ACTIVATIONS.keys()


# What is refused


def twice(x: Any) -> Any:
    layer = dense(3)
    return layer(layer(x))


def used_elsewhere() -> Any:
    layer = dense(3)
    layer(keras.Input((3,)))
    return functional(layer)


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.fc = dense(2)

    def call(self, x: Any) -> Any:
        return self.fc(x)


def own() -> Any:
    model = Own()
    model.build((None, 3))
    return model


def call_set() -> Any:
    model = MODELS["sequential"]()
    model.layers[0].call = lambda x: x
    return model


def shared_in_sequential() -> Any:
    layer = dense(3)
    inner = keras.Sequential([keras.Input((3,)), layer])
    return keras.Sequential([keras.Input((3,)), layer, inner])


def with_lora() -> Any:
    model = MODELS["sequential"]()
    model.layers[0].enable_lora(2)
    return model


def sequential(*parts: Any) -> Callable[[], Any]:
    return lambda: keras.Sequential([keras.Input((3,)), *(part() for part in parts)])


REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no-model": (lambda: layers.Dense(1), ["the model is a Dense: expected a keras.Model"]),
    "not-built": (
        lambda: keras.Sequential([dense(1)]),
        ["has no numbers yet: call model.build((None, width))"],
    ),
    "unknown": (
        lambda: keras.Sequential(
            [keras.Input((3,)), dense(2), layers.LayerNormalization(name="norm")], name="net"
        ),
        ["net.norm: LayerNormalization is no part of a specification"],
    ),
    "dropout": (
        sequential(lambda: dense(2), lambda: layers.Dropout(0.5, name="drop")),
        ["drop: Dropout computes one thing in training and another in evaluation"],
    ),
    "batch-norm": (
        sequential(lambda: dense(2), lambda: layers.BatchNormalization(name="norm")),
        ["norm: BatchNormalization computes one thing in training"],
    ),
    "other-activation": (sequential(lambda: dense(2, "tanh")), ["dense: Dense has the activation tanh"]),
    "activation-of-a-framework": (
        sequential(lambda: dense(2, torch.sigmoid)),
        ["dense: Dense has the activation sigmoid"],
    ),
    "no-activation": (sequential(lambda: dense(2, None)), ["dense: Dense has no activation behind it"]),
    "activation-alone": (
        sequential(lambda: layers.Activation("sigmoid", name="act"), lambda: dense(2)),
        ["act: Activation has no dense layer of its own before it"],
    ),
    "regularizer": (
        sequential(lambda: dense(2, kernel_regularizer="l2")),
        ["dense: Dense has a kernel_regularizer"],
    ),
    "constraint": (
        sequential(lambda: dense(2, bias_constraint="non_neg")),
        ["dense: Dense has a bias_constraint"],
    ),
    "mixed-precision": (
        sequential(lambda: dense(2, dtype="mixed_bfloat16")),
        ["dense: Dense keeps float32 and computes in bfloat16"],
    ),
    "narrow-input": (
        sequential(lambda: dense(2, dtype="float64")),
        ["rounds x to float32", 'computes in float64: make it with keras.Input(..., dtype="float64")'],
    ),
    "narrow-input-inside": (
        lambda: keras.Sequential(
            [
                keras.Input((3,), dtype="float64"),
                keras.Sequential([keras.Input((3,)), dense(2, dtype="float64")]),
            ]
        ),
        ["rounds x to float32"],
    ),
    "lora": (with_lora, ["dense: Dense is quantized or has LoRA"]),
    "call-set": (call_set, ["dense: Dense has a call set on it"]),
    "own-call": (own, ["Own has a call of its own, which cannot be followed: make it a keras.Sequential"]),
    "layer-twice": (lambda: functional(twice), ["returns something else than its last value"]),
    "layer-shared": (shared_in_sequential, ["shares a parameter with"]),
    "used-elsewhere": (used_elsewhere, ["used elsewhere too"]),
    "residual": (lambda: functional(lambda x: layers.Add()([x, dense(3)(x)])), ["Add"]),
    "operation": (lambda: functional(lambda x: keras.ops.sigmoid(dense(2, None)(x))), ["Sigmoid is no part"]),
    "two-outputs": (
        lambda: functional(lambda x: [dense(2)(x), dense(2)(x)]),
        ["where the way of the data branches"],
    ),
    "sequences": (
        lambda: keras.Sequential([keras.Input((5, 3)), dense(2)]),
        ["has inputs of the shapes [(None, 5, 3)], not one (B, I)"],
    ),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_models_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_keras, make(), *said)
