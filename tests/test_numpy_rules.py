"""The hand-derived rules at their edges."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from crossgrad.backends.numpy.activations import sigmoid, sigmoid_backward
from crossgrad.backends.numpy.losses import LOSSES

from .conftest import load_or_skip, make_case


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_warns_nowhere(dtype: type) -> None:
    z = np.array([-np.inf, -1e4, -1000, -88, 0, 88, 1000, 1e4, np.inf], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a = sigmoid(z)
    assert a.dtype == dtype
    np.testing.assert_array_equal(a[[0, 1, 2, 4, 6, 7, 8]], np.array([0, 0, 0, 0.5, 1, 1, 1], dtype))


@pytest.mark.parametrize("z", ["-700", "-100", "-36.5", "-1", "-1e-8", "0.3", "5", "40"])
def test_sigmoid_has_full_relative_accuracy(z: str) -> None:
    with localcontext(prec=50):
        exact = 1 / (1 + (-Decimal(float(z))).exp())
        got = Decimal(float(sigmoid(np.array([float(z)]))[0]))
        assert abs(got / exact - 1) < Decimal(2) ** -51


def test_sigmoid_backward_is_the_derivative() -> None:
    z = np.linspace(-8, 8, 33)
    h = 1e-6
    slope = (sigmoid(z + h) - sigmoid(z - h)) / (2 * h)
    np.testing.assert_allclose(sigmoid_backward(np.full_like(z, 3.0), sigmoid(z)), 3 * slope, atol=1e-9)


def test_losses_differ_by_their_stated_factors() -> None:
    rng = np.random.default_rng(0)
    a, y = rng.random((4, 3)), rng.random((4, 3))
    total = float(np.sum((a - y) ** 2))
    values = {name: float(rule.value(a, y)) for name, rule in LOSSES.items()}
    assert values == pytest.approx({"mse": total / 12, "mse-sum": total, "half-mse": total / 8})
    mse, sums, half = (LOSSES[name].backward(a, y) for name in ("mse", "mse-sum", "half-mse"))
    np.testing.assert_allclose(sums, 12 * mse)
    np.testing.assert_allclose(sums, 8 * half)


@pytest.mark.parametrize("z", [[-3.0, 0.0, 2.0], [-1000.0, -90.0, 40.0], [np.nan, -1000.0, 1.0]], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rules_write_where_they_are_told_and_nowhere_else(z: list[float], dtype: type) -> None:
    """In place, as the engine calls them, they give the bits that they give in new arrays."""
    before, da = np.array(z, dtype), np.array([1.0, -2.0, 0.5], dtype)
    a = sigmoid(before)
    np.testing.assert_array_equal(before, np.array(z, dtype))
    dz = sigmoid_backward(da, a)
    np.testing.assert_array_equal(a, sigmoid(before))
    in_place, gradient = before.copy(), da.copy()
    assert sigmoid(in_place, in_place) is in_place
    np.testing.assert_array_equal(in_place, a)
    assert sigmoid_backward(gradient, in_place, gradient, in_place) is gradient
    np.testing.assert_array_equal(gradient, dz)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_write_where_they_are_told_and_nowhere_else(loss: str) -> None:
    rng = np.random.default_rng(0)
    a, y = rng.random((4, 3)), rng.random((4, 3))
    kept, rule, out = (a.copy(), y.copy()), LOSSES[loss], np.empty_like(a)
    value, da = rule.value(a, y), rule.backward(a, y)
    assert rule.value(a, y, out) == value
    assert rule.backward(a, y, out) is out
    np.testing.assert_array_equal(out, da)
    np.testing.assert_array_equal((a, y), kept)


def test_a_bias_in_long_rows_is_the_bias_of_each_sample() -> None:
    """Batches with and without a divisor that makes rows of a moderate length, and one element."""
    for widths, batch in (("3-4", 6), ("3-1000", 24), ("2-3000", 23), ("1-1", 1), ("2-9000", 2)):
        case = make_case(widths, "float64", batch_size=batch)
        program = load_or_skip("numpy").prepare(case, "manual", "cpu")
        ((W, b),) = case.parameters
        z = program.trace(program.put(case.parameters, case.batch)).quantities["z.1"]
        np.testing.assert_allclose(z, case.batch.x @ W.T + b, rtol=0, atol=1e-14)
