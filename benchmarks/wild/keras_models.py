"""Keras 3 on the backend that it was started with: layers called by ``stateless_call``.

A layer of Keras rounds what it is given to its own dtype, so that each model
is made in float32 and in float64, and the data choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import torch
from keras import layers

import crossgrad

from .by_hand import attention, convolved, mean_square, normalized, over_time
from .scenario import SHIFT, Scenario, checked, compared, data

BACKEND = keras.backend.backend()
PACKAGE = f"keras on {BACKEND}"
X, Y = data(5, 8), data(5, 3, seed=2)
SEQUENCE, OUTPUTS = data(3, 6, 4), data(3, 6, 5, seed=2)


def made(make: Callable[[str], Any]) -> dict[str, Any]:
    """A model in each dtype."""
    return {dtype: make(dtype) for dtype in ("float32", "float64")}


def sequential(shape: tuple[int, ...], *parts: Callable[..., Any]) -> Callable[[str], Any]:
    def make(dtype: str) -> Any:
        return keras.Sequential([keras.Input(shape, dtype=dtype), *(part(dtype=dtype) for part in parts)])

    return make


def of(kind: Any, *args: Any, **options: Any) -> Callable[..., Any]:
    return lambda dtype: kind(*args, dtype=dtype, **options)


def output(models: dict[str, Any], params: Any, x: Any) -> Any:
    model = models[keras.backend.standardize_dtype(x.dtype)]
    fixed = [variable.value for variable in model.non_trainable_variables]
    return model.stateless_call(list(params), fixed, x, training=False)[0]


def scenario(
    model: str,
    make: Callable[[str], Any],
    by_hand: Callable[..., Any],
    *batch: Any,
    differs: str = "",
    vanishes: str = "",
    loss: Callable[..., Any] | None = None,
    torch_loss: Callable[..., Any] = mean_square,
) -> Scenario:
    """A model's loss by Keras and by hand; both get its variables in Keras' order."""
    models = made(make)

    def keras_loss(params: Any, x: Any, y: Any) -> Any:
        return (loss or mean_square_outside)(y, output(models, params, x))

    theirs = crossgrad.loss(keras_loss, BACKEND, "keras")
    ours = crossgrad.loss(lambda params, x, y: torch_loss(by_hand(params, x), y), "torch", "by hand")
    draw = np.random.default_rng(0)
    params = [draw.normal(0.0, 0.5, v.shape) for v in models["float32"].trainable_variables]
    run = compared(theirs, ours, args=(params, *batch))
    return Scenario(PACKAGE, model, run, differs, vanishes)


def sigmoid_mlp(dtype: str) -> Any:
    parts = (of(layers.Dense, 6, activation="sigmoid"), of(layers.Dense, 3, activation="sigmoid"))
    return sequential((8,), *parts)(dtype)


def mlp_scenario() -> Scenario:
    models = made(sigmoid_mlp)
    network, parameters = crossgrad.from_keras(models["float32"])

    def loss(params: Any, x: Any, y: Any) -> Any:
        flat = [array for W, b in params for array in (W.T, b)]
        return mean_square_outside(y, output(models, flat, x))

    def by_torch(params: Any, x: Any, y: Any) -> Any:
        found = loss(params, x, y)
        slopes = torch.autograd.grad(found, [array for pair in params for array in pair])
        return found.detach(), list(zip(slopes[::2], slopes[1::2], strict=True))

    def by_jax(params: Any, x: Any, y: Any) -> Any:
        import jax

        return jax.value_and_grad(loss)(params, x, y)

    batch = X, (Y > 0).astype(float)
    gradients = by_torch if BACKEND == "torch" else by_jax
    return Scenario(PACKAGE, "sigmoid MLP", checked(network, parameters, batch, gradients, BACKEND))


def normalizing(epsilon: float) -> Callable[..., Any]:
    def by_hand(params: Any, x: Any) -> Any:
        gamma, beta, kernel, bias = params
        return torch.nn.functional.elu(normalized(x, gamma, beta, epsilon) @ kernel + bias)

    return by_hand


def with_slope(slope: float) -> Callable[..., Any]:
    def by_hand(params: Any, x: Any) -> Any:
        return torch.nn.functional.leaky_relu(x * params[0] + params[1], slope)

    return by_hand


def scaled(epsilon: float) -> Callable[..., Any]:
    return lambda params, x: x / (1 + epsilon) ** 0.5 * params[0] + params[1]


def convolutions(params: Any, x: Any) -> Any:
    kernel, bias, out, shift = params
    return torch.tanh(convolved(x, kernel, bias)).mean((1, 2)) @ out + shift


def attending(dtype: str) -> Any:
    x = keras.Input((6, 4), dtype=dtype)
    heads = layers.MultiHeadAttention(2, 3, dtype=dtype)(x, x)
    return keras.Model(x, layers.Dense(5, dtype=dtype)(heads))


def self_attention(params: Any, x: Any) -> Any:
    wq, bq, wk, bk, wv, bv, wo, bo, kernel, bias = params
    q, k, v = (torch.einsum("bti,ihd->bthd", x, w) + b for w, b in ((wq, bq), (wk, bk), (wv, bv)))
    return (torch.einsum("bthd,hdo->bto", attention(q, k, v), wo) + bo) @ kernel + bias


def lstm(params: Any, x: Any) -> Any:
    kernel, recurrent, bias = params

    def cell(state: Any, now: Any) -> Any:
        h, c = state
        i, f, g, o = (now @ kernel + h @ recurrent + bias).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    return over_time(cell, x, 5, states=2)


def gru(params: Any, x: Any) -> Any:
    """As torch.nn.GRU: the reset gate after the product."""
    kernel, recurrent, bias = params
    inner = bias[1] if bias.ndim == 2 else 0.0
    outer = bias[0] if bias.ndim == 2 else bias

    def cell(state: Any, now: Any) -> Any:
        (h,) = state
        (iz, ir, i_n), (hz, hr, h_n) = (
            (now @ kernel + outer).chunk(3, -1),
            (h @ recurrent + inner).chunk(3, -1),
        )
        z = torch.sigmoid(iz + hz)
        return (z * h + (1 - z) * torch.tanh(i_n + torch.sigmoid(ir + hr) * h_n),)

    return over_time(cell, x, 5)


def mean_square_outside(y: Any, found: Any) -> Any:
    """By the arrays' own operations, as that of Keras is narrow in float64."""
    return ((found - y) ** 2).mean()


def mean_squared(y: Any, found: Any, **options: Any) -> Any:
    kind = keras.losses.MeanSquaredError(dtype=keras.backend.standardize_dtype(found.dtype))
    return kind(y, found, **options)


def weighted(y: Any, found: Any) -> Any:
    return mean_squared(y, found, sample_weight=np.array([1.0, 2.0, 0.5, 1.0, 0.25]))


def torch_weighted(found: Any, y: Any) -> Any:
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 0.25], dtype=found.dtype)
    return (((found - y) ** 2).mean(1) * weights).sum() / weights.sum()


def crossentropy(y: Any, found: Any) -> Any:
    return keras.losses.BinaryCrossentropy(dtype=keras.backend.standardize_dtype(found.dtype))(y, found)


def torch_crossentropy(found: Any, y: Any) -> Any:
    return torch.nn.functional.binary_cross_entropy(found, y)


def in_both(scenario: Scenario, narrow_on: Sequence[str] = ("jax", "torch")) -> tuple[Scenario, ...]:
    """A scenario that is computed in float32, whatever its dtype, where Keras runs on these backends."""
    if BACKEND not in narrow_on:
        return (scenario,)
    wide = replace(scenario, dtypes=("float64",), differs=NARROW[BACKEND], vanishes="")
    return replace(scenario, dtypes=("float32",)), wide


LATTICE = "keras.backend.result_type makes float32 of float64 on every backend but TensorFlow's: "
NARROW = {
    "jax": LATTICE + "means, normalizations and recurrent layers are as far off as float32 is",
    "torch": LATTICE
    + "means, normalizations and Dense are as far off as float32 is (keras-team/keras#23704)",
}
EPSILON = "LayerNormalization adds 1e-3 to the variance by default, torch.nn.LayerNorm 1e-5: epsilon=1e-5"
BATCH = "BatchNormalization adds 1e-3 to the variance by default, torch.nn.BatchNorm1d 1e-5: epsilon=1e-5"
SLOPE = "LeakyReLU has the negative slope 0.3 by default, torch.nn.LeakyReLU 0.01: negative_slope=0.01"
RESET = "with reset_after=False the reset gate comes before the product; torch.nn.GRU has it after"
WEIGHTS = "sample weights: Keras divides by the number of samples, not by the sum of their weights"
CLIPPED = "Keras clips probabilities to 1e-7 ... 1 - 1e-7, torch clamps their logarithms at -100"

normalization = sequential((8,), of(layers.LayerNormalization), of(layers.Dense, 3, activation="elu"))
leaky = sequential((8,), of(layers.BatchNormalization, epsilon=0.0), of(layers.LeakyReLU))
scaling = sequential((8,), of(layers.BatchNormalization))
dense = sequential((8,), of(layers.Dense, 3))
probable = sequential(
    (8,),
    of(layers.BatchNormalization, epsilon=0.0),
    of(layers.Activation, "sigmoid"),
    of(layers.Dropout, 0.5),
)
convolving = sequential(
    (7, 7, 2),
    of(layers.Conv2D, 4, 3, activation="tanh"),
    of(layers.GlobalAveragePooling2D),
    of(layers.Dense, 3),
)
LSTM = sequential((6, 4), of(layers.LSTM, 5, return_sequences=True))
GRU = sequential((6, 4), of(layers.GRU, 5, return_sequences=True))
RESET_BEFORE = sequential((6, 4), of(layers.GRU, 5, return_sequences=True, reset_after=False))
WIDE_Y, CERTAIN = data(5, 8, seed=2), (data(5, 8, seed=2) > 0).astype(float)


BINARY: dict[str, Any] = {"loss": crossentropy, "torch_loss": torch_crossentropy}
WEIGHTED: dict[str, Any] = {"loss": weighted, "torch_loss": torch_weighted}


def linear(params: Any, x: Any) -> Any:
    return x @ params[0] + params[1]


def probability(params: Any, x: Any) -> Any:
    return torch.sigmoid(x * params[0] + params[1])


TORCH = ("torch",)
SCENARIOS = (
    *in_both(mlp_scenario(), TORCH),
    *in_both(scenario("MeanSquaredError", dense, linear, X, Y, loss=mean_squared)),
    *in_both(scenario("LayerNormalization, Dense, elu", normalization, normalizing(1e-3), X, Y)),
    *in_both(scenario("Conv2D, pooling, Dense", convolving, convolutions, data(3, 7, 7, 2), data(3, 3))),
    *in_both(scenario("MultiHeadAttention", attending, self_attention, SEQUENCE, OUTPUTS, vanishes=SHIFT)),
    *in_both(scenario("LSTM", LSTM, lstm, SEQUENCE, OUTPUTS), ("jax",)),
    *in_both(scenario("GRU", GRU, gru, SEQUENCE, OUTPUTS), ("jax",)),
    *in_both(scenario("BatchNormalization in evaluation", scaling, scaled(1e-3), X, WIDE_Y)),
    *in_both(scenario("binary crossentropy, Dropout off", probable, probability, X, CERTAIN, **BINARY)),
    scenario("LayerNormalization's epsilon", normalization, normalizing(1e-5), X, Y, differs=EPSILON),
    scenario("BatchNormalization's epsilon", scaling, scaled(1e-5), X, WIDE_Y, differs=BATCH),
    scenario("LeakyReLU's slope", leaky, with_slope(0.01), X, WIDE_Y, differs=SLOPE),
    scenario("GRU's reset_after", RESET_BEFORE, gru, SEQUENCE, OUTPUTS, differs=RESET),
    scenario("sample weights", dense, linear, X, Y, differs=WEIGHTS, **WEIGHTED),
    scenario("certain probabilities", probable, probability, 40 * X, CERTAIN, differs=CLIPPED, **BINARY),
)
