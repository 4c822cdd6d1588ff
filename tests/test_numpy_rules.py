"""The hand-derived rules at their edges."""

import math
from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest

from crossgrad.backends.numpy.activations import ACTIVATIONS, Sigmoid
from crossgrad.backends.numpy.losses import LOSSES
from crossgrad.networks.batches import Batch
from crossgrad.networks.parameters import DenseParameters

from .conftest import load_or_skip, make_case

sigmoid, sigmoid_backward = ACTIVATIONS["sigmoid"].forward, ACTIVATIONS["sigmoid"].backward


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_warns_nowhere(dtype: type) -> None:
    z = np.array([-np.inf, -1e4, -1000, -88, 0, 88, 1000, 1e4, np.inf], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a = sigmoid(z)
    assert a.dtype == dtype
    np.testing.assert_array_equal(a[[0, 1, 2, 4, 6, 7, 8]], np.array([0, 0, 0, 0.5, 1, 1, 1], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("low", [-1.0, -1000.0], ids=["safe", "overflows"])
def test_sigmoid_leaves_z_as_it_is_and_nan_where_it_was(low: float, dtype: type) -> None:
    z = np.array([np.nan, low, 1.0], dtype)
    kept = z.copy()
    np.testing.assert_array_equal(np.isnan(sigmoid(z)), [True, False, False])
    np.testing.assert_array_equal(z, kept)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_write_where_they_are_told_and_nowhere_else(dtype: type) -> None:
    """In place, as the engine calls them, they give the bits that they give in new arrays."""
    z, da = np.array([-3.0, 0.0, 2.0], dtype), np.array([1.0, -2.0, 0.5], dtype)
    a, dz = sigmoid(z), sigmoid_backward(da, sigmoid(z))
    np.testing.assert_array_equal(z, np.array([-3.0, 0.0, 2.0], dtype))
    kernel, in_place, gradient = Sigmoid(z.dtype), -z, da.copy()
    assert kernel.from_minus_z(in_place, in_place) is in_place
    np.testing.assert_array_equal(in_place, a)
    assert kernel.backward(gradient, in_place, gradient, in_place) is gradient
    np.testing.assert_array_equal(gradient, dz)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("z", [[-90.0, 1.0], [-1000.0, 40.0], [-3.0, 2.0]], ids=str)
def test_a_layer_whose_exponential_overflows_is_taken_again(z: list[float], dtype: str) -> None:
    """Step, forward and trace alike hold what the rule gives for any z, whatever the caller has set."""
    layer = DenseParameters(np.array(z)[:, np.newaxis], np.zeros(2))
    case = replace(
        make_case("1-2", dtype), parameters=(layer,), batch=Batch(np.ones((1, 1)), np.ones((1, 2)))
    )
    program = load_or_skip("numpy").prepare(case, "manual", "cpu")
    values = program.put(case.parameters, case.batch)
    with np.errstate(all="raise"):
        step = program.gradients(program.step(values))
        traced = program.trace(values).quantities
        loss = program.loss(program.forward(values))
    a = sigmoid(traced["z.1"].astype(np.promote_types(traced["z.1"].dtype, np.float32)))
    np.testing.assert_array_equal(traced["z.1"], np.array([z], traced["z.1"].dtype))
    np.testing.assert_array_equal(traced["a.1"], a.astype(traced["a.1"].dtype))
    np.testing.assert_array_equal(step["dW.1"], traced["dW.1"])
    assert loss == step["loss"] == traced["loss"]


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_write_where_they_are_told_and_nowhere_else(loss: str) -> None:
    rng = np.random.default_rng(0)
    a, y = rng.random((4, 3)), rng.random((4, 3))
    rule, r = LOSSES[loss], a - y
    kernel, kept = rule.kernel(a.shape, a.dtype), r.copy()
    assert kernel.value(r) == rule.value(a, y)
    np.testing.assert_array_equal(r, kept)
    assert kernel.backward(r, r) is r
    np.testing.assert_array_equal(r, rule.backward(a, y))


@pytest.mark.parametrize("shape", [(1, 1), (10, 10), (1031, 1), (1021, 10), (512, 2048)], ids=str)
def test_a_loss_is_summed_as_accurately_as_pairwise(shape: tuple[int, int]) -> None:
    """Ten losses of each size, errors in u."""
    errors, pairwise = [], []
    for seed in range(10):
        r = np.random.default_rng(seed).random(shape, np.float32)
        exact = math.fsum((r.astype(np.float64) ** 2).ravel())
        found = LOSSES["mse-sum"].kernel(shape, r.dtype).value(r)
        errors.append((float(found) / exact - 1) * 2**24)
        pairwise.append((float(np.sum(r * r)) / exact - 1) * 2**24)
    assert found.dtype == np.float32
    assert np.linalg.norm(errors) <= 1.5 * np.linalg.norm(pairwise) + 1.5


def test_a_bias_in_long_rows_is_the_bias_of_each_sample() -> None:
    """Batches with and without a divisor that makes rows of a moderate length, and one element."""
    for widths, batch in (("3-4", 6), ("3-1000", 24), ("2-3000", 23), ("1-1", 1), ("2-9000", 2)):
        case = make_case(widths, "float64", batch_size=batch)
        program = load_or_skip("numpy").prepare(case, "manual", "cpu")
        ((W, b),) = case.parameters
        z = program.trace(program.put(case.parameters, case.batch)).quantities["z.1"]
        np.testing.assert_allclose(z, case.batch.x @ W.T + b, rtol=0, atol=1e-14)
