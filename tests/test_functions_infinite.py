"""NaN and infinity in a gradient: whose they are, where the loss is smooth and where it is not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")

AROUND_ZERO = np.array([0, 1, 2], np.float32)
CONFIDENT = np.array([-20, 3, 5, 0], np.float32)


def sinc(x: Any) -> Any:
    return torch.where(x == 0, 1 - x**2 / 6, torch.sin(x) / x).sum()


def safe_sinc(x: Any) -> Any:
    at = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, 1 - x**2 / 6, torch.sin(at) / at).sum()


def logits(x: Any) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(x, torch.zeros_like(x))


def naive(x: Any) -> Any:
    return -torch.log(1 - torch.sigmoid(x)).mean()


def confident(size: float) -> Any:
    return np.where(CONFIDENT == 0, np.float32(size), CONFIDENT)


TRAPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "where": (sinc, safe_sinc, AROUND_ZERO),
    "root-of-square": (lambda x: (torch.sqrt(x**2) ** 2).sum(), lambda x: (x**2).sum(), AROUND_ZERO),
    "cancelled": (naive, logits, confident(17)),
    "cancelled-and-reruns-too": (naive, logits, confident(20)),
    "cancelled-in-float64-too": (naive, logits, confident(40)),
}
"""The wrong function, the right one, and where."""


@pytest.mark.parametrize(("wrong", "right", "x"), TRAPS.values(), ids=TRAPS)
def test_what_is_not_finite_where_the_loss_is_smooth_is_wrong(wrong: Any, right: Any, x: Any) -> None:
    report = crossgrad.compare_gradients(
        crossgrad.loss(right, "torch", "right"), crossgrad.loss(wrong, "torch", "wrong"), args=(x,)
    )
    assert [blame.function for blame in report.blames] == ["wrong"]


def norm_by_hand(x: Any) -> Any:
    size = np.sqrt((x**2).sum())
    with np.errstate(all="ignore"):
        return size, x / size


def test_at_a_kink_nobody_is_wrong_for_it() -> None:
    """The norm has no slope at 0: PyTorch gives 0 there, the formula NaN."""
    report = crossgrad.compare_gradients(
        crossgrad.loss(torch.linalg.norm, "torch"),
        crossgrad.gradient(norm_by_hand, "numpy"),
        args=(np.zeros(3, np.float32),),
    )
    assert (report.ok, report.blames) == (False, ())


def half(x: Any) -> Any:
    """A module in float32, which a rerun in float64 cannot enter, with a wrong backward before it."""

    class Half(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return gradients[0] * 0.5

    weight = torch.arange(1.0, 4.0)
    return ((Half.apply(x) @ weight) ** 2).sum()


def test_an_infinite_slope_is_right_of_another_loss() -> None:
    def with_root(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return (x**2).sum() + np.sqrt(x).sum(), 2 * x + x.dtype.type(0.5) / np.sqrt(x)

    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x: (x**2).sum(), "torch"),
        crossgrad.gradient(with_root, "numpy"),
        args=(AROUND_ZERO,),
    )
    assert (report.ok, report.blames) == (False, ())


@pytest.mark.parametrize("with_loss", [True, False], ids=["loss", "gradient-alone"])
def test_whose_loss_could_not_be_followed_is_told(with_loss: bool) -> None:
    def by_hand(x: Any) -> Any:
        weight = np.arange(1.0, 4.0).astype(x.dtype)
        return ((x @ weight) ** 2).sum(), 2 * (x @ weight) * weight

    def wrong(x: Any) -> Any:
        dx = (np.float32(1.5) * by_hand(x)[1]).astype(np.float32)
        return (by_hand(x)[0], dx) if with_loss else dx

    for function in (crossgrad.gradient(wrong, "numpy", "wrong"), crossgrad.loss(half, "torch", "wrong")):
        report = crossgrad.compare_gradients(
            crossgrad.gradient(by_hand, "numpy", "right"), function, args=(np.ones(3, np.float32),)
        )
        if function.kind == "gradient" and not with_loss:
            assert [blame.function for blame in report.blames] == ["wrong"]
        else:
            assert report.blames == ()
            assert "the loss of wrong could not be followed in float64" in report.remarks[0]
