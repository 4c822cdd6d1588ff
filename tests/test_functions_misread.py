"""Ports that read a leaf in another way: what would make their losses one is found by trying."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")

HIDDEN = 6


def drawn() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    shapes = {"w": (5, 4 * HIDDEN), "u": (HIDDEN, 4 * HIDDEN), "b": (4 * HIDDEN,), "v": (HIDDEN, HIDDEN)}
    p = {name: rng.normal(size=shape).astype(np.float32) / 2 for name, shape in shapes.items()}
    p["k"] = rng.normal(size=(2, 3, 3, 3)).astype(np.float32)
    return p, rng.normal(size=(4, 3, 5)).astype(np.float32), rng.normal(size=(2, 3, 7, 7)).astype(np.float32)


def model(order: str = "ifgo", change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Any:
    """A few turns of an LSTM, a square layer, and a convolution."""

    def loss(p: Any, x: Any, images: Any) -> Any:
        p = change(p)
        h = c = x.new_zeros(len(x), HIDDEN)
        for t in range(x.shape[1]):
            parts = dict(zip(order, (x[:, t] @ p["w"] + h @ p["u"] + p["b"]).split(HIDDEN, 1), strict=True))
            i, f, o = (torch.sigmoid(parts[name]) for name in "ifo")
            c = f * c + i * torch.tanh(parts["g"])
            h = o * torch.tanh(c)
        return (h @ p["v"]).square().mean() + torch.tanh(torch.conv2d(images, p["k"])).mean()

    return loss


PORTS = {
    "gates": (model("igfo"), "with w, u and b in the order (0, 2, 1, 3) of 4 blocks"),
    "transposed": (model(change=lambda p: {**p, "v": p["v"].T}), "with v transposed"),
    "axes": (
        model(change=lambda p: {**p, "k": p["k"].transpose(2, 3)}),
        "with k transposed in axes 2 and 3",
    ),
    "flipped": (model(change=lambda p: {**p, "k": p["k"].flip(2, 3)}), "with k flipped along axes 2 and 3"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("port", "said"), PORTS.values(), ids=PORTS)
def test_how_a_port_reads_a_leaf_is_found(port: Any, said: str, dtype: str) -> None:
    ours = crossgrad.loss(model(), "torch", "ours"), crossgrad.loss(port, "torch", "port")
    report = crossgrad.compare_gradients(*ours, args=drawn(), dtype=dtype)
    assert (report.verdict, report.blames) == ("disagree", ())
    assert report.remarks[-1] == f"{said}, the loss of ours is that of port"


def test_it_is_found_of_a_minority_too() -> None:
    port, said = PORTS["transposed"]
    report = crossgrad.compare_gradients(
        crossgrad.loss(model(), "torch", "one"),
        crossgrad.loss(port, "torch", "port"),
        crossgrad.loss(model(), "torch", "other"),
        args=drawn(),
    )
    assert [blame.function for blame in report.blames] == ["port"]
    assert report.remarks[-1] == f"{said}, the loss of port is that of one"


OTHERS = {
    "smaller": lambda p: {**p, "v": p["v"] * 0.99},
    "other-rows": lambda p: {**p, "v": torch.cat([p["v"][1:], p["v"][:1]])},
    "both": lambda p: {**p, "v": p["v"].T, "b": p["b"] * 0.999},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_nothing_is_said_of_other_losses(change: Any) -> None:
    ours = crossgrad.loss(model(), "torch"), crossgrad.loss(model(change=change), "torch", "port")
    report = crossgrad.compare_gradients(*ours, args=drawn())
    assert report.verdict == "disagree"
    assert not any(" the loss of " in remark for remark in report.remarks)


def test_losses_that_meet_at_these_numbers_alone_are_not_one() -> None:
    """By chance, or because one was made for it: at other numbers they part."""
    w, x = np.random.default_rng(0).normal(size=(2, 4, 4))
    met = float((w.T * x).sum() / (w**2).sum())

    def one(w: Any, x: Any) -> Any:
        return (w * x).sum(), x

    def other(w: Any, x: Any) -> Any:
        return met * (w**2).sum(), 2 * met * w

    ours = crossgrad.gradient(one, "numpy", "one"), crossgrad.gradient(other, "numpy", "other")
    report = crossgrad.compare_gradients(*ours, args=(w, x))
    assert report.verdict == "disagree"
    assert not any(" the loss of " in remark for remark in report.remarks)
