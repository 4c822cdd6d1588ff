"""What the noise of a narrow dtype hides, and float64 shows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
ARGS = (RNG.normal(size=(16, 12)) / 4, RNG.normal(size=(24, 16)))


def plain(w: Any, x: Any) -> Any:
    return (torch.nn.functional.silu(x @ w) ** 2).mean()


def rounded(dtype: Any) -> Callable[..., Any]:
    """Of which a part is in a narrower dtype whatever it is given."""
    return lambda w, x: plain(w.to(dtype).to(w.dtype), x)


def steeper(factor: float, f: Callable[..., Any] = plain) -> crossgrad.Function:
    """A gradient that is a constant factor off."""

    def gradient(w: Any, x: Any) -> Any:
        loss = f(w, x)
        return loss, torch.autograd.grad(factor * loss, w)[0]

    return crossgrad.gradient(gradient, "torch", "steeper")


def compared(other: crossgrad.Function, dtype: str) -> crossgrad.FunctionReport:
    return crossgrad.compare_gradients(crossgrad.loss(plain, "torch", "plain"), other, args=ARGS, dtype=dtype)


@pytest.mark.parametrize(("dtype", "factor"), [("bfloat16", 1.03), ("float16", 1.004)])
def test_a_bias_below_the_noise_is_told(dtype: str, factor: float) -> None:
    report = compared(steeper(factor), dtype)
    assert (report.verdict, report.blames) == ("undecidable", ()), str(report)
    told = {c.quantity: c.judgement for c in report.comparisons if c.verdict == "undecidable"}
    assert list(told) == ["args[0]"]
    assert told["args[0]"].decidable_in == "float64"
    share = f"{100 * (1 - 1 / factor):.2g}"
    assert f"within the noise of {dtype}, but differ by {share} % in float64" in str(report)
    with pytest.raises(crossgrad.GradientsDisagree, match="give a wider dtype"):
        report.raise_if_disagree()
    assert compared(steeper(factor), "float64").verdict == "disagree"


def test_a_part_in_float32_does_not_excuse_it() -> None:
    assert compared(steeper(1.03, rounded(torch.float32)), "bfloat16").verdict == "undecidable"


class NarrowBackward(torch.autograd.Function):
    """Whose backward pass is in bfloat16 whatever it is given."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient.to(torch.bfloat16).to(gradient.dtype)


RIGHT = {
    "as it is": plain,
    "rounds to bfloat16": rounded(torch.bfloat16),
    "goes back in bfloat16": lambda w, x: plain(NarrowBackward.apply(w), x),
    "computes in float32": rounded(torch.float32),
    "a constant in float32": lambda w, x: plain(w * torch.tensor(0.1) * 10, x),
    "an eps of the dtype": lambda w, x: plain(w, x) / (1 + torch.finfo(w.dtype).eps / 8),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_in_the_dtype_still_agrees(name: str) -> None:
    report = compared(crossgrad.loss(RIGHT[name], "torch", "other"), "bfloat16")
    assert report.verdict == "agree", str(report)


def test_losses_too_near_to_each_other_for_the_dtype_are_told_with_whose_gradients_these_are() -> None:
    """Penalties on top of a constant: the gradients differ, and each is its own loss's."""

    def on_a_hill(power: int) -> Callable[..., Any]:
        return lambda w: 100 + (w.abs() ** power).sum()

    pair = [crossgrad.loss(on_a_hill(n), "torch", name) for n, name in ((2, "squares"), (3, "cubes"))]
    args = (np.array([0.25, -0.5, 0.75]),)
    (remark,) = crossgrad.compare_gradients(*pair, args=args, dtype="bfloat16").remarks
    assert "each gradient is the slope of its own loss" in remark
    assert "differ in float64 (100.875 and 100.562), by less than bfloat16 shows" in remark
    (remark,) = crossgrad.compare_gradients(*pair, args=args, dtype="float64").remarks
    assert "they compute different losses (100.875 and 100.562)" in remark


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_what_is_zero_is_said_to_be_perhaps(dtype: str) -> None:
    """A bias before a normalization shifts nothing; its gradient is made of rounding errors."""

    def normalized(p: Any, x: Any) -> Any:
        z = x @ p["w"] + p["b"]
        return ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()).pow(3).mean()

    def by_torch(p: Any, x: Any) -> Any:
        z = torch.nn.functional.linear(x, p["w"].T, p["b"])
        return torch.nn.functional.batch_norm(z, None, None, training=True).pow(3).mean()

    params = {"w": ARGS[0], "b": RNG.normal(size=12)}
    both = crossgrad.loss(normalized, "torch"), crossgrad.loss(by_torch, "torch")
    report = crossgrad.compare_gradients(*both, args=(params, ARGS[1]), dtype=dtype)
    told = {c.quantity: c.judgement.reason for c in report.comparisons if c.verdict == "undecidable"}
    assert "b" in told
    assert "perhaps it is zero" in str(told["b"])
    assert "w" not in told
