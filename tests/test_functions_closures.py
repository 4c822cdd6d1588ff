"""NumPy's arrays that functions take from around them: they stay as they are, and as wide as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

DRAW = np.random.default_rng(3)
W = DRAW.normal(size=(50, 8))
DATA = DRAW.normal(size=(9, 50))


def by_hand(w: Any) -> Any:
    data = DATA.astype(w.dtype)
    return np.square(data @ w).mean(), data.T @ (data @ w) * (2 / (len(data) * w.shape[1]))


def taken(how: str) -> Callable[[Any], Any]:
    torch = pytest.importorskip("torch")
    tensor = {
        "tensor": lambda dtype: torch.tensor(DATA, dtype=dtype),
        "as_tensor": lambda dtype: torch.as_tensor(DATA).to(dtype),
        "from_numpy": lambda dtype: torch.from_numpy(DATA).to(dtype),
    }[how]
    return lambda w: (tensor(w.dtype) @ w).square().mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["tensor", "as_tensor", "from_numpy"])
def test_reruns_with_errors_write_into_no_array_of_the_users(how: str, dtype: str) -> None:
    before = DATA.copy()
    functions = crossgrad.loss(taken(how), "torch", "torch"), crossgrad.gradient(by_hand, "numpy", "numpy")
    report = crossgrad.compare_gradients(*functions, args=(W,), dtype=dtype)
    assert report.verdict == "agree", str(report)
    np.testing.assert_array_equal(DATA, before)


TOKENS = DRAW.integers(0, len(W), (2, 16))
"""In 64 bits, of which JAX takes 32 where x64 is off."""


def picked(jax: Any) -> Callable[[Any], Any]:
    return lambda w: (w[TOKENS] ** 2).mean()


def weighted(jax: Any) -> Callable[[Any], Any]:
    return lambda w: ((DATA @ w) ** 2).mean()


def looped(jax: Any) -> Callable[[Any], Any]:
    return lambda w: jax.lax.fori_loop(0, 2, lambda _, a: a + (DATA @ w) ** 2 / 2, 0 * DATA @ w).mean()


FUNCTIONS = [picked, weighted, pytest.param(looped, marks=pytest.mark.slow)]


def in_torch(which: Any) -> Callable[[Any], Any]:
    torch = pytest.importorskip("torch")
    if which is picked:
        return lambda w: w[torch.as_tensor(TOKENS)].square().mean()
    return taken("tensor")


@pytest.mark.parametrize("compiled", [False, True], ids=["as-it-is", "compiled"])
@pytest.mark.parametrize("which", FUNCTIONS)
def test_jax_takes_them_in_each_dtype_as_they_are(which: Any, compiled: bool) -> None:
    """JAX keeps what it made of them with x64 off, and takes it for them with x64 on."""
    jax = pytest.importorskip("jax")
    function = jax.jit(which(jax)) if compiled else which(jax)
    functions = crossgrad.loss(function, "jax", "jax"), crossgrad.loss(in_torch(which), "torch", "torch")
    for dtype in ("float32", "float64", "float32"):
        report = crossgrad.compare_gradients(*functions, args=(W,), dtype=dtype)
        assert (report.verdict, report.notes) == ("agree", ()), f"{dtype}: {report}"


def test_what_jax_made_before_is_not_taken_for_it() -> None:
    """As where a derivative of a notebook's is alive, or code was compiled."""
    jax = pytest.importorskip("jax")
    function = jax.jit(jax.value_and_grad(weighted(jax)))
    narrow = jax.numpy.asarray(W, np.float32)
    function(narrow)
    _, pulled_back = jax.vjp(weighted(jax), narrow)
    functions = crossgrad.gradient(function, "jax", "jax"), crossgrad.gradient(by_hand, "numpy", "numpy")
    report = crossgrad.compare_gradients(*functions, args=(W,), dtype="float64")
    assert report.verdict == "agree", str(report)
    assert len(pulled_back(jax.numpy.float32(1))) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_users_code_runs_after_a_comparison_as_before(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    scale = DRAW.normal(size=(9, 8))
    function = jax.jit(lambda w: jax.numpy.tanh((DATA @ w) * scale).mean())
    before = jax.jit(lambda w: jax.numpy.tanh((DATA @ w) * scale).mean())(W.astype(np.float32))
    other = crossgrad.loss(lambda w: function(w) * 1.0, "jax", "other")
    crossgrad.compare_gradients(crossgrad.loss(function, "jax", "jax"), other, args=(W,), dtype=dtype)
    assert function(W.astype(np.float32)) == before


def test_jax_takes_an_array_without_axes_as_it_is() -> None:
    jax = pytest.importorskip("jax")
    bound = np.array(0.37)

    def bounded(w: Any) -> Any:
        a = jax.numpy.tanh(DATA @ w)
        return (jax.numpy.where(a > 0, a, bound) * bound).mean()

    functions = (
        crossgrad.loss(f, "jax", name) for name, f in (("one", bounded), ("two", lambda w: bounded(w)))
    )
    one, two = functions
    for dtype in ("float32", "float64", "float32"):
        report = crossgrad.compare_gradients(one, two, args=(W,), dtype=dtype)
        assert (report.verdict, report.notes) == ("agree", ()), f"{dtype}: {report}"


def test_a_function_that_cannot_be_traced_takes_them_as_they_are() -> None:
    jax = pytest.importorskip("jax")
    compiled = jax.jit(lambda w: ((DATA @ w) ** 2).mean())
    functions = (
        crossgrad.loss(lambda w: compiled(w) if compiled(w) > 0 else 0 * compiled(w), "jax", "jax"),
        crossgrad.gradient(by_hand, "numpy", "numpy"),
    )
    for dtype in ("float32", "float64"):
        report = crossgrad.compare_gradients(*functions, args=(W,), dtype=dtype)
        assert report.verdict == "agree", f"{dtype}: {report}"


def test_labels_of_64_bits_make_no_numbers_of_64_bits() -> None:
    """JAX takes 32 of them; with x64 on its own arrays of zeros would be in float64."""
    jax = pytest.importorskip("jax")
    torch = pytest.importorskip("torch")
    labels = DRAW.integers(0, 8, 9)

    def in_jax(w: Any, y: Any) -> Any:
        kept = jax.lax.dynamic_update_slice(jax.numpy.zeros((9, 8)), w[:9] + 1, (0, 0))
        return -jax.nn.log_softmax(kept)[jax.numpy.arange(9), y].mean()

    functions = (
        crossgrad.loss(in_jax, "jax", "jax"),
        crossgrad.loss(lambda w, y: torch.nn.functional.cross_entropy(w[:9] + 1, y), "torch", "torch"),
    )
    report = crossgrad.compare_gradients(*functions, args=(W, labels), dtype="float32")
    assert report.verdict == "agree", str(report)
