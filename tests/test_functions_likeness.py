"""Sums of equal terms, which err like their number, not its root: right functions are not called wrong."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.likeness import FEWEST, terms_alike
from crossgrad.networks.dtypes import find_dtype

SINGLE = find_dtype("float32")
SIZES = [100, 1000, 10_000, 100_000]


@pytest.mark.parametrize("count", SIZES)
def test_terms_that_differ_are_as_many_as_they_are(count: int) -> None:
    draw = np.random.default_rng(count)
    for terms in (draw.uniform(size=count), np.exp(draw.normal(size=count)), draw.uniform(-0.5, 1, count)):
        assert count <= terms_alike(terms, [0], SINGLE) < 10 * count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", SIZES[1:])
def test_of_equal_terms_each_adds_to_the_error(count: int, dtype: str) -> None:
    """From left to right; more than that of a library's blocks."""
    terms = np.full(count, 0.1, dtype)
    off = abs(float(terms.sum()) / (0.1 * count) - 1) / find_dtype(dtype).unit_roundoff
    assert terms_alike(np.full(count, 0.1), [0], find_dtype(dtype)) > max(10 * count, 4 * off**2)


def test_only_terms_of_one_sum_count() -> None:
    columns = np.tile(np.random.default_rng(0).uniform(size=300), (3000, 1))
    assert terms_alike(columns, [0], SINGLE) > 10 * 3000
    assert terms_alike(columns, [1], SINGLE) < 10 * 300
    assert terms_alike(columns[:FEWEST, :1], [1], SINGLE) == 1


def test_what_has_no_dimension_is_one_term() -> None:
    assert terms_alike(np.array(3.0), [0], SINGLE) == 1


def test_half_formats_are_added_up_in_float32() -> None:
    assert terms_alike(np.full(1000, 0.1), [0], find_dtype("bfloat16")) == 1000


def mean_of(b: Any, x: Any) -> Any:
    return (x + b).mean()


def by_hand(b: Any, x: Any) -> Any:
    z = x + b
    return z.mean(), np.full_like(z, 1 / z.size).sum(axis=0)


@pytest.mark.parametrize("count", [1000, 100_000])
def test_the_bias_of_a_mean(count: int) -> None:
    """Each sample's derivative is 1/n: as many equal terms as samples."""
    pytest.importorskip("torch")
    functions = [crossgrad.gradient(by_hand, "numpy", "numpy"), crossgrad.loss(mean_of, "torch", "torch")]
    args = np.zeros(3), np.random.default_rng(0).normal(size=(count, 3))
    report = crossgrad.compare_gradients(*functions, args=args, argnums=0, dtype="float32")
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_the_bias_of_a_convolution_of_images_on_a_flat_background() -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    draw = np.random.default_rng(0)
    x = np.zeros((32, 1, 28, 28), np.float32)
    x[:, 0, 10:18, 10:18] = draw.random((32, 8, 8))

    def ours(k: Any, b: Any, x: Any) -> Any:
        z = jax.lax.conv_general_dilated(x, k, (1, 1), "VALID") + b[:, None, None]
        return jax.numpy.tanh(z).mean()

    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda k, b, x: torch.tanh(torch.conv2d(x, k, b)).mean(), "torch", "torch"),
        crossgrad.loss(ours, "jax", "jax"),
        args=(draw.normal(size=(2, 1, 3, 3)), draw.normal(size=2), x),
        argnums=(0, 1),
        dtype="float32",
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


@pytest.mark.parametrize(("count", "factor"), [(1000, 1.0005), (10_000, 1.005), (100_000, 1.02)])
def test_that_hides_no_wrong_factor(count: int, factor: float) -> None:
    functions = [
        crossgrad.gradient(by_hand, "numpy", "right"),
        crossgrad.gradient(lambda b, x: (by_hand(b, x)[0], by_hand(b, x)[1] * factor), "numpy", "wrong"),
    ]
    args = np.zeros(3), np.random.default_rng(0).normal(size=(count, 3))
    report = crossgrad.compare_gradients(*functions, args=args, argnums=0, dtype="float32")
    assert [blame.function for blame in report.blames] == ["wrong"], str(report)
