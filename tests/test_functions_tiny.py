"""Gradients that are tiny beside their neighbours, as those of a feature in other units, are judged too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

SAMPLES, INPUTS, OUTPUTS = 256, 6, 4
TINY = 2
"""The input in other units, and the output whose derivatives are small."""

ROUNDED_OFF = {"float64": 1e-15, "float32": 1e-6, "float16": 1e-2, "bfloat16": 1e-2}
"""How small: of that size is the rounding of the numbers beside it, and more in a sum of many."""


def regression(dtype: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    x, W, c = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(OUTPUTS, INPUTS)), rng.normal(size=OUTPUTS)
    x[:, TINY] *= ROUNDED_OFF[dtype]
    c[TINY] *= ROUNDED_OFF[dtype]
    return W, np.zeros(OUTPUTS), x, rng.normal(size=(SAMPLES, OUTPUTS)), c


def by_torch(W: Any, b: Any, x: Any, y: Any, c: Any) -> Any:
    return ((torch.tanh(x @ W.T + b) - y) ** 2 * c).mean()


def by_jax(W: Any, b: Any, x: Any, y: Any, c: Any) -> Any:
    return ((jnp.tanh(x @ W.T + b) - y) ** 2 * c).mean()


def in_turns(W: Any, b: Any, x: Any, y: Any, c: Any) -> Any:
    """Four parts of the batch, added up in a loop that XLA runs."""

    def turn(total: Any, part: Any) -> Any:
        x, y = part
        return total + ((jnp.tanh(x @ W.T + b) - y) ** 2 * c).sum(), None

    parts = x.reshape(4, -1, INPUTS), y.reshape(4, -1, OUTPUTS)
    return jax.lax.scan(turn, jnp.zeros((), x.dtype), parts)[0] / y.size


def by_hand(spoil: Callable[[Any, Any], tuple[Any, Any]] | None = None) -> Any:
    def gradients(W: Any, b: Any, x: Any, y: Any, c: Any) -> Any:
        a = np.tanh(x @ W.T + b)
        count = a.dtype.type(a.size)
        dz = (1 - a * a) * 2 * (a - y) * c / count
        dW, db = dz.T @ x, dz.sum(axis=0)
        if spoil is not None:
            dW, db = spoil(dW.copy(), db.copy())
        return ((a - y) ** 2 * c).sum() / count, (dW, db)

    return crossgrad.gradient(gradients, "numpy", "by hand")


def column_negated(dW: Any, db: Any) -> tuple[Any, Any]:
    dW[:, TINY] *= -1
    return dW, db


def column_doubled(dW: Any, db: Any) -> tuple[Any, Any]:
    dW[:, TINY] *= 2
    return dW, db


def row_negated(dW: Any, db: Any) -> tuple[Any, Any]:
    dW[TINY] *= -1
    return dW, db


def bias_negated(dW: Any, db: Any) -> tuple[Any, Any]:
    db[TINY] *= -1
    return dW, db


LOSSES = {
    "torch": crossgrad.loss(by_torch, "torch", "torch"),
    "jax": crossgrad.loss(by_jax, "jax", "jax"),
    "loop": crossgrad.loss(in_turns, "jax", "loop"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beside", LOSSES)
@pytest.mark.parametrize(
    "spoil", [column_negated, column_doubled, row_negated, bias_negated], ids=lambda spoil: spoil.__name__
)
def test_what_is_tiny_and_wrong_is_found(spoil: Any, beside: str, dtype: str) -> None:
    report = crossgrad.compare_gradients(
        LOSSES[beside], by_hand(spoil), args=regression(dtype), argnums=(0, 1), dtype=dtype
    )
    assert report.verdict == "disagree"
    # Where a derivative is too small for differences of the loss, nobody is blamed.
    assert {blame.function for blame in report.blames} <= {"by hand"}


def negated(quantity: str) -> Any:
    """JAX's gradients, but for a column of dW, or an element of db, with the wrong sign."""

    def gradients(W: Any, b: Any, x: Any, y: Any, c: Any) -> Any:
        dW, db = jax.grad(by_jax, (0, 1))(W, b, x, y, c)
        if quantity == "column":
            dW = dW.at[:, TINY].multiply(-1)
        else:
            db = db.at[TINY].multiply(-1)
        return by_jax(W, b, x, y, c), (dW, db)

    return crossgrad.gradient(gradients, "jax", "wrong")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("quantity", "verdict"), [("column", "disagree"), ("bias", "undecidable")])
def test_what_is_tiny_and_wrong_does_not_agree_in_16_bits(quantity: str, verdict: str, dtype: str) -> None:
    """Sums of 256 terms in 16 bits, which cancel, have noise as large as they are."""
    report = crossgrad.compare_gradients(
        LOSSES["torch"], negated(quantity), args=regression(dtype), argnums=(0, 1), dtype=dtype
    )
    assert report.verdict == verdict, str(report)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_what_is_tiny_and_right_agrees(dtype: str) -> None:
    hand = [] if dtype == "bfloat16" else [by_hand()]  # NumPy's products of bfloat16 are float32
    report = crossgrad.compare_gradients(
        *LOSSES.values(), *hand, args=regression(dtype), argnums=(0, 1), dtype=dtype
    )
    assert report.verdict == "agree", str(report)


@pytest.mark.parametrize("sign", [1, -1], ids=["right", "wrong"])
@pytest.mark.parametrize(
    "product",
    [
        lambda w, c: w @ list(c),
        lambda w, c: np.dot(list(c), w),
        lambda w, c: np.einsum("i,i", list(c), w),
        lambda w, c: np.einsum(list(c), [0], w, [0]),
        lambda w, c: np.tensordot(w, list(c), 1),
        lambda w, c: np.convolve(w, list(c[::-1]), "valid")[0],
    ],
    ids=["matmul", "dot", "einsum", "einsum of lists", "tensordot", "convolve"],
)
def test_products_of_lists_whose_terms_cancel(product: Any, sign: int) -> None:
    c = (-1 / 3, 1.0)

    def by_hand(w: Any) -> Any:
        found = product(w, c)
        return found * found, 2 * found * np.array([sign * c[0], c[1]])

    beside = crossgrad.loss(lambda w: (w[0] * c[0] + w[1] * c[1]) ** 2, "torch", "torch")
    report = crossgrad.compare_gradients(
        beside,
        crossgrad.gradient(by_hand, "numpy", "by hand"),
        args=(np.array([3.0, 1.001]),),
        dtype="float64",
    )
    assert report.verdict == ("agree" if sign == 1 else "disagree"), str(report)
    assert [blame.function for blame in report.blames] == ([] if sign == 1 else ["by hand"])
