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


def test_a_linear_solve_of_jax_agrees_with_its_derivative_by_hand() -> None:
    jax = pytest.importorskip("jax")

    def by_hand(a: Any, b: Any) -> Any:
        x = np.linalg.solve(a, b)
        return (x**2).sum(), -np.outer(np.linalg.solve(a.T, 2 * x), x)

    draw = np.random.default_rng(0)
    functions = (
        crossgrad.loss(lambda a, b: (jax.numpy.linalg.solve(a, b) ** 2).sum(), "jax", "jax"),
        crossgrad.gradient(by_hand, "numpy", "numpy"),
    )
    args = draw.normal(size=(6, 6)) + 5 * np.eye(6), draw.normal(size=6)
    for dtype in ("float32", "float64"):
        report = crossgrad.compare_gradients(*functions, args=args, argnums=0, dtype=dtype)
        assert report.verdict == "agree", str(report)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch 2.14 of its own
def test_forward_derivatives_of_torch_are_watched() -> None:
    """Their zeros are tensors without numbers."""
    import torch

    def forward(a: Any, b: Any) -> Any:
        return (torch.func.jvp(lambda v: torch.tanh(a @ v), (b,), (b,))[1] ** 2).sum()

    def written_out(a: Any, b: Any) -> Any:
        return ((1 - torch.tanh(a @ b) ** 2) * (a @ b)).square().sum()

    draw = np.random.default_rng(0)
    functions = crossgrad.loss(forward, "torch", "forward"), crossgrad.loss(written_out, "torch", "out")
    report = crossgrad.compare_gradients(*functions, args=(draw.normal(size=(5, 5)), draw.normal(size=5)))
    assert (report.verdict, report.notes) == ("agree", ())


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "undecidable"), (1 + 1e-12, "disagree")])
def test_where_operations_are_not_seen_no_small_error_is_called_wrong(factor: float, verdict: str) -> None:
    """What Python decides on cannot be traced, and saturated units err by more than their inputs."""
    jax = pytest.importorskip("jax")
    import torch

    draw = np.random.default_rng(53)
    d, s = draw.normal(size=(9, 50)), draw.normal(size=(9, 8))
    args = draw.normal(size=(50, 8)) * 2.3, d, s
    compiled = jax.jit(jax.value_and_grad(lambda w, d, s: jax.numpy.tanh((d @ w) * s).mean()))

    def deciding(w: Any, d: Any, s: Any) -> Any:
        loss, gradient = compiled(w, d, s)
        return (loss, factor * gradient) if float(loss) < 1e6 else (loss, gradient / loss)

    functions = (
        crossgrad.gradient(deciding, "jax", "jax"),
        crossgrad.loss(lambda w, d, s: torch.tanh((d @ w) * s).mean(), "torch", "torch"),
    )
    report = crossgrad.compare_gradients(*functions, args=args)
    assert report.verdict == verdict, str(report)
    assert ("the operations of jax were not seen" in str(report)) == (factor == 1)
