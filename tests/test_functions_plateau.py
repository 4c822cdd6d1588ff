"""Losses that stand still: constant ones have a slope of zero, those that move in steps have none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.plateau import unseen_on_plateau

torch = pytest.importorskip("torch")


def blamed(report: Any) -> list[str]:
    return [blame.function for blame in report.blames]


def hinge(x: Any) -> Any:
    return torch.relu(1 - x).sum()


def without_mask(x: Any) -> Any:
    return np.maximum(1 - x, 0).sum(), -np.ones_like(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mask_of_a_hinge_whose_margins_are_met(dtype: str) -> None:
    right, wrong = crossgrad.loss(hinge, "torch", "right"), crossgrad.gradient(without_mask, "numpy", "wrong")
    x = 5 + 0.3 * np.random.default_rng(0).normal(size=4)
    report = crossgrad.compare_gradients(right, wrong, args=(x,), dtype=dtype)
    assert (report.verdict, blamed(report)) == ("disagree", ["wrong"]), str(report)


def test_a_gradient_too_small_to_be_told_from_zero_makes_no_steps() -> None:
    """It shows at weights that are a fraction, where margins are not met."""

    def tiny(x: Any) -> Any:
        return np.maximum(1 - x, 0).sum(), np.full_like(x, -1e-12)

    both = crossgrad.loss(hinge, "torch", "right"), crossgrad.gradient(tiny, "numpy", "wrong")
    report = crossgrad.compare_gradients(*both, args=(5 + np.linspace(0, 1, 4),))
    assert (report.verdict, blamed(report)) == ("disagree", ["wrong"]), str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [45.0, 200.0])
def test_the_softmax_of_a_confident_cross_entropy(margin: float, dtype: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(4) % 3
    z = margin * np.eye(3)[labels] + 0.1 * rng.normal(size=(4, 3))

    def right(z: Any) -> Any:
        return torch.nn.functional.cross_entropy(z, torch.tensor(labels))

    def wrong(z: Any) -> Any:
        onehot = np.eye(3, dtype=z.dtype)[labels]
        m = z - z.max(1, keepdims=True)
        each = np.log(np.exp(m).sum(1)) - (m * onehot).sum(1)
        return each.mean(), -onehot / z.dtype.type(len(z))

    both = crossgrad.loss(right, "torch", "right"), crossgrad.gradient(wrong, "numpy", "wrong")
    report = crossgrad.compare_gradients(*both, args=(z,), dtype=dtype)
    assert (report.verdict, blamed(report)) == ("disagree", ["wrong"]), str(report)


class Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, rounded: Callable[[Any], Any]) -> Any:
        return rounded(x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, None


ROUNDED: dict[str, Callable[[Any], Any]] = {
    "round": torch.round,
    "floor": torch.floor,
    "sign": torch.sign,
    "eighths": lambda x: torch.round(8 * x) / 8,
    "ternary": lambda x: torch.sign(x) * (x.abs() > 0.5),
}


@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("rounded", ROUNDED)
def test_straight_through_rounding_is_for_users_to_judge(rounded: str, size: float) -> None:
    """Weights of a tenth are all rounded to zero, and so are those of twice as much."""
    rng = np.random.default_rng(0)
    of, weights = ROUNDED[rounded], rng.normal(size=6)

    def through(x: Any) -> Any:
        return (Through.apply(x, of) * torch.tensor(weights)).sum()

    def derived(x: Any) -> Any:
        return (of(x) * torch.tensor(weights)).sum() + 0 * x.sum()

    both = crossgrad.loss(through, "torch", "through"), crossgrad.loss(derived, "torch", "derived")
    report = crossgrad.compare_gradients(*both, args=(size * rng.normal(size=6),), dtype="float64")
    assert (report.verdict, report.blames) == ("disagree", ()), str(report)
    assert "move in steps" in report.remarks[0]


SATURATED: dict[str, Callable[[Any], Any]] = {
    "written out": lambda x: torch.log(1 + torch.exp(-x)).sum(),
    "by entropy": lambda x: torch.nn.functional.binary_cross_entropy(
        torch.sigmoid(x), torch.ones_like(x), reduction="sum"
    ),
}


@pytest.mark.parametrize("name", SATURATED)
@pytest.mark.parametrize("margin", [37.0, 40.0, 100.0])
def test_one_whose_loss_stands_still_by_rounding_blames_nobody(margin: float, name: str) -> None:
    """log(1 + exp(-z)) is zero around z = 40 as 1 is so large beside it, and not constant."""
    x = margin + np.linspace(0, 0.5, 5)
    right = crossgrad.loss(lambda x: -torch.nn.functional.logsigmoid(x).sum(), "torch", "right")
    report = crossgrad.compare_gradients(right, crossgrad.loss(SATURATED[name], "torch"), args=(x,))
    assert "right" not in blamed(report), str(report)


LOSSES: dict[str, tuple[Callable[[float], float], bool]] = {
    "constant": (lambda h: 3.0, True),
    "a kink": (lambda h: max(0.0, abs(h) - 0.3), True),
    "a curve": (lambda h: max(0.0, h - 0.3) ** 2, True),
    "a kink of what has the digits of float32": (lambda h: float(np.float32(max(0.0, h - 0.3))), True),
    "a jump": (lambda h: float(h > 0.3), False),
    "a jump back": (lambda h: 1.0 + (h < -0.3), False),
    "a small jump, and a slope": (lambda h: float(h > 0.3) * (1e-3 + h - 0.3), False),
    "steps": (lambda h: float(np.round(3 * h)), False),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1.0, 0.1])
def test_plateaus(name: str, size: float) -> None:
    loss, constant = LOSSES[name]
    assert (unseen_on_plateau(loss, size) is not None) == constant
