"""Right functions agree where samples come in an order, and partial sums go far out before they come back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.squares import squares_of_product, squares_of_sum
from crossgrad.networks.dtypes import Array

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


def in_time(draw: np.random.Generator, count: int) -> Array:
    return np.cumsum(draw.normal(size=(count, 3)) * 0.02, 0)


def sorted_by_each(draw: np.random.Generator, count: int) -> Array:
    return np.sort(draw.normal(size=(count, 3)), 0)


def loss_in(library: Any) -> Callable[..., Any]:
    def loss(params: Any, x: Any, y: Any) -> Any:
        a = x
        for W, b in params:
            a = library.tanh(a @ W.T + b)
        return ((a - y) ** 2).mean()

    return loss


def by_hand(factor: float) -> Any:
    def gradients(params: Any, x: Array, y: Array) -> Any:
        (W1, b1), (W2, b2) = params
        hidden = np.tanh(x @ W1.T + b1)
        a = np.tanh(hidden @ W2.T + b2)
        count = a.dtype.type(a.size)
        dz2 = 2 * (a - y) / count * (1 - a * a)
        dz1 = dz2 @ W2 * (1 - hidden * hidden)
        dW1 = a.dtype.type(factor) * (dz1.T @ x)
        grads = [(dW1, dz1.sum(axis=0)), (dz2.T @ hidden, dz2.sum(axis=0))]
        return ((a - y) ** 2).sum() / count, grads

    return crossgrad.gradient(gradients, "numpy", "by hand")


def regression(draw: np.random.Generator, samples: Callable[..., Array]) -> tuple[Any, Array, Array]:
    x = samples(draw, 4000)
    params = [(draw.normal(size=(o, i)) / np.sqrt(i), draw.normal(size=o)) for i, o in ((3, 16), (16, 1))]
    return params, x, np.zeros((len(x), 1))


@pytest.mark.parametrize("factor", [1.0, 1.02], ids=["right", "wrong"])
@pytest.mark.parametrize("seed", [2, 6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("samples", [in_time, sorted_by_each], ids=lambda f: f.__name__)
def test_samples_in_an_order(samples: Callable[..., Array], dtype: str, seed: int, factor: float) -> None:
    functions = [
        crossgrad.loss(loss_in(torch), "torch"),
        crossgrad.loss(loss_in(jax.numpy), "jax"),
        by_hand(factor),
    ]
    args = regression(np.random.default_rng(seed), samples)
    report = crossgrad.compare_gradients(*functions, args=args, argnums=0, dtype=dtype)
    assert report.verdict == ("agree" if factor == 1 else "disagree"), str(report)


def test_squares_are_those_of_terms_whose_signs_are_random() -> None:
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(3, 2, 500)), draw.normal(size=(3, 500, 4))
    found = squares_of_product(left, right)
    assert np.all(found >= np.square(left) @ np.square(right))
    assert np.median(found) < 3 * 500


@pytest.mark.parametrize("axes", [[0], [0, 2], [2, 0, 1]], ids=str)
def test_squares_of_a_sum_that_comes_back(axes: list[int]) -> None:
    array = np.where(np.arange(1000) < 500, 1.0, -1.0)[:, None, None] * np.ones((1, 2, 3))
    found = squares_of_sum(array, axes)
    assert found.shape == np.sum(array, axis=tuple(axes)).shape
    assert np.all(found > 100 * 1000)


def test_a_sum_of_nothing_has_no_squares() -> None:
    assert squares_of_sum(np.zeros((4, 0)), [0]).shape == (0,)
    assert squares_of_sum(np.zeros((0, 4)), [0]).tolist() == [0.0] * 4


def fitted(product: Callable[[Array, Array], Array]) -> Any:
    """Linear regression, its gradient by a product of the inputs with residuals that are a vector."""

    def gradients(w: Any, x: Any, y: Any) -> Any:
        count = y.dtype.type(len(y))
        r = x @ w - y
        return (r * r).sum() / count, product(x, r) * (2 / count)

    return gradients


PRODUCTS = {
    "matmul": lambda x, r: x.T @ r,
    "vector first": lambda x, r: r @ x,
    "dot": lambda x, r: np.dot(x.T, r),
    "inner": lambda x, r: np.inner(x.T, r),
    "tensordot": lambda x, r: np.tensordot(x, r, ([0], [0])),
    "einsum": lambda x, r: np.einsum("ni,n->i", x, r),
    "implicit": lambda x, r: np.einsum("ni,n", x, r),
    "out": lambda x, r: np.dot(x.T, r, out=np.empty_like(r, shape=x.shape[1])),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_each_of_numpy_s_products(name: str, dtype: str) -> None:
    """Residuals that go from -1 to 1, of inputs that are all about 1."""
    count, draw = 20_000, np.random.default_rng(0)
    x = 1 + 0.01 * draw.normal(size=(count, 3))
    y = np.linspace(-1, 1, count) + draw.normal(size=count) * 1e-3
    functions = [
        crossgrad.gradient(fitted(PRODUCTS[one]), "numpy", one) for one in {name, "matmul", "einsum"}
    ]
    args = np.zeros(3), x, y
    report = crossgrad.compare_gradients(*functions, args=args, argnums=0, dtype=dtype)
    assert report.verdict == "agree", str(report)
    assert "not seen" not in str(report)


@pytest.mark.parametrize("far", [False, True], ids=["random", "in an order"])
def test_a_large_product_is_followed_where_some_of_it_goes_far(far: bool) -> None:
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(300, 2000)), draw.normal(size=(2000, 300))
    if far:
        right = np.abs(right)
        left = np.abs(left) * np.where(np.arange(2000) < 1000, 1, -1)
    found, random = squares_of_product(left, right), np.square(left) @ np.square(right)
    assert np.median(found / random) > 50 if far else np.array_equal(found, random)
