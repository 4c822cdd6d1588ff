"""What lies within the finest step, or only looks like a kink: the right are not blamed, the wrong are."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy


def compared(*functions: Any, args: Any, dtype: str = "float32") -> tuple[str, list[str]]:
    argnums = tuple(range(len(args))) if len(args) > 1 else 0
    report = crossgrad.compare_gradients(*functions, args=args, argnums=argnums, dtype=dtype)
    return report.verdict, [blame.function for blame in report.blames]


def of_torch(function: Any, name: str = "torch") -> Any:
    return crossgrad.loss(function, "torch", name)


def of_jax(function: Any, name: str = "jax") -> Any:
    return crossgrad.loss(function, "jax", name)


def normalized(x: Any, w: Any) -> Any:
    """NaN where a row is zero: the norm's gradient there."""
    return (x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12) * w).sum()


def normalized_with_care(x: Any, w: Any) -> Any:
    squares = jnp.sum(x * x, axis=-1, keepdims=True)
    norms = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
    return (x / jnp.maximum(norms, 1e-12) * w).sum()


def test_a_slope_within_the_finest_step_is_not_contradicted() -> None:
    """On a row of zeros the gradient is ``w * 1e12``, which holds for 1e-12 to either side."""
    x, w = np.random.default_rng(0).normal(size=(2, 6, 4))
    x[2] = 0
    by_torch = of_torch(lambda x, w: (torch.nn.functional.normalize(x, dim=-1) * w).sum())
    both = compared(by_torch, of_jax(normalized), args=(x, w))
    assert both == ("nonfinite-disagree", [])
    three = compared(
        by_torch, of_jax(normalized_with_care, "careful"), of_jax(normalized, "nan"), args=(x, w)
    )
    assert three == ("nonfinite-disagree", ["nan"])


@pytest.mark.parametrize("wrong", [["w1"], ["w1", "w2"]], ids=["one", "two"])
@pytest.mark.parametrize("factor", [10.0, 1e6, 1e9])
def test_a_gradient_that_is_much_too_large_is_blamed_all_the_same(factor: float, wrong: list[str]) -> None:
    functions = [
        crossgrad.gradient(lambda x: ((x**2).sum(), factor * 2 * x), "numpy", name) for name in wrong
    ]
    args = (np.random.default_rng(0).normal(size=5),)
    right = of_torch(lambda x: (x**2).sum())
    assert compared(right, *functions, args=args, dtype="float64") == ("disagree", wrong)


@pytest.mark.parametrize("wrong", [["w1"], ["w1", "w2"]], ids=["one", "two"])
def test_a_gradient_where_the_loss_stands_still_is_blamed_all_the_same(wrong: list[str]) -> None:
    """A bias before softmax, which moves nothing."""

    def by_hand(x: Any, b: Any) -> Any:
        p = np.exp(x + b) / np.exp(x + b).sum()
        return (p**2).sum(), (2 * p * (p - (p**2).sum()), np.ones_like(b))

    right = of_torch(lambda x, b: (torch.softmax(x + b, 0) ** 2).sum())
    functions = [crossgrad.gradient(by_hand, "numpy", name) for name in wrong]
    args = np.random.default_rng(0).normal(size=5), np.array([0.3])
    assert compared(right, *functions, args=args) == ("disagree", wrong)


def test_the_median_of_ties_is_a_convention() -> None:
    """Whose gradient is the same at opposite points, and another at others around."""
    x = np.array([1.0, 1.0, 1.0, 5.0, -3.0])
    every = of_torch(lambda x: x.median())
    for other in (of_jax(jnp.median), of_torch(lambda x: x.median(dim=0).values, "dim")):
        assert compared(every, other, args=(x,), dtype="float64") == ("convention", [])


def test_what_differs_by_noise_alone_has_no_kink() -> None:
    """All equal: sums whose errors add up, and no difference in float64."""
    args = (np.full((2, 4000), 0.3),)
    assert compared(of_torch(torch.linalg.norm), of_jax(jnp.linalg.norm), args=args) == ("agree", [])


class Zeroed(torch.autograd.Function):
    """A backward pass that forgets."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 0 * g


def test_a_leaf_that_is_wrong_beside_a_kink_is_found() -> None:
    """Though its gradient is small beside that of the leaf that has the kink."""

    def torchs(w: Any, b: Any, through: Any) -> Any:
        return torch.maximum(w, 0 * w).sum() + 1e-4 * torch.tanh(through(b)).sum()

    right = of_jax(lambda w, b: jax.nn.relu(w).sum() + 1e-4 * jnp.tanh(b).sum())
    args = np.array([1.0, 0.0, -2.0]), np.array([0.3, 0.4])
    kink = compared(right, of_torch(lambda w, b: torchs(w, b, lambda b: b)), args=args, dtype="float64")
    assert kink == ("convention", [])
    wrong = of_torch(lambda w, b: torchs(w, b, Zeroed.apply), "wrong")
    assert compared(right, wrong, args=args, dtype="float64") == ("disagree", ["wrong"])
