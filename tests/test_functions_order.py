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


E = np.einsum
FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "matmul": np.matmul,
    "dot": np.dot,
    "method": lambda a, b: a.dot(b),
    "names": lambda a, b: np.dot(a=a, b=b),
    "out": lambda a, b: np.dot(a, b, np.empty_like(a, shape=(len(a), b.shape[1]), order="C")),
    "tensordot": lambda a, b: np.tensordot(a, b, 1),
    "tensordot of axes": lambda a, b: np.tensordot(a, b, (1, [0])),
    "einsum": lambda a, b: E("ij,jk->ik", a, b),
    "dots": lambda a, b: E("...j,jk->...k", a, b),
    "dots in both": lambda a, b: E("...aj,...jc", a, b),
    "numbers": lambda a, b: E(a, [0, 1], b, [1, 2], [0, 2]),
    "numbers alone": lambda a, b: E(a, [0, 1], b, [1, 2]),
    "other axes": lambda a, b: np.matmul(a.T, b.T, axes=[(1, 0), (1, 0), (0, 1)]),
    **({"matvec": lambda a, b: np.stack([np.matvec(a, c) for c in b.T], 1)} if hasattr(np, "matvec") else {}),
}


def of_form(form: str, order: Array) -> Callable[[Array, Array], Any]:
    """A sum of squares of a product whose terms are in an order, and its gradient."""

    def gradients(w: Array, x: Array) -> Any:
        z = FORMS[form](w[:, order], x[order])
        return (z * z).sum(), 2 * z @ x.T

    return gradients


@pytest.mark.parametrize("data", ["normal", "of halves", "square"])
@pytest.mark.parametrize("form", FORMS)
def test_a_product_beside_the_same_from_right_to_left(form: str, data: str) -> None:
    draw = np.random.default_rng(0)
    rows, count, columns = (200, 200, 200) if data == "square" else (100, 2000, 5)
    w, x = draw.normal(size=(rows, count)), draw.normal(size=(count, columns))
    if data == "of halves":
        w, x = 1 + 0.01 * w, np.where(np.arange(count) < count / 2, 1, -1)[:, None] * (1 + 0.01 * x)
    order = np.arange(count)
    functions = [
        crossgrad.gradient(of_form(form, order), "numpy", "there"),
        crossgrad.gradient(of_form(form, order[::-1]), "numpy", "back"),
    ]
    report = crossgrad.compare_gradients(*functions, args=(w, x), dtype="float32")
    assert report.verdict == "agree", str(report)
    assert "not seen" not in str(report)


@pytest.mark.parametrize("form", ["dot", "out", "einsum"])
def test_a_wrong_factor_of_a_product_is_found(form: str) -> None:
    def wrong(w: Array, x: Array) -> Any:
        loss, gradient = of_form(form, np.arange(50))(w, x)
        return loss, w.dtype.type(1.05) * gradient

    draw = np.random.default_rng(0)
    right = crossgrad.gradient(of_form(form, np.arange(50)), "numpy", "right")
    args = draw.normal(size=(40, 50)), draw.normal(size=(50, 3))
    report = crossgrad.compare_gradients(
        right, crossgrad.gradient(wrong, "numpy", "wrong"), args=args, dtype="float32"
    )
    assert [blame.function for blame in report.blames] == ["wrong"]


def test_einsum_of_axes_that_are_broadcast() -> None:
    def gradients(w: Array, x: Array) -> Any:
        z = E("ij,jk->ik", w, x)
        return (z * z).sum(), E("ik,jk->ij", 2 * z, x).sum(axis=1, keepdims=True)

    beside = crossgrad.loss(lambda w, x: ((w * x.sum(0)) ** 2).sum(), "torch", "torch")
    draw = np.random.default_rng(0)
    args = draw.normal(size=(40, 1)), draw.normal(size=(50, 6))
    report = crossgrad.compare_gradients(
        crossgrad.gradient(gradients, "numpy"), beside, args=args, dtype="float32"
    )
    assert (report.verdict, report.notes) == ("agree", ()), str(report)


@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_of_which_the_first_is_masked(masked: bool) -> None:
    def gradients(order: Array) -> Callable[[Array, Array], Any]:
        def of(w: Array, x: Array) -> Any:
            z = w[:, :, order] @ x[:, order]
            return (z * z).sum(), 2 * z @ x.transpose(0, 2, 1)

        return of

    draw, count = np.random.default_rng(0), 2000
    w = 1 + 0.01 * draw.normal(size=(4, 40, count))
    x = np.where(np.arange(count) < 1000, 1, -1)[:, None] * (1 + 0.01 * draw.normal(size=(4, count, 150)))
    w[0] *= not masked
    there, back = np.arange(count), np.arange(count)[::-1]
    functions = [crossgrad.gradient(gradients(order), "numpy", str(order[0])) for order in (there, back)]
    report = crossgrad.compare_gradients(*functions, args=(w, x), dtype="float32")
    assert report.verdict == "agree", str(report)


ADDED: dict[str, Callable[[Any, Any], Any]] = {
    "addmm": lambda a, b: torch.addmm(torch.ones(1, dtype=a.dtype), a, b),
    "alpha": lambda a, b: torch.addmm(torch.ones(1, dtype=a.dtype), a, b, alpha=2, beta=3),
    "in place": lambda a, b: torch.ones(len(a), b.shape[1], dtype=a.dtype).addmm_(a, b),
    "addbmm": lambda a, b: torch.addbmm(torch.ones(1, dtype=a.dtype), a[None], b[None]),
    "baddbmm": lambda a, b: torch.baddbmm(torch.ones(1, dtype=a.dtype), a[None], b[None])[0],
}


@pytest.mark.parametrize("form", ADDED)
def test_pytorch_s_products_that_are_added(form: str) -> None:
    def of(order: Array) -> Callable[[Any, Any], Any]:
        return lambda w, x: ADDED[form](w[:, order.copy()], x[order.copy()]).square().sum()

    draw, count = np.random.default_rng(0), 2000
    w = 1 + 0.01 * draw.normal(size=(100, count))
    x = np.where(np.arange(count) < 1000, 1, -1)[:, None] * (1 + 0.01 * draw.normal(size=(count, 5)))
    there, back = np.arange(count), np.arange(count)[::-1]
    functions = [crossgrad.loss(of(order), "torch", str(order[0])) for order in (there, back)]
    report = crossgrad.compare_gradients(*functions, args=(w, x), dtype="float32")
    assert report.verdict == "agree", str(report)
