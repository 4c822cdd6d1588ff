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


def test_what_jax_compiled_before_is_not_taken_for_it() -> None:
    jax = pytest.importorskip("jax")
    function = jax.jit(jax.value_and_grad(weighted(jax)))
    function(jax.numpy.asarray(W, np.float32))
    functions = crossgrad.gradient(function, "jax", "jax"), crossgrad.gradient(by_hand, "numpy", "numpy")
    report = crossgrad.compare_gradients(*functions, args=(W,), dtype="float64")
    assert report.verdict == "agree", str(report)
