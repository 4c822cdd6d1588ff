"""NaN and infinity in a gradient: whose they are, where the loss is smooth and where it is not."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.arbiter import extrapolated

torch = pytest.importorskip("torch")

AROUND_ZERO = np.array([0, 1, 2], np.float32)
WEIGHT = torch.arange(1.0, 4.0)
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

    return ((Half.apply(x) @ WEIGHT) ** 2).sum()


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


def by_hand(x: Any) -> Any:
    weight = np.arange(1.0, 4.0).astype(x.dtype)
    return ((x @ weight) ** 2).sum(), 2 * (x @ weight) * weight


def kernel(x: Any) -> Any:
    """As one in C, that takes float32 alone."""
    loss, dx = by_hand(x.astype(np.float32))
    return loss, np.float32(1.7) * dx


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            crossgrad.loss(half, "torch", "wrong"),
            "its loss is that of right, and where they differ the gradient of right",
        ),
        (
            crossgrad.gradient(kernel, "numpy", "wrong"),
            "its loss is that of right, and where they differ the gradient of right",
        ),
        (crossgrad.gradient(lambda x: kernel(x)[1], "numpy", "wrong"), "it gives no loss"),
    ],
    ids=["loss", "gradient", "gradient-alone"],
)
def test_whose_loss_could_not_be_followed_is_judged_by_the_others(function: Any, said: str) -> None:
    right = crossgrad.gradient(by_hand, "numpy", "right")
    report = crossgrad.compare_gradients(right, function, args=(np.ones(3, np.float32),))
    (blame,) = report.blames
    assert blame.function == "wrong"
    assert said in blame.evidence


def test_nobody_is_wrong_whose_other_loss_could_not_be_followed() -> None:
    other = crossgrad.gradient(lambda x: (2 * kernel(x)[0], kernel(x)[1]), "numpy", "other")
    right = crossgrad.gradient(by_hand, "numpy", "right")
    report = crossgrad.compare_gradients(right, other, args=(np.ones(3, np.float32),))
    assert report.blames == ()
    assert "nobody is called wrong, as they compute different losses (36 and 72)" in report.remarks[0]


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_mask_of_the_least_number(factor: float, dtype: str) -> None:
    """In float64 that is float64's: rounded at random it must not be infinite, times zero it would be NaN."""

    def in_torch(W: Any, x: Any, mask: Any) -> Any:
        scores = x @ W @ x.T + (1 - mask) * torch.finfo(x.dtype).min
        return (torch.softmax(scores, -1) @ x).pow(2).sum()

    def written_out(W: Any, x: Any, mask: Any) -> Any:
        scores = x @ W @ x.T + (1 - mask) * np.finfo(x.dtype).min
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p = p / p.sum(axis=-1, keepdims=True)
        out = p @ x
        dp = 2 * out @ x.T
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        return (out**2).sum(), x.dtype.type(factor) * (x.T @ ds @ x)

    draw = np.random.default_rng(0)
    args = 0.2 * draw.normal(size=(8, 8)), draw.normal(size=(6, 8)), np.tril(np.ones((6, 6)))
    functions = crossgrad.loss(in_torch, "torch", "torch"), crossgrad.gradient(written_out, "numpy", "numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = crossgrad.compare_gradients(*functions, args=args, dtype=dtype)
    assert report.verdict == ("agree" if factor == 1 else "disagree"), str(report)
    assert [blame.function for blame in report.blames] == ["numpy"] * (factor != 1)


def test_losses_that_are_infinite_at_every_other_step_have_no_slope() -> None:
    steps = [16.0**-n for n in range(6)]
    losses = [(np.inf if n % 2 else h, -h) for n, h in enumerate(steps)]
    with np.errstate(invalid="ignore"):
        assert extrapolated(steps, losses, 0.0) is None
