"""Flax (nnx): modules differentiated by ``nnx.value_and_grad``."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import torch
from flax import nnx

import crossgrad

from .by_hand import attention, convolved, mean_square, normalized, over_time, tanh_gelu
from .scenario import SHIFT, Scenario, checked, compared, data, drawn

RNGS = nnx.Rngs(0)
X, Y = data(5, 8), data(5, 3, seed=2)
SEQUENCE, OUTPUTS = data(3, 6, 4), data(3, 6, 5, seed=2)
IMAGES = data(3, 7, 7, 2)


def flax_pair(
    module: Any, by_hand: Callable[..., Any], *batch: Any, scale: float = 0.5
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A module's mean squared error by Flax and by hand, and the arguments of both."""
    definition, parameters, rest = nnx.split(module, nnx.Param, ...)

    def gradients(params: Any, x: Any, y: Any) -> Any:
        def loss(whole: Any) -> Any:
            return ((whole(x) - y) ** 2).mean()

        found, slopes = nnx.value_and_grad(loss)(nnx.merge(definition, params, rest, copy=True))
        return found, nnx.to_pure_dict(slopes)

    def torch_loss(params: Any, x: Any, y: Any) -> Any:
        return mean_square(by_hand(params, x), y)

    functions = (crossgrad.gradient(gradients, "jax", "flax"), crossgrad.loss(torch_loss, "torch", "by hand"))
    return functions, (drawn(nnx.to_pure_dict(parameters), scale=scale), *batch)


def scenario(
    model: str, module: Any, by_hand: Callable[..., Any], *batch: Any, differs: str = "", vanishes: str = ""
) -> Scenario:
    functions, args = flax_pair(module, by_hand, *batch)
    return Scenario("flax", model, compared(*functions, args=args), differs, vanishes)


def sigmoid_mlp() -> Any:
    return nnx.Sequential(nnx.Linear(8, 6, rngs=RNGS), nnx.sigmoid, nnx.Linear(6, 3, rngs=RNGS), nnx.sigmoid)


def mlp_gradients(params: Any, x: Any, y: Any) -> Any:
    """Flax's gradient of `sigmoid_mlp` at the parameters of a specification."""
    definition, _, rest = nnx.split(sigmoid_mlp(), nnx.Param, ...)
    layers = {2 * n: {"kernel": W.T, "bias": b} for n, (W, b) in enumerate(params)}

    def loss(module: Any) -> Any:
        return ((module(x) - y) ** 2).mean()

    found, slopes = nnx.value_and_grad(loss)(nnx.merge(definition, {"layers": layers}, rest, copy=True))
    layers = nnx.to_pure_dict(slopes)["layers"]
    return found, [(layers[n]["kernel"].T, layers[n]["bias"]) for n in (0, 2)]


def mlp_scenario() -> Scenario:
    network, parameters = crossgrad.from_flax(sigmoid_mlp())
    batch = X, (Y > 0).astype(float)
    return Scenario("flax", "sigmoid MLP", checked(network, parameters, batch, mlp_gradients, "jax"))


def dense(params: Any, x: Any) -> Any:
    return x @ params["kernel"] + params["bias"]


def block(gelu: Callable[..., Any], epsilon: float) -> Callable[..., Any]:
    """Dense, layer normalization, gelu and dense, by hand."""

    def output(params: Any, x: Any) -> Any:
        layers = params["layers"]
        x = normalized(dense(layers[0], x), layers[1]["scale"], layers[1]["bias"], epsilon)
        return dense(layers[max(layers)], gelu(x))

    return output


def block_module() -> Any:
    return nnx.Sequential(
        nnx.Linear(8, 6, rngs=RNGS), nnx.LayerNorm(6, rngs=RNGS), nnx.gelu, nnx.Linear(6, 3, rngs=RNGS)
    )


def dropout_module() -> Any:
    return nnx.Sequential(
        nnx.Linear(8, 6, rngs=RNGS),
        nnx.LayerNorm(6, rngs=RNGS),
        nnx.Dropout(0.5, deterministic=True),
        nnx.gelu,
        nnx.Linear(6, 3, rngs=RNGS),
    )


class Convolutions(nnx.Module):
    """A convolution, the mean of each 2 x 2, and a dense layer."""

    def __init__(self) -> None:
        self.conv = nnx.Conv(2, 4, (3, 3), padding="VALID", rngs=RNGS)
        self.out = nnx.Linear(16, 3, rngs=RNGS)

    def __call__(self, x: Any) -> Any:
        x = nnx.avg_pool(nnx.softplus(self.conv(x)), (2, 2), (2, 2))
        return self.out(x.reshape(len(x), -1))


def convolutions(params: Any, x: Any) -> Any:
    x = torch.nn.functional.softplus(convolved(x, **params["conv"]))
    x = x[:, :4, :4].reshape(len(x), 2, 2, 2, 2, 4).mean((2, 4))
    return dense(params["out"], x.reshape(len(x), -1))


class SelfAttention(nnx.Module):
    """Two heads over 4 features, and a projection."""

    def __init__(self) -> None:
        self.heads = nnx.MultiHeadAttention(num_heads=2, in_features=4, decode=False, rngs=RNGS)
        self.out = nnx.Linear(4, 5, rngs=RNGS)

    def __call__(self, x: Any) -> Any:
        return self.out(self.heads(x))


def self_attention(params: Any, x: Any) -> Any:
    heads = params["heads"]

    def projected(name: str) -> Any:
        return torch.einsum("bti,ihd->bthd", x, heads[name]["kernel"]) + heads[name]["bias"]

    mixed = attention(projected("query"), projected("key"), projected("value"))
    out = torch.einsum("bthd,hdo->bto", mixed, heads["out"]["kernel"]) + heads["out"]["bias"]
    return dense(params["out"], out)


class Recurrent(nnx.Module):
    """A cell along a sequence; its first state is of float32 in any dtype, unless it is given."""

    def __init__(self, cell: Any, states: int) -> None:
        self.rnn, self.states = nnx.RNN(cell), states

    def __call__(self, x: Any) -> Any:
        zeros = (jnp.zeros((len(x), 5), x.dtype),) * self.states
        return self.rnn(x, initial_carry=zeros if self.states > 1 else zeros[0])


def lstm(params: Any, x: Any) -> Any:
    gates = params["rnn"]["cell"]

    def cell(state: Any, now: Any) -> Any:
        h, c = state
        i, f, g, o = (now @ gates[f"i{n}"]["kernel"] + dense(gates[f"h{n}"], h) for n in "ifgo")
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    gates = {name.rstrip("_"): part for name, part in gates.items()}
    return over_time(cell, x, 5, states=2)


def gru(params: Any, x: Any) -> Any:
    inner, outer = params["rnn"]["cell"]["dense_h"], params["rnn"]["cell"]["dense_i"]

    def cell(state: Any, now: Any) -> Any:
        (h,) = state
        (ir, iz, i_n), (hr, hz, h_n) = dense(outer, now).chunk(3, -1), (h @ inner["kernel"]).chunk(3, -1)
        z = torch.sigmoid(iz + hz)
        return ((1 - z) * torch.tanh(i_n + torch.sigmoid(ir + hr) * h_n) + z * h,)

    return over_time(cell, x, 5)


def batch_norm() -> tuple[Any, Callable[..., Any]]:
    """Batch normalization in evaluation, with averages of its own."""
    module = nnx.BatchNorm(8, use_running_average=True, rngs=RNGS)
    mean, variance = data(8, seed=3).astype("f4"), data(8, seed=4).astype("f4") ** 2
    module.mean[...], module.var[...] = mean, variance

    def by_hand(params: Any, x: Any) -> Any:
        scale = params["scale"] / torch.sqrt(torch.tensor(variance).to(x.dtype) + 1e-5)
        return (x - torch.tensor(mean)) * scale + params["bias"]

    return module, by_hand


EXACT_GELU = (
    "nnx.gelu is the tanh approximation by default, torch.nn.functional.gelu the error function: "
    "nnx.gelu(x, approximate=False)"
)
EPSILON = "nnx.LayerNorm adds 1e-6 to the variance by default, torch.nn.LayerNorm 1e-5: epsilon=1e-5"
exact_gelu = torch.nn.functional.gelu

NARROW = "without dropout Flax calls jax.nn.dot_product_attention, whose softmax is in float32 in any dtype"
ATTENTION = scenario("MultiHeadAttention", SelfAttention(), self_attention, SEQUENCE, OUTPUTS)

SCENARIOS = (
    mlp_scenario(),
    scenario("Linear, LayerNorm, gelu", block_module(), block(tanh_gelu, 1e-6), X, Y),
    scenario("the same with Dropout off", dropout_module(), block(tanh_gelu, 1e-6), X, Y),
    scenario("Conv, softplus, avg_pool", Convolutions(), convolutions, IMAGES, data(3, 3)),
    replace(ATTENTION, vanishes=SHIFT, dtypes=("float32",)),
    replace(ATTENTION, differs=NARROW, dtypes=("float64",)),
    scenario("RNN(LSTMCell), a scan", Recurrent(nnx.LSTMCell(4, 5, rngs=RNGS), 2), lstm, SEQUENCE, OUTPUTS),
    scenario("RNN(GRUCell), a scan", Recurrent(nnx.GRUCell(4, 5, rngs=RNGS), 1), gru, SEQUENCE, OUTPUTS),
    scenario("BatchNorm in evaluation", *batch_norm(), X, data(5, 8, seed=2)),
    scenario("gelu's default", block_module(), block(exact_gelu, 1e-6), X, Y, differs=EXACT_GELU),
    scenario("LayerNorm's epsilon", block_module(), block(tanh_gelu, 1e-5), X, Y, differs=EPSILON),
)
