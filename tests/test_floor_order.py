"""Right engines are not called wrong where terms come in an order, or weights are smooth; wrong ones are."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossgrad
from crossgrad import coherent
from crossgrad.floor import rounding_floor
from crossgrad.networks.dtypes import Array
from crossgrad.networks.parameters import DenseParameters
from crossgrad.partial_sums import MOST, parts, with_mean_square
from crossgrad.steps import Steps

from .conftest import NATIVE, make_case

ENGINES = ["numpy", "torch", "jax"]
Params = list[tuple[Array, Array]]


def report_of(network: str, params: Any, x: Array, y: Array, dtype: str, **options: Any) -> Any:
    for module in ("torch", "jax"):
        pytest.importorskip(module)
    given: dict[str, Any] = {
        "backends": ENGINES,
        "devices": ["cpu"],
        "oracle": "wide" if dtype == "float64" else "auto",
    }
    return crossgrad.check(network, params=params, batch=(x, y), dtypes=[dtype], **(given | options))


def drawn(network: str, draw: np.random.Generator) -> Params:
    widths = [int(width) for width in network.split("-")]
    return [(draw.normal(size=(o, i)) / np.sqrt(i), draw.normal(size=o)) for i, o in pairwise(widths)]


def over_a_line(draw: np.random.Generator) -> Array:
    return np.repeat(np.linspace(-1, 1, 4000)[:, None], 3, 1) * draw.uniform(0.5, 3, 3)


def sorted_by_each(draw: np.random.Generator) -> Array:
    return np.sort(draw.normal(size=(8000, 3)), 0)


def in_time(draw: np.random.Generator) -> Array:
    return np.cumsum(draw.normal(size=(8000, 3)) * 0.02, 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("samples", [over_a_line, sorted_by_each, in_time], ids=lambda f: f.__name__)
@pytest.mark.parametrize("target", [0.0, 0.5], ids=["zero", "linear"])
def test_samples_in_an_order(
    samples: Callable[[np.random.Generator], Array], target: float, dtype: str, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    x = samples(draw)
    report = report_of("3-5-2", drawn("3-5-2", draw), x, target * x[:, :2], dtype)
    assert report.ok, str(report)


def of_halves(draw: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Weights of one sign for half the inputs, and of the other for the rest, that are all about 1."""
    W = np.where(np.arange(count) < count / 2, 1, -1) * draw.uniform(0.5, 1, (16, 1))
    return W, draw.uniform(0.9, 1.1, (32, 1)) + 0.01 * draw.normal(size=(32, count))


def of_waves(draw: np.random.Generator, count: int) -> tuple[Array, Array]:
    t = 2 * np.pi * np.linspace(0, 1, count)
    return np.sin(t * draw.integers(1, 4, (16, 1))), 1 + np.cos(t * draw.integers(1, 4, (32, 1))) / 2


def of_steps(draw: np.random.Generator, count: int) -> tuple[Array, Array]:
    W = np.cumsum(draw.normal(size=(16, count)), 1) / np.sqrt(count)
    return W - W.mean(1, keepdims=True), np.cumsum(draw.normal(size=(32, count)), 1) / np.sqrt(count)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("count", [784, 5000])
@pytest.mark.parametrize("first", [of_halves, of_waves, of_steps], ids=lambda f: f.__name__)
def test_weights_and_inputs_that_are_smooth(
    first: Callable[[np.random.Generator, int], tuple[Array, Array]], count: int, dtype: str, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    W, x = first(draw, count)
    network = f"{count}-16-300-4"
    alike = np.sort(draw.normal(size=(300, 16)) / 4, 0), np.sort(draw.normal(size=(4, 300)) / 17, 1)
    params = [(one, draw.normal(size=len(one))) for one in (W / np.sqrt(count), *alike)]
    report = report_of(network, params, x, draw.uniform(size=(32, 4)), dtype)
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("factor", [1.01, 0.99])
def test_what_is_wrong_is_found_all_the_same(factor: float, dtype: str) -> None:
    """Of samples in time, whose gradients cancel."""

    def candidate(params: Any, x: Array, y: Array) -> Any:
        ((W, b),) = params
        a = 1 / (1 + np.exp(-(x @ W.T + b)))
        dz = 2 * (a - y) * a * (1 - a) / a.size
        return np.mean((a - y) ** 2), [(a.dtype.type(factor) * (dz.T @ x), dz.sum(axis=0))]

    draw = np.random.default_rng(1)
    x = in_time(draw)
    params, y = drawn("3-2", draw), 0.5 * x[:, :2]
    report = report_of("3-2", params, x, y, dtype, backends=["numpy"], candidates={"mine": candidate})
    assert [c.quantity for c in report.comparisons if c.verdict == "disagree"] == ["dW.1"]


@given(st.integers(1, 5000))
def test_parts_are_all_terms_in_order(count: int) -> None:
    found = parts(count)
    assert [n for part in found for n in range(count)[part]] == list(range(count))
    assert len(found) <= MOST


@pytest.mark.parametrize("count", [512, 1000, 5000])
def test_the_mean_square_is_that_of_all_partial_sums(count: int) -> None:
    """Of terms that change slowly."""
    terms = np.sin(np.linspace(0, 9, count))[:, None] * np.array([1.0, -3.0])
    total, squares = with_mean_square(count, lambda part: terms[part].sum(axis=0))
    np.testing.assert_allclose(total, terms.sum(axis=0), rtol=1e-9)
    assert squares is not None
    np.testing.assert_allclose(squares, np.mean(np.cumsum(terms, 0) ** 2, 0), rtol=0.1)


def test_few_terms_are_taken_to_grow_steadily() -> None:
    assert with_mean_square(20, lambda part: np.ones(3) * part.stop)[1] is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *NATIVE])
def test_errors_of_weights_that_are_drawn_do_not_add_up(dtype: str) -> None:
    """So that what is wrong by little is not called right when it is looked at again."""
    case = make_case("20-30-10", dtype, batch_size=40)
    floor = rounding_floor(case)
    for name, times in coherent.excess(case, floor).items():
        assert times.shape == floor.sigma[name].shape
        assert times.min() >= 1
        assert np.sqrt(np.mean(times**2)) < 1.2, name


def test_errors_of_weights_that_are_alike_add_up() -> None:
    """Of a hundred units with the same weights, a thousandth apart: one error comes back by all of them."""
    draw = np.random.default_rng(0)
    W = 0.3 + 0.001 * draw.normal(size=(100, 8))
    weights = draw.normal(size=(8, 5)), W, np.full((1, 100), 0.01)
    parameters = tuple(DenseParameters(one, np.zeros(len(one))) for one in weights)
    case = replace(make_case("5-8-100-1", "float64", batch_size=6), parameters=parameters)
    assert np.mean(coherent.excess(case, rounding_floor(case))["da.1"]) > 1.5


def test_what_is_followed_is_what_numbers_do() -> None:
    """The errors of a forward pass, and of the backward pass that they are in, beside differences."""
    case = make_case("5-6-4-3", "float64", batch_size=7)
    steps, floor = Steps(case), rounding_floor(case)
    errors = coherent._Errors(case, dict(floor.value))
    direction = np.random.default_rng(0).normal(size=(6, 5)) * 1e-7
    errors._sigma = {name: np.zeros_like(sigma) for name, sigma in errors._sigma.items()}
    errors._sigma["z.1"] = np.ones((7, 6))
    errors._own = lambda name: steps.x @ direction.T if name == "z.1" else np.zeros(errors._sigma[name].shape)
    found = errors.followed()
    first, *others = case.parameters
    moved = replace(case, parameters=(DenseParameters(first.W + direction, first.b), *others))
    there, back = rounding_floor(moved).value, floor.value
    for name in back.keys() - {"dW.1", "W_new.1", "loss_new"}:
        scale = np.abs(found[name]).max()
        np.testing.assert_allclose(there[name] - back[name], found[name], atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize(("factor", "size"), [(1.5, 36), (1.1, 33.5), (1.02, 31)])
def test_what_is_wrong_in_a_saturated_unit_is_not_noise(factor: float, size: float) -> None:
    """Of a logistic regression whose classes are far apart."""

    def candidate(params: Any, x: Array, y: Array) -> Any:
        ((W, b),) = params
        a = 1 / (1 + np.exp(-(x @ W.T + b)))
        dz = 2 * (a - y) * a * (1 - a) / a.size
        return np.mean((a - y) ** 2), [(factor * dz.T @ x, dz.sum(axis=0))]

    draw = np.random.default_rng(0)
    x, w = draw.normal(size=(64, 5)), draw.normal(size=(1, 5))
    w /= np.linalg.norm(w)
    y = (x @ w.T > 0) * 1.0
    x += np.sign(y - 0.5) * 3 * w
    params = [(w * size / 3.5, np.zeros(1))]
    report = report_of("5-1", params, x, y, "float64", backends=["numpy"], candidates={"mine": candidate})
    assert [c.quantity for c in report.comparisons if c.verdict == "disagree"] == ["dW.1"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [33, 64, 100, 127])
def test_few_inputs_of_both_signs(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    W, x = of_halves(draw, count)
    params = [
        (W / np.sqrt(count), draw.normal(size=16)),
        (draw.normal(size=(4, 16)) / 4, draw.normal(size=4)),
    ]
    report = report_of(f"{count}-16-4", params, x, draw.uniform(size=(32, 4)), "float64")
    assert report.ok, str(report)
