"""Optax: models before and after training by ``optax.adam``, and its losses."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import crossgrad

from .by_hand import tanh_gelu
from .scenario import Scenario, checked, compared, data

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


def mlp(model: str, params: Any) -> Scenario:
    gradients = jax.value_and_grad(sigmoid_loss)
    return Scenario("optax", model, checked("8-6-3", params, (INPUTS, TARGETS), gradients, "jax"))


def scenario(model: str, loss: Any, by_hand: Any, *args: Any, differs: str = "") -> Scenario:
    theirs = crossgrad.loss(loss, "jax", "optax")
    ours = crossgrad.loss(by_hand, "torch", "by hand")
    return Scenario("optax", model, compared(theirs, ours, args=args), differs)


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


def half(w: Any, y: Any) -> Any:
    return optax.l2_loss(w, y).mean()


HALF = "optax.l2_loss is half the squared error, torch.nn.MSELoss the whole"
LABELS = np.array([[1, 2, 2], [3, 1, 3]])

SCENARIOS = (
    mlp("sigmoid MLP before training", START),
    mlp("sigmoid MLP after adam", trained(sigmoid_loss)),
    scenario("gelu, softmax before training", gelu_loss, torch_gelu_loss, START, INPUTS, TARGETS),
    scenario("gelu, softmax after adam", gelu_loss, torch_gelu_loss, trained(gelu_loss), INPUTS, TARGETS),
    scenario(
        "huber_loss",
        lambda w, y: optax.huber_loss(w, y).mean(),
        torch.nn.functional.huber_loss,
        data(6, 3),
        data(6, 3, seed=2),
    ),
    scenario("ctc_loss", connectionist, torch_connectionist, data(2, 8, 4), LABELS),
    scenario("l2_loss", half, torch.nn.functional.mse_loss, data(6, 3), data(6, 3, seed=2), differs=HALF),
)
