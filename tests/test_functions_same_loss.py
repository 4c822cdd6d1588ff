"""A function without a float64 reference is held to another's loss only where that is its own."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

MEL = np.random.default_rng(1).random((20, 16)).astype(np.float32)
TENSOR = torch.from_numpy(MEL)
"""A float32 buffer, with which PyTorch refuses float64."""


def args(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    p = {"g": rng.normal(size=16), "w": rng.normal(size=(16, 5))}
    return {k: v.astype(np.float32) for k, v in p.items()}, rng.normal(size=(6, 20)).astype(np.float32)


class Stretched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, dx: Any) -> Any:
        return dx * torch.linspace(0.9, 1.1, dx.shape[-1])


def original(stretched: bool = False) -> Any:
    def loss(p: Any, x: Any) -> Any:
        h = torch.nn.functional.layer_norm(x @ TENSOR, (16,), p["g"])
        h = Stretched.apply(h) if stretched else h
        return (torch.tanh(h @ p["w"]) ** 2).mean()

    return crossgrad.loss(loss, "torch", "original")


def port(eps: float) -> Any:
    def loss(p: Any, x: Any) -> Any:
        h = x @ jnp.asarray(MEL, x.dtype)
        centre = h - h.mean(-1, keepdims=True)
        h = centre / jnp.sqrt((centre**2).mean(-1, keepdims=True) + eps) * p["g"]
        return (jnp.tanh(h @ p["w"]) ** 2).mean()

    return crossgrad.loss(loss, "jax", "port")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eps", [1e-6, 1e-4, 1e-3])
def test_the_right_one_is_not_blamed_for_the_ports_loss(eps: float, seed: int) -> None:
    report = crossgrad.compare_gradients(original(), port(eps), args=args(seed))
    assert not report.blames
    if eps == 1e-3:
        assert report.verdict == "disagree"


def test_a_wrong_gradient_of_the_same_loss_is_still_blamed() -> None:
    report = crossgrad.compare_gradients(original(stretched=True), port(1e-5), args=args(0))
    (blame,) = report.blames
    assert blame.function == "original"
    assert "its loss is that of port" in blame.evidence


@pytest.mark.parametrize("seed", range(4))
def test_straight_through_rounding_before_a_smooth_layer_is_for_users_to_judge(seed: int) -> None:
    """The loss moves smoothly with the layer behind the rounding, and in steps with the one before."""
    rng = np.random.default_rng(seed)
    p = {"w": rng.normal(size=(6, 8)).astype("f4"), "v": rng.normal(size=(8, 3)).astype("f4")}
    x = rng.normal(size=(10, 6)).astype("f4")

    def straight(p: Any, x: Any) -> Any:
        h = x @ p["w"]
        return (((h + (torch.round(h) - h).detach()) @ p["v"]) ** 2).mean()

    report = crossgrad.compare_gradients(
        crossgrad.loss(straight, "torch", "straight"),
        crossgrad.loss(lambda p, x: ((jnp.round(x @ p["w"]) @ p["v"]) ** 2).mean(), "jax", "plain"),
        args=(p, x),
    )
    assert (report.verdict, report.blames) == ("disagree", ())
    assert "the losses are equal and move in steps" in str(report)
