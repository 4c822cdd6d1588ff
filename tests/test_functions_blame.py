"""Who is wrong of two: where the direction of their difference does not tell, a closer look does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.trials import MUTANT, try_functions
from crossgrad.mutants import MUTANTS

pytest.importorskip("torch")

SLOPE, STEPS = "not the slope of its own loss", "moves in steps"


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def hand_written(
    params: Any, x: Any, y: Any, forward: Callable[[Any], Any] = lambda x: x, store: Any = None
) -> Any:
    """A sigmoid layer and a mean squared error; what the forward pass makes of x is not in the gradient."""
    W, b = params
    z = forward(x) @ W.T + b
    a = (1 / (1 + np.exp(-z))).astype(store or z.dtype).astype(z.dtype)
    dz = 2 * (a - y) / y.size * a * (1 - a)
    return np.mean((a - y) ** 2), (dz.T @ x, dz.sum(axis=0))


def in_torch(params: Any, x: Any, y: Any) -> Any:
    import torch

    W, b = params
    return torch.mean((torch.sigmoid(x @ W.T + b) - y) ** 2)


def compared(function: Callable[..., Any], *args: Any) -> Any:
    return crossgrad.compare_gradients(
        crossgrad.gradient(function, "numpy", name="mine"), crossgrad.loss(in_torch, "torch"), args=args
    )


def arguments(scale: float = 1.0, dtype: str = "float64") -> tuple[Any, Any, Any]:
    W, b, x, y = scale * drawn(4, 6), drawn(4, seed=1), drawn(5, 6, seed=2), drawn(5, 4, seed=3)
    return (W.astype(dtype), b.astype(dtype)), x.astype(dtype), y.astype(dtype)


def without_last_input(x: Any) -> Any:
    left_out = x.copy()
    left_out[:, -1] = 0
    return left_out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_input_that_only_the_gradient_knows_is_found(dtype: str) -> None:
    """The loss is wrong nearly as the gradient is: along their difference both are slopes of their own."""
    report = compared(lambda *args: hand_written(*args, forward=without_last_input), *arguments(dtype=dtype))
    (blame,) = report.blames
    assert (blame.function, SLOPE in blame.evidence) == ("mine", True)


@pytest.mark.parametrize("with_loss", [True, False], ids=["with-loss", "without-loss"])
def test_a_fault_in_a_saturated_layer_is_found_where_it_is_not_saturated(with_loss: bool) -> None:
    """Gradients of 1e-40 beside a loss of 1: no difference of losses there shows who is wrong."""

    def doubled(params: Any, x: Any, y: Any) -> Any:
        loss, (dW, db) = hand_written(params, x, y)
        return (loss, (2 * dW, db)) if with_loss else (2 * dW, db)

    (_, b), x, y = arguments()
    W = np.full((4, 6), -20.0)
    report = compared(doubled, (W, b), np.abs(x), y)
    assert [blame.function for blame in report.blames] == ["mine"]


@pytest.mark.parametrize("store", ["float32", "float16"])
def test_a_loss_that_moves_in_steps_is_found(store: str) -> None:
    report = compared(lambda *args: hand_written(*args, store=store), *arguments())
    (blame,) = report.blames
    assert (blame.function, STEPS in blame.evidence) == ("mine", True)


def test_a_rough_function_is_not_blamed_for_another_loss() -> None:
    """The sum in place of the mean is no matter of steps: nobody knows who is right."""

    def summed(params: Any, x: Any, y: Any) -> Any:
        loss, (dW, db) = hand_written(params, x, y, store="float32")
        return loss * y.size, (dW * y.size, db * y.size)

    report = compared(summed, *arguments())
    assert not report.ok
    assert report.blames == ()


def test_a_loss_that_is_hard_to_follow_is_not_wrong_for_it() -> None:
    """A million beside the loss hides its slopes: both functions are right, for losses of their own."""
    torch = pytest.importorskip("torch")

    def far_up(params: Any, x: Any, y: Any) -> Any:
        return 1e6 + in_torch(params, x, y)

    def decaying(params: Any, x: Any, y: Any) -> Any:
        return in_torch(params, x, y) + 1e-7 * sum(torch.sum(p**2) for p in params)

    report = crossgrad.compare_gradients(
        crossgrad.loss(far_up, "torch"), crossgrad.loss(decaying, "torch"), args=arguments()
    )
    assert not report.ok
    assert report.blames == ()


TRIED = [
    ("float32", 1000001, "products-in-float16"),
    ("float16", 1000004, "sigmoid-rational"),
    ("float64", 1000000, "dW-zero"),
    ("float64", 2000004, "stored-in-float32"),
    ("float32", 2000004, "sigmoid-tabulated"),
    ("bfloat16", 2000002, "last-unit-not-computed"),
]


@pytest.mark.parametrize(("dtype", "seed", "name"), TRIED, ids=[f"{n}-{d}" for d, _, n in TRIED])
def test_faults_that_were_not_blamed_or_on_the_right_function(dtype: str, seed: int, name: str) -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.name == name]
    (trial,), _ = try_functions(1, seed, [dtype], mutants=mutants)
    assert trial.counts
    assert trial.detected
    assert trial.blamed == trial.blamed_of_more == (MUTANT,)
