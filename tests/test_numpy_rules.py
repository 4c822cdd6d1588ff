"""The hand-derived rules at their edges."""

from decimal import Decimal, localcontext

import numpy as np
import pytest

from crossgrad.backends.numpy.activations import sigmoid, sigmoid_backward
from crossgrad.backends.numpy.losses import LOSSES


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
