"""Equinox: modules differentiated by ``eqx.filter_value_and_grad``, one sample at a time by ``jax.vmap``."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch

import crossgrad

from .by_hand import attention, mean_square, normalized, over_time, sigmoid_layers
from .scenario import Scenario, checked, compared, data, drawn

KEY = jax.random.key(0)
X, Y = data(5, 8), data(5, 3, seed=2)
SEQUENCE, OUTPUTS = data(3, 6, 4), data(3, 6, 5, seed=2)
TIES = np.array([-1.0, 0.0, 0.5, 0.0, 1.0, 2.0])


def scenario(
    model: str, module: Any, by_hand: Callable[..., Any], *batch: Any, differs: str = "", params: Any = None
) -> Scenario:
    """A module's mean squared error by Equinox and by hand, which gets the same module of torch's tensors."""
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)

    def gradients(params: Any, x: Any, y: Any) -> Any:
        def loss(arrays: Any) -> Any:
            return ((jax.vmap(eqx.combine(arrays, rest))(x) - y) ** 2).mean()

        return eqx.filter_value_and_grad(loss)(params)

    def torch_loss(params: Any, x: Any, y: Any) -> Any:
        return mean_square(by_hand(params, x), y)

    theirs = crossgrad.gradient(gradients, "jax", "equinox")
    ours = crossgrad.loss(torch_loss, "torch", "by hand")
    args = (drawn(arrays) if params is None else params, *batch)
    return Scenario("equinox", model, compared(theirs, ours, args=args), differs)


def sigmoid_mlp() -> Any:
    return eqx.nn.MLP(8, 3, 6, 2, activation=jax.nn.sigmoid, final_activation=jax.nn.sigmoid, key=KEY)


def mlp_gradients(params: Any, x: Any, y: Any) -> Any:
    """Equinox's gradient of `sigmoid_mlp` at the parameters of a specification."""

    def numbers(module: Any) -> Any:
        return [array for layer in module.layers for array in (layer.weight, layer.bias)]

    @eqx.filter_value_and_grad
    def gradients(module: Any) -> Any:
        return ((jax.vmap(module)(x) - y) ** 2).mean()

    flat = [array for pair in params for array in pair]
    loss, found = gradients(eqx.tree_at(numbers, sigmoid_mlp(), flat))
    slopes = numbers(found)
    return loss, list(zip(slopes[::2], slopes[1::2], strict=True))


def mlp_scenario() -> Scenario:
    network, parameters = crossgrad.from_equinox(sigmoid_mlp())
    batch = X, (Y > 0).astype(float)
    return Scenario("equinox", "sigmoid MLP", checked(network, parameters, batch, mlp_gradients, "jax"))


def mlp_by_hand(params: Any, x: Any) -> Any:
    return sigmoid_layers([(layer.weight, layer.bias) for layer in params.layers], x)


class Convolutions(eqx.Module):
    """Convolution, group normalization, tanh, and a dense layer."""

    conv: eqx.nn.Conv2d
    norm: eqx.nn.GroupNorm
    out: eqx.nn.Linear

    def __call__(self, x: Any) -> Any:
        return self.out(jnp.tanh(self.norm(self.conv(x))).reshape(-1))


def convolution_module() -> Any:
    conv = eqx.nn.Conv2d(2, 4, 3, key=KEY)
    return Convolutions(conv, eqx.nn.GroupNorm(2, 4), eqx.nn.Linear(64, 3, key=KEY))


def convolutions(params: Any, x: Any) -> Any:
    x = torch.nn.functional.conv2d(x, params.conv.weight) + params.conv.bias
    grouped = normalized(x.reshape(len(x), 2, -1), 1.0, 0.0, 1e-5).reshape(x.shape)
    x = grouped * params.norm.weight[:, None, None] + params.norm.bias[:, None, None]
    return torch.tanh(x).reshape(len(x), -1) @ params.out.weight.T + params.out.bias


class SelfAttention(eqx.Module):
    """Two heads, and root-mean-square normalization of each position."""

    heads: eqx.nn.MultiheadAttention
    norm: eqx.nn.RMSNorm

    def __call__(self, x: Any) -> Any:
        return jax.vmap(self.norm)(self.heads(x, x, x))


def self_attention(params: Any, x: Any) -> Any:
    heads = params.heads

    def projected(layer: Any) -> Any:
        return (x @ layer.weight.T).reshape(*x.shape[:2], 2, 2)

    q, k, v = map(projected, (heads.query_proj, heads.key_proj, heads.value_proj))
    x = attention(q, k, v).reshape(x.shape) @ heads.output_proj.weight.T
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-5) * params.norm.weight + params.norm.bias


class Recurrent(eqx.Module):
    """A cell along a sequence, by ``jax.lax.scan``."""

    cell: eqx.nn.GRUCell

    def __call__(self, x: Any) -> Any:
        def step(h: Any, now: Any) -> Any:
            h = self.cell(now, h)
            return h, h

        return jax.lax.scan(step, jnp.zeros(5, x.dtype), x)[1]


def gru(params: Any, x: Any) -> Any:
    p = params.cell

    def cell(state: Any, now: Any) -> Any:
        (h,) = state
        (ir, iz, i_n), (hr, hz, h_n) = (
            (now @ p.weight_ih.T + p.bias).chunk(3, -1),
            (h @ p.weight_hh.T).chunk(3, -1),
        )
        z = torch.sigmoid(iz + hz)
        new = torch.tanh(i_n + torch.sigmoid(ir + hr) * (h_n + p.bias_n))
        return (new + z * (h - new),)

    return over_time(cell, x, 5)


class Elementwise(eqx.Module):
    """A function of each weight: at its kinks there is no derivative, but what a library returns for one."""

    weight: Any
    function: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return self.function(self.weight) * x


def kink(model: str, function: Any, by_hand: Any, differs: str, ties: Any = TIES) -> Scenario:
    module = Elementwise(jnp.asarray(ties), function)
    # numpy's float64 in the place of the float32 that JAX has made of it
    params = eqx.tree_at(lambda module: module.weight, module, ties)

    def output(params: Any, x: Any) -> Any:
        return by_hand(params.weight) * x

    return scenario(model, module, output, data(4, 6), data(4, 6, seed=2), differs=differs, params=params)


ABS = "the derivative of abs at 0 is 1 in JAX, 0 in torch: any number between -1 and 1 is a subgradient"
MAXIMUM = "jnp.maximum(x, 0) halves the gradient at ties, torch.relu has 0 there: jax.nn.relu has 0 too"
CLIP = "jnp.clip halves the gradient at its bounds, torch.clamp lets it through"
LEAKY = "the derivative of leaky_relu at 0 is 1 in JAX, the negative slope in torch"

SCENARIOS = (
    mlp_scenario(),
    Scenario(
        "equinox",
        "the same as a function",
        scenario("", sigmoid_mlp(), mlp_by_hand, X, Y).run,
    ),
    scenario("Conv2d, GroupNorm", convolution_module(), convolutions, data(3, 2, 6, 6), data(3, 3)),
    scenario(
        "MultiheadAttention, RMSNorm",
        SelfAttention(eqx.nn.MultiheadAttention(2, 4, key=KEY), eqx.nn.RMSNorm(4)),
        self_attention,
        SEQUENCE,
        SEQUENCE[::-1].copy(),
    ),
    scenario("GRUCell in a scan", Recurrent(eqx.nn.GRUCell(4, 5, key=KEY)), gru, SEQUENCE, OUTPUTS),
    kink("relu at ties", jax.nn.relu, torch.relu, ""),
    kink("abs at ties", jnp.abs, torch.abs, ABS),
    kink("maximum at ties", lambda w: jnp.maximum(w, 0), torch.relu, MAXIMUM),
    kink("clip at its bounds", lambda w: jnp.clip(w, 0, 1), lambda w: w.clamp(0, 1), CLIP),
    kink("leaky_relu at ties", jax.nn.leaky_relu, torch.nn.functional.leaky_relu, LEAKY),
)
