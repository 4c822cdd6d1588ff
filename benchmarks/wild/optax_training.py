"""Optax: models before and after training by ``optax.adam``, and its losses."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import crossgrad

from .by_hand import tanh_gelu
from .scenario import Judged, Scenario, checked, compared, data

STEPS = 200
RATE = 0.05
INPUTS = data(64, 8)
TARGETS = 1 / (1 + np.exp(-INPUTS @ data(8, 3, seed=2)))
WIDTHS = ((6, 8), (3, 6))

START = [(data(*shape, seed=n) / 2, data(shape[0], seed=n + 9) / 2) for n, shape in enumerate(WIDTHS)]


def sigmoid_loss(params: Any, x: Any, y: Any) -> Any:
    for W, b in params:
        x = jax.nn.sigmoid(x @ W.T + b)
    return jnp.mean(optax.squared_error(x, y))


def gelu_loss(params: Any, x: Any, y: Any) -> Any:
    (V, c), (W, b) = params
    hidden = jax.nn.gelu(x @ V.T + c)
    return optax.softmax_cross_entropy(hidden @ W.T + b, y / y.sum(-1, keepdims=True)).mean()


def torch_gelu_loss(params: Any, x: Any, y: Any) -> Any:
    (V, c), (W, b) = params
    logits = tanh_gelu(x @ V.T + c) @ W.T + b
    return -(y / y.sum(-1, keepdim=True) * torch.log_softmax(logits, -1)).sum(-1).mean()


@cache
def trained(loss: Callable[..., Any]) -> Any:
    """`START` after `STEPS` steps of Adam in float64, on the whole batch."""
    with jax.enable_x64(True):
        rule, params = optax.adam(RATE), jax.tree.map(jnp.asarray, START)
        state, first = rule.init(params), float(loss(params, INPUTS, TARGETS))

        @jax.jit
        def step(params: Any, state: Any) -> Any:
            updates, state = rule.update(jax.grad(loss)(params, INPUTS, TARGETS), state)
            return optax.apply_updates(params, updates), state

        for _ in range(STEPS):
            params, state = step(params, state)
        if not float(loss(params, INPUTS, TARGETS)) < first:
            raise RuntimeError("training made the loss no smaller: nothing would be compared after it")
        return jax.tree.map(np.asarray, params)


def mlp(params: Any) -> Callable[[str], Judged]:
    return checked("8-6-3", params, (INPUTS, TARGETS), jax.value_and_grad(sigmoid_loss), "jax")


def beside(loss: Any, by_hand: Any, *args: Any) -> Callable[[str], Judged]:
    theirs = crossgrad.loss(loss, "jax", "optax")
    return compared(theirs, crossgrad.loss(by_hand, "torch", "by hand"), args=args)


def gelu(params: Any) -> Callable[[str], Judged]:
    return beside(gelu_loss, torch_gelu_loss, params, INPUTS, TARGETS)


def connectionist(logits: Any, labels: Any) -> Any:
    """CTC of sequences without padding, the blank first."""
    none = jnp.zeros
    return optax.ctc_loss(logits, none(logits.shape[:2]), labels, none(labels.shape)).mean()


def torch_connectionist(logits: Any, labels: Any) -> Any:
    lengths = [torch.full((len(logits),), part.shape[1]) for part in (logits, labels)]
    found = torch.nn.functional.ctc_loss(
        torch.log_softmax(logits, -1).transpose(0, 1), labels, *lengths, reduction="none"
    )
    return found.mean()


def huber(w: Any, y: Any) -> Any:
    return optax.huber_loss(w, y).mean()


def half(w: Any, y: Any) -> Any:
    return optax.l2_loss(w, y).mean()


HALF = "optax.l2_loss is half the squared error, torch.nn.MSELoss the whole"
PAIR = data(6, 3), data(6, 3, seed=2)
LABELS = np.array([[1, 2, 2], [3, 1, 3]])

SCENARIOS = (
    Scenario("optax", "sigmoid MLP before training", mlp(START)),
    Scenario("optax", "sigmoid MLP after adam", lambda dtype: mlp(trained(sigmoid_loss))(dtype)),
    Scenario("optax", "gelu, softmax before training", gelu(START)),
    Scenario("optax", "gelu, softmax after adam", lambda dtype: gelu(trained(gelu_loss))(dtype)),
    Scenario("optax", "huber_loss", beside(huber, torch.nn.functional.huber_loss, *PAIR)),
    Scenario("optax", "ctc_loss", beside(connectionist, torch_connectionist, data(2, 8, 4), LABELS)),
    Scenario("optax", "l2_loss", beside(half, torch.nn.functional.mse_loss, *PAIR), HALF),
)
