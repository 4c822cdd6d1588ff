"""Right engines are not called wrong where errors are alike: equal samples, equal units, saturated ones."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.networks.dtypes import Array
from crossgrad.steps import Steps
from crossgrad.verdict import WRONG

from .conftest import NATIVE, make_case

ENGINES = ["numpy", "torch"]
Batch = tuple[Array, Array]


def report_of(network: str, params: Any, batch: Batch, dtype: str, **options: Any) -> Any:
    pytest.importorskip("torch")
    return crossgrad.check(
        network, params=params, batch=batch, dtypes=[dtype], backends=ENGINES, devices=["cpu"], **options
    )


def drawn(network: str, seed: int) -> list[tuple[Array, Array]]:
    draw = np.random.default_rng(seed)
    widths = [int(width) for width in network.split("-")]
    return [(draw.normal(size=(o, i)) / np.sqrt(i), draw.normal(size=o)) for i, o in pairwise(widths)]


def xor(draw: np.random.Generator) -> Batch:
    x = draw.integers(0, 2, (4000, 2)) * 1.0
    return x, (x.sum(axis=1, keepdims=True) == 1) * 1.0


def one_sample(draw: np.random.Generator) -> Batch:
    return np.repeat(draw.normal(size=(1, 2)), 3000, 0), np.repeat(draw.uniform(size=(1, 1)), 3000, 0)


def one_hot(draw: np.random.Generator) -> Batch:
    return np.eye(2)[draw.integers(0, 2, 2000)], np.full((2000, 1), 0.5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("data", [xor, one_sample, one_hot], ids=lambda f: f.__name__)
def test_few_samples_many_times_each(
    data: Callable[[np.random.Generator], Batch], dtype: str, seed: int
) -> None:
    report = report_of("2-8-1", drawn("2-8-1", seed), data(np.random.default_rng(seed)), dtype)
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("weight", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("network", ["2-64-64-64-4", "784-4-3", "5-3-3-3-3-2"])
def test_constant_weights(network: str, weight: float, dtype: str) -> None:
    widths = [int(width) for width in network.split("-")]
    params = [(np.full((o, i), weight), np.full(o, weight)) for i, o in pairwise(widths)]
    for x in (np.random.default_rng(0).normal(size=(4, widths[0])), np.ones((4, widths[0]))):
        report = report_of(network, params, (x, np.zeros((4, widths[-1]))), dtype)
        assert report.ok, str(report)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bias", [-33.0, -66.0, -132.0, -264.0, -520.0])
def test_a_saturated_unit(bias: float, seed: int) -> None:
    """Its z lies just above a power of two, where half an ulp is the most beside it, and moves a by that."""
    draw = np.random.default_rng(seed)
    params = [
        (draw.normal(size=(1, 1)), np.array([bias + draw.uniform(0, 0.5)])),
        (np.array([[1.3]]), np.array([0.2])),
    ]
    batch = draw.uniform(0, 0.5, (1, 1)), np.array([[0.3]])
    report = report_of("1-1-1", params, batch, "float64", oracle="wide")
    assert report.ok, str(report)


@pytest.mark.parametrize("factor", [1.002, 0.998])
def test_a_gradient_that_is_off_is_found_all_the_same(factor: float) -> None:
    """Of four samples a thousand times each."""

    def candidate(params: Any, x: Array, y: Array) -> Any:
        ((W, b),) = params
        a = 1 / (1 + np.exp(-(x @ W.T + b)))
        dz = 2 * (a - y) * a * (1 - a) / a.size
        return np.mean((a - y) ** 2), [(np.float32(factor) * (dz.T @ x), dz.sum(axis=0))]

    report = report_of(
        "2-1",
        drawn("2-1", 0),
        xor(np.random.default_rng(0)),
        "float32",
        candidates={"mine": candidate},
    )
    wrong = {c.quantity for c in report.comparisons if c.verdict in WRONG}
    assert wrong == {"dW.1"}


def test_terms_that_are_alike_count_by_their_square() -> None:
    arithmetic = Steps(make_case("3-2", "float32")).arithmetic
    draw = np.random.default_rng(0)
    distinct, equal = draw.normal(size=100), np.full(100, 0.7)
    assert arithmetic.terms_alike(distinct) == 100
    assert arithmetic.terms_alike(equal) == 100**2
    assert arithmetic.terms_alike(np.repeat(distinct[:4], 25)) == 4 * 25**2
    assert arithmetic.terms_alike(equal, distinct) == 100
    assert arithmetic.terms_alike(equal * (1 + 1e-7 * distinct)) > 100**2 / 2
    assert arithmetic.terms_alike(np.zeros(100)) == 100
    assert arithmetic.terms_alike(1e-200 * distinct) == 100
    assert arithmetic.terms_alike(np.array([0.0])) == arithmetic.terms_alike(np.array([3.0])) == 1


@pytest.mark.parametrize("count", [1000, 10_000, 100_000])
def test_terms_that_differ_are_not_alike_by_chance(count: int) -> None:
    """Nor those that are small beside others, as the residuals of samples that are fitted."""
    arithmetic = Steps(make_case("3-2", "float32")).arithmetic
    draw = np.random.default_rng(0)
    terms = draw.normal(size=count)
    fitted = terms * np.where(draw.uniform(size=count) < 0.98, 1e-5, 1.0)
    for found in (terms, fitted, np.abs(terms)):
        assert count <= arithmetic.terms_alike(found) < 10 * count
