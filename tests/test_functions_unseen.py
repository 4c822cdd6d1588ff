"""Functions whose operations NumPy cannot show by itself: those of HIPS autograd, and those that refuse."""

from typing import Any

import numpy as np
import pytest

import crossgrad

from .functions import hand_written, torch_loss
from .test_functions import arguments

pytest.importorskip("torch")


def seen_by_torch() -> Any:
    return crossgrad.loss(torch_loss, "torch", "torch")


def test_functions_of_autograd_are_watched() -> None:
    autograd, anp = pytest.importorskip("autograd"), pytest.importorskip("autograd.numpy")

    def loss(params: Any, x: Any, y: Any) -> Any:
        for W, b in params:
            x = 1 / (1 + anp.exp(-(anp.dot(x, W.T) + b)))
        return anp.mean((x - y) ** 2)

    theirs = crossgrad.gradient(autograd.value_and_grad(loss), "numpy", "autograd")
    report = crossgrad.compare_gradients(theirs, seen_by_torch(), args=arguments())
    assert report.verdict == "agree", str(report)
    assert not report.notes

    doubled = crossgrad.gradient(autograd.value_and_grad(lambda *a: 2 * loss(*a)), "numpy", "doubled")
    assert not crossgrad.compare_gradients(doubled, seen_by_torch(), args=arguments()).ok


def test_linear_algebra_of_autograd_is_watched() -> None:
    autograd, anp = pytest.importorskip("autograd"), pytest.importorskip("autograd.numpy")
    import torch

    theirs = autograd.value_and_grad(lambda a, y: anp.sum(anp.linalg.solve(a, y) ** 2))
    functions = (
        crossgrad.gradient(theirs, "numpy", "autograd"),
        crossgrad.loss(lambda a, y: (torch.linalg.inv(a) @ y).square().sum(), "torch", "torch"),
    )
    draw = np.random.default_rng(0)
    args = (draw.normal(size=(4, 4)) + 4 * np.eye(4), draw.normal(size=4))
    for dtype in ("float32", "float64"):
        report = crossgrad.compare_gradients(*functions, args=args, dtype=dtype)
        assert report.verdict == "agree", str(report)
        assert not report.notes


def test_what_refuses_watched_arrays_is_judged_by_its_inputs_noise() -> None:
    """As code does that is compiled for NumPy's arrays and nothing else."""

    def strict(params: Any, x: Any, y: Any) -> Any:
        if type(x) is not np.ndarray:
            raise TypeError(f"cannot type {type(x).__name__}")
        return hand_written()(params, x, y)

    ours = crossgrad.gradient(strict, "numpy", "strict")
    report = crossgrad.compare_gradients(ours, seen_by_torch(), args=arguments())
    assert report.verdict == "agree", str(report)
    (note,) = report.notes
    assert note.startswith("operations not seen, noise is that of the inputs: strict raised TypeError")

    def wrong(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = strict(params, x, y)
        return loss, [(1.01 * W, b) for W, b in gradients]

    report = crossgrad.compare_gradients(
        crossgrad.gradient(wrong, "numpy", "wrong"), seen_by_torch(), args=arguments()
    )
    assert [blame.function for blame in report.blames] == ["wrong"]


def test_shapes_that_change_in_place_round_nothing_and_hide_nothing() -> None:
    """A vector times a matrix squeezes in place a result that requires a gradient."""
    import torch

    args = np.random.default_rng(0).standard_normal(4), np.random.default_rng(1).standard_normal((4, 3))

    def in_numpy(h: Any, W: Any) -> Any:
        a = np.tanh(h @ W)
        dz = 2 * a * (1 - a**2)
        return (a**2).sum(), W @ dz

    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda h, W: (torch.tanh(h @ W) ** 2).sum(), "torch"),
        crossgrad.gradient(in_numpy, "numpy"),
        args=args,
    )
    assert report.verdict == "agree", str(report)
    assert not report.notes
