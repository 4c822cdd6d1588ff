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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kink_between_the_steps_blames_nobody(dtype: str) -> None:
    """A unit 7.5e-6 from relu's kink: coarse steps agree beyond it, fine ones before it."""
    datasets = pytest.importorskip("sklearn.datasets")
    of_torch, draw, digits = torch.nn.functional, np.random.default_rng(2), datasets.load_digits()
    shapes = {"W0": (24, 64), "W1": (24, 24), "W2": (24, 24), "W": (10, 24)}
    params = {name: draw.normal(size=s) / (6 if name == "W0" else 3.5) for name, s in shapes.items()}
    params = {name: value.astype(np.float32).astype(dtype) for name, value in params.items()}

    def network(eps: float) -> Any:
        def loss(p: Any, x: Any, y: Any) -> Any:
            for name in ("W0", "W1", "W2"):
                x = of_torch.layer_norm(torch.relu(x @ p[name].T), (24,), eps=eps)
            return of_torch.cross_entropy(x @ p["W"].T, y)

        return loss

    report = crossgrad.compare_gradients(
        crossgrad.loss(network(1e-5), "torch", "one"),
        crossgrad.loss(network(1e-3), "torch", "other"),
        args=(params, (digits.data[:32] / 16).astype(dtype), digits.target[:32]),
        argnums=0,
    )
    assert (report.verdict, report.blames) == ("disagree", ()), str(report)


def test_gradients_that_are_zero_whatever_they_are_times_are_named() -> None:
    """Of a hidden layer below weights that are all zero."""

    def by_hand(W: Any, V: Any, x: Any) -> Any:
        a = np.tanh(x @ W)
        return ((a @ V - 1) ** 2).sum(), (x.T @ (7 * (2 * (a @ V - 1)) @ V.T), a.T @ (2 * (a @ V - 1)))

    right = of_torch(lambda W, V, x: ((torch.tanh(x @ W) @ V - 1) ** 2).sum())
    draw = np.random.default_rng(0)
    args = draw.normal(size=(3, 4)), np.zeros((4, 2)), draw.normal(size=(5, 3))
    report = crossgrad.compare_gradients(
        crossgrad.gradient(by_hand, "numpy", "by hand"), right, args=args, argnums=(0, 1)
    )
    assert report.verdict == "agree"
    assert report.notes == ("zero in all functions, so that no factor of it was checked: args[0]",)


def test_a_loss_that_is_no_number_is_no_other_loss() -> None:
    def naive(w: Any, x: Any, y: Any) -> Any:
        q = 1 / (1 + np.exp(-(x @ w)))
        return -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q)), x.T @ (q - y) / len(y)

    draw = np.random.default_rng(0)
    x = 50 * draw.normal(size=(30, 3))
    y = (x[:, 0] > 0) * 1.0
    stable = of_torch(
        lambda w, x, y: torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y), "stable"
    )
    naive_one = crossgrad.gradient(naive, "numpy", "naive")
    report = crossgrad.compare_gradients(naive_one, stable, args=(np.ones(3), x, y), argnums=0)
    assert report.verdict == "nonfinite-disagree"
    assert "the loss of naive is no number" in str(report)


@pytest.mark.parametrize("z", [-100.0, -300.0])
def test_what_underflows_is_said_to(z: float) -> None:
    def by_hand(w: Any, x: Any) -> Any:
        a = 1 / (1 + np.exp(-w * x))
        return a.sum(), x * a * (1 - a)

    one, args = crossgrad.gradient(by_hand, "numpy", "by hand"), (np.ones(4), np.linspace(z, z - 5, 4))
    other = of_torch(lambda w, x: torch.sigmoid(w * x).sum())
    report = crossgrad.compare_gradients(one, other, args=args, argnums=0, dtype="float32")
    assert (report.verdict, report.notes) == ("undecidable", ())
    assert "smaller than the numbers of float32: dtype='float64' decides" in str(report)
    assert crossgrad.compare_gradients(one, other, args=args, argnums=0, dtype="float64").verdict == "agree"
