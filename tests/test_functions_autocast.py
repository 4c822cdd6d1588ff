"""PyTorch's autocast, which lowers float32 and leaves float64 alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")


def under(dtype: Any, share: float = 1.0) -> Callable[..., Any]:
    """A product under autocast; of the gradient of what is squared only a share is kept."""

    def function(w: Any, x: Any) -> Any:
        with torch.autocast("cpu", dtype):
            z = (x @ w).float()
            return ((share * z + (1 - share) * z.detach()) ** 2).sum()

    return function


def explicit(w: Any, x: Any) -> Any:
    return ((x.bfloat16() @ w.bfloat16()).float() ** 2).sum()


def plain(w: Any, x: Any) -> Any:
    return ((x @ w) ** 2).sum()


class Product(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Any) -> Any:
        x, w = ctx.saved_tensors
        grad = grad.to(x.dtype)
        return grad @ w.T, x.T @ grad


def custom(w: Any, x: Any) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return (Product.apply(x, w).float() ** 2).sum()


def by_hand(factor: float) -> Callable[..., Any]:
    def function(w: Any, x: Any) -> Any:
        z = x @ w
        return (z**2).sum(), np.float32(factor) * (x.T @ z)

    return function


def compared(*functions: Any) -> Any:
    rng = np.random.default_rng(0)
    args = rng.normal(size=(16, 4)), rng.normal(size=(8, 16))
    return crossgrad.compare_gradients(*functions, args=args, dtype="float32")


def loss(function: Any, name: str) -> Any:
    return crossgrad.loss(function, "torch", name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_same_twice_agrees(dtype: Any) -> None:
    """They are further from themselves in float64 than rounding to float32 takes them."""
    report = compared(loss(under(dtype), "one"), loss(under(dtype), "same again"))
    assert report.verdict == "agree", str(report)
    (note,) = [note for note in report.notes if "one runs" in note]
    assert f"noise is that of {str(dtype).removeprefix('torch.')}" in note


RIGHT = {"explicit": explicit, "custom": custom, "plain": plain, "more": under(torch.float16)}


@pytest.mark.parametrize("names", [("explicit",), ("custom",), ("plain",), tuple(RIGHT)])
def test_right_ones_beside_it_agree(names: tuple[str, ...]) -> None:
    mine = loss(under(torch.bfloat16), "mine")
    report = compared(mine, *(loss(RIGHT[name], name) for name in names))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_one_that_rounds_explicitly_makes_it_not_wrong_by_majority() -> None:
    """What rounds to bfloat16 in float64 too has next to no noise, and is two of three."""
    report = compared(loss(under(torch.bfloat16), "mine"), loss(explicit, "one"), loss(explicit, "other"))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


@pytest.mark.parametrize(
    "wrong",
    [
        crossgrad.gradient(by_hand(1.0), "numpy", "wrong"),
        crossgrad.gradient(by_hand(4.0), "numpy", "wrong"),
        loss(under(torch.bfloat16, share=0.5), "wrong"),
    ],
    ids=["half", "twice", "stopped"],
)
@pytest.mark.parametrize("right", [under(torch.bfloat16), plain], ids=["autocast", "plain"])
def test_a_wrong_one_is_blamed(wrong: Any, right: Any) -> None:
    report = compared(loss(right, "right"), wrong)
    assert (report.verdict, [b.function for b in report.blames]) == ("disagree", ["wrong"]), str(report)


def test_a_fault_within_its_noise_is_undecidable() -> None:
    """By 0.5 percent; the runs in float64 tell that there is one."""
    report = compared(loss(under(torch.bfloat16), "mine"), crossgrad.gradient(by_hand(2.01), "numpy"))
    assert report.verdict == "undecidable"
    reasons = [c.judgement.reason for c in report.comparisons if c.verdict == "undecidable"]
    assert reasons
    assert all("within the noise of bfloat16" in reason for reason in reasons)


def test_a_coarser_dtype_of_the_arguments_is_what_counts() -> None:
    args = np.ones((3, 2)), np.ones((2, 3))
    both = [loss(under(torch.float16), "one"), loss(under(torch.float16), "other")]
    report = crossgrad.compare_gradients(*both, args=args, dtype="bfloat16")
    assert not [note for note in report.notes if "noise is that of" in note]
