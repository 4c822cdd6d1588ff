"""Whose noise is allowed a function, and what NaN and infinity that it alone has say against it."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import crossgrad

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
jnp = jax.numpy


def by_largest(z: Any) -> Any:
    largest = z.max(1, keepdims=True)
    return (jnp.log(jnp.exp(z - largest).sum(1)) + largest[:, 0]).mean()


LOGSUMEXP = (
    crossgrad.loss(lambda z: torch.logsumexp(z, 1).mean(), "torch", "torch"),
    crossgrad.loss(lambda z: jax.nn.logsumexp(z, 1).mean(), "jax", "jax"),
    crossgrad.loss(by_largest, "jax", "by the largest"),
)
"""Of one loss; PyTorch's gradient, exp(z - logsumexp), errs by more than that of the others."""


def logits(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(16, 10)) * 30


@pytest.mark.parametrize(
    ("seed", "dtype"), [(0, "float32"), pytest.param(1, "float32", marks=pytest.mark.slow), (2, "float64")]
)
def test_a_third_function_does_not_make_one_wrong_that_agrees_with_each(seed: int, dtype: str) -> None:
    for functions in (*combinations(LOGSUMEXP, 2), LOGSUMEXP):
        report = crossgrad.compare_gradients(*functions, args=(logits(seed),), dtype=dtype)
        assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_a_variance_of_less_precision_is_right_beside_two_others() -> None:
    functions = (
        crossgrad.loss(lambda x: x.var(1, correction=0).sqrt().sum(), "torch", "var"),
        crossgrad.loss(
            lambda x: ((x - x.mean(1, keepdim=True)) ** 2).mean(1).sqrt().sum(), "torch", "two passes"
        ),
        crossgrad.loss(lambda x: jnp.sqrt((x**2).mean(1) - x.mean(1) ** 2).sum(), "jax", "one pass"),
    )
    x = np.random.default_rng(0).normal(size=(8, 20)) + 10
    report = crossgrad.compare_gradients(*functions, args=(x,), dtype="float32")
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_of_its_own_excuses_no_other_gradient(dtype: str) -> None:
    """1.0001 times the right one: more than the others' noise, and no rounding in float64."""

    def steeper(z: Any) -> Any:
        loss = torch.logsumexp(z, 1).mean()
        return loss, torch.autograd.grad(1.0001 * loss, z)[0]

    wrong = crossgrad.gradient(steeper, "torch", "steeper")
    for others in (LOGSUMEXP[1:], LOGSUMEXP[1:2]):
        report = crossgrad.compare_gradients(wrong, *others, args=(logits(0),), dtype=dtype)
        assert [blame.function for blame in report.blames] == ["steeper"]


def naive(z: Any) -> Any:
    e = np.exp(z)
    p = e / e.sum()
    return -np.log(p[0]), p - (np.arange(z.size) == 0).astype(z.dtype)


def with_zero_times_log_zero(z: Any) -> Any:
    e = np.exp(z - z.max())
    p, q = e / e.sum(), (np.arange(z.size) == 0).astype(z.dtype)
    return -(q * np.log(p)).sum(), p - q


CROSS_ENTROPY = crossgrad.loss(lambda z: -torch.log_softmax(z, 0)[0], "torch", "torch")


@pytest.mark.parametrize(
    ("function", "z", "dtype"),
    [
        pytest.param(naive, [95, 94, 93], "float32", id="overflow-float32"),
        pytest.param(naive, [12, 11, 10], "float16", id="overflow-float16"),
        pytest.param(with_zero_times_log_zero, [3, -150, 0], "float32", id="0-log-0"),
    ],
)
def test_what_overflows_in_the_dtype_alone_is_blamed(
    function: Callable[..., Any], z: list[float], dtype: str
) -> None:
    ours = crossgrad.gradient(function, "numpy", "naive")
    third = crossgrad.loss(lambda z: -jax.nn.log_softmax(z)[0], "jax", "jax")
    for others in ([CROSS_ENTROPY], [CROSS_ENTROPY, third]):
        report = crossgrad.compare_gradients(ours, *others, args=(np.array(z, float),), dtype=dtype)
        assert report.verdict == "nonfinite-disagree"
        (blame,) = report.blames
        assert blame.function == "naive"
        assert "further from its own in float64" in blame.evidence
        assert "times the other" not in str(report)


def test_where_all_overflow_alike_nobody_is_wrong() -> None:
    another = crossgrad.gradient(naive, "numpy", "naive too")
    report = crossgrad.compare_gradients(
        crossgrad.gradient(naive, "numpy", "naive"), another, args=(np.array([95, 94, 93], np.float32),)
    )
    assert (report.verdict, report.blames) == ("nonfinite-agree", ())


@pytest.mark.parametrize("size", [65519.0, 7e4])
def test_infinity_is_right_where_the_number_is_beyond_the_dtype(size: float) -> None:
    """A little below the largest number of float16 rounding may get there; one loss is kept in float32."""

    def narrow(w: Any) -> Any:
        return (w * w.dtype.type(256) * w.dtype.type(size / 256)).sum(), w * 0

    def wide(w: Any) -> Any:
        return (w.astype(np.promote_types(w.dtype, np.float32)) * size).sum(), w * 0

    functions = crossgrad.gradient(narrow, "numpy", "narrow"), crossgrad.gradient(wide, "numpy", "wide")
    report = crossgrad.compare_gradients(*functions, args=(np.ones(1, np.float16),))
    itself = {
        c.function: c.verdict for c in report.comparisons if (c.quantity, c.against[:6]) == ("loss", "itself")
    }
    assert report.blames == ()
    assert itself["narrow"] in ("agree", "nonfinite-agree")
