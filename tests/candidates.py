"""What the tests of users' functions share: the right answer in each framework, spoilt and run."""

from collections.abc import Callable
from typing import Any

import crossgrad
from crossgrad.candidates import CandidateFunction
from crossgrad.run import Run, run_candidate

from .conftest import load_or_skip, make_case

NETWORK = "4-3-2"

NUMPY_STEP = """
import numpy as np

def gradients(params, x, y):
    a = [x]
    for W, b in params:
        a.append((1 / (1 + np.exp(-(a[-1] @ W.T + b)))).astype(x.dtype))
    residual = a[-1] - y
    da = residual * np.asarray(2 / y.size, x.dtype)
    grads = []
    for n, (W, b) in reversed(list(enumerate(params))):
        dz = da * a[n + 1] * (1 - a[n + 1])
        grads.insert(0, (dz.T @ a[n], dz.sum(axis=0)))
        da = dz @ W
    return np.mean(residual.astype(np.float64) ** 2), grads
"""

TORCH_STEP = """
import torch
from torch.nn.functional import linear, mse_loss

def gradients(params, x, y):
    a = x
    for W, b in params:
        a = torch.sigmoid(linear(a, W, b))
    loss = mse_loss(a, y)
    loss.backward()
    return loss, [(W.grad, b.grad) for W, b in params]
"""

JAX_STEP = """
import jax
import jax.numpy as jnp

def loss(params, x, y):
    a = x
    for W, b in params:
        a = jax.nn.sigmoid(a @ W.T + b)
    return jnp.mean((a - y) ** 2)

@jax.jit
def gradients(params, x, y):
    return jax.value_and_grad(loss)(params, x, y)
"""

STEPS = {"numpy": NUMPY_STEP, "torch": TORCH_STEP, "jax": JAX_STEP}


def function_of(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    found: Callable[..., Any] = names["gradients"]
    return found


def right(backend: str) -> Callable[..., Any]:
    load_or_skip(backend)
    return function_of(STEPS[backend])


def changed(backend: str, expression: str) -> Callable[..., Any]:
    """The right answer with each layer's gradient made into `expression`, outside of any graph."""
    step = right(backend)
    change = eval(f"lambda dW, db: ({expression})")

    def candidate(params: Any, x: Any, y: Any) -> Any:
        loss, grads = step(params, x, y)
        return loss, [change(dW, db) for dW, db in grads]

    return candidate


def check(backend: str, function: Callable[..., Any], dtype: str = "float32") -> crossgrad.Report:
    return crossgrad.check(
        NETWORK,
        backends=["numpy"],
        dtypes=[dtype],
        batch_size=6,
        candidates={"mine": function},
        candidate_backend=backend,
    )


def run_on(backend: str, function: Callable[..., Any], dtype: str = "float32") -> Run:
    load_or_skip(backend)
    case = make_case(NETWORK, dtype, batch_size=6)
    return run_candidate(case, "mine", CandidateFunction(function, backend))


def import_torch() -> Any:
    load_or_skip("torch")
    import torch

    return torch
