"""Mixed precision: products in bfloat16 of float32 arguments, cast there and back by the code."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

DRAW = np.random.default_rng(0)
LAYERS, X = [DRAW.normal(size=(5, 5)) for _ in range(2)], DRAW.normal(size=(4, 5))


def of_torch(layers: Any, x: Any) -> Any:
    for W in layers:
        x = torch.tanh((x.bfloat16() @ W.bfloat16()).to(W.dtype))
    return (x**2).mean()


def of_jax(layers: Any, x: Any, factor: float = 1.0) -> Any:
    for W in layers:
        x = jax.numpy.tanh((x.astype("bfloat16") @ W.astype("bfloat16")).astype(W.dtype))
    return factor * (x**2).mean()


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_casts_that_xla_leaves_out_by_default_are_done(factor: float) -> None:
    report = crossgrad.compare_gradients(
        crossgrad.loss(of_torch, "torch", "torch"),
        crossgrad.loss(lambda layers, x: of_jax(layers, x, factor), "jax", "jax"),
        args=(LAYERS, X),
        dtype="float32",
    )
    assert (report.ok, report.blames) == (factor == 1, ()), str(report)
