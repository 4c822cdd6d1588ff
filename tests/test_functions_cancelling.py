"""Sums of many terms that cancel, as those of centred data: their noise is that of the terms, and no more."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

SAMPLES, INPUTS = 96, 5
OFF = 1e-4
"""By which a wrong gradient is off: a hundred times the noise in float32, or more."""


def centred(seed: int) -> tuple[Any, ...]:
    """Data that were centred before: the mean of them is a sum that cancels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(SAMPLES, INPUTS))
    return {"w": rng.normal(size=INPUTS), "b": rng.normal(size=INPUTS)}, x - x.mean(axis=0)


def by_torch(p: Any, x: Any) -> Any:
    return (((x - x.mean(0)) * p["w"] + p["b"]) ** 2).mean()


def by_jax(p: Any, x: Any) -> Any:
    return (((x - x.mean(0)) * p["w"] + p["b"]) ** 2).mean()


def by_hand(off: float) -> Any:
    def gradients(p: Any, x: Any) -> Any:
        c = x - x.mean(axis=0)
        e = c * p["w"] + p["b"]
        de = 2 * e / e.dtype.type(e.size)
        return (e**2).mean(), {"w": (de * c).sum(axis=0) * e.dtype.type(1 + off), "b": de.sum(axis=0)}

    return crossgrad.gradient(gradients, "numpy", "by hand")


def stretched(off: float, framework: str) -> Any:
    """The loss itself, and a gradient that is larger."""
    if framework == "torch":

        class Stretched(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, w: Any) -> Any:
                return w.clone()

            @staticmethod
            def backward(ctx: Any, dw: Any) -> Any:
                return dw * (1 + off)

        return crossgrad.loss(
            lambda p, x: by_torch(p | {"w": Stretched.apply(p["w"])}, x), "torch", "stretched"
        )
    same = jax.custom_vjp(lambda w: w)
    same.defvjp(lambda w: (w, None), lambda _, dw: (dw * (1 + off),))
    return crossgrad.loss(lambda p, x: by_jax(p | {"w": same(p["w"])}, x), "jax", "stretched")


RIGHT = {
    "torch": crossgrad.loss(by_torch, "torch"),
    "jax": crossgrad.loss(by_jax, "jax"),
    "numpy": by_hand(0.0),
}
WRONG = {"numpy": by_hand(OFF), "torch": stretched(OFF, "torch"), "jax": stretched(OFF, "jax")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("right", ["torch", "jax"])
def test_a_fault_behind_a_mean_of_centred_data_is_found(right: str, wrong: str, dtype: str) -> None:
    report = crossgrad.compare_gradients(RIGHT[right], WRONG[wrong], args=centred(0), dtype=dtype)
    assert report.verdict == "disagree"
    assert [(blame.function, blame.quantities) for blame in report.blames] == [(WRONG[wrong].name, ("w",))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(4))
def test_right_functions_of_centred_data_agree(seed: int, dtype: str) -> None:
    report = crossgrad.compare_gradients(*RIGHT.values(), args=centred(seed), dtype=dtype)
    assert report.verdict == "agree"


def normalised(x: Any, sqrt: Any, eps: float = 1e-5) -> Any:
    centre = x - x.mean(-1)[..., None]
    return centre / sqrt((centre**2).mean(-1)[..., None] + eps)


def two_norms(sqrt: Any, eps: float = 1e-5) -> Any:
    """A LayerNorm right behind another, in a transformer with fresh weights: what it centres is centred."""
    return lambda p, x: ((normalised(normalised(x, sqrt, eps), sqrt, eps) @ p["w"]) ** 2).mean()


@pytest.mark.parametrize("eps", [1e-6, 1e-3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_eps_behind_another_normalisation_is_found(eps: float, dtype: str) -> None:
    rng = np.random.default_rng(0)
    args = {"w": rng.normal(size=(128, 3))}, rng.normal(size=(4, 128))
    theirs, ours = crossgrad.loss(two_norms(torch.sqrt), "torch"), crossgrad.loss(two_norms(jnp.sqrt), "jax")
    assert crossgrad.compare_gradients(theirs, ours, args=args, dtype=dtype).verdict == "agree"
    other = crossgrad.loss(two_norms(jnp.sqrt, eps), "jax", "another eps")
    report = crossgrad.compare_gradients(theirs, other, args=args, dtype=dtype)
    assert report.verdict == "disagree"
    assert not report.blames
