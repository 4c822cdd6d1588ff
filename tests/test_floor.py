"""The rounding floor against the errors that correct arithmetic really makes."""

import numpy as np
import pytest

import crossgrad
from crossgrad.arithmetic import Uncertain
from crossgrad.floor import rounding_floor
from crossgrad.mutants import random_case
from crossgrad.networks.dtypes import find_dtype
from crossgrad.oracle import ORACLES, consult, require_oracle
from crossgrad.steps import Steps
from crossgrad.verdict import over_floor

from .conftest import HALF, NATIVE, make_case, run_trace

KINDS = ("z", "a", "da", "dz", "dW", "db", "W_new", "b_new")


def errors_over_sigma(case) -> dict[str, np.ndarray]:
    """Each quantity's error in NumPy's engine, in standard deviations of its floor."""
    floor, got = rounding_floor(case), run_trace(case, "numpy", "manual").quantities
    return {
        name: np.abs(np.asarray(got[name], float) - value) / floor.sigma[name]
        for name, value in floor.value.items()
    }


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_correct_runs_stay_below_half_of_the_limits(dtype: str, seed: int) -> None:
    for name, shares in errors_over_sigma(random_case(seed, dtype, small=True)).items():
        if np.isfinite(shares).all():
            assert over_floor(shares, np.ones_like(shares)) < 0.5, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_floor_is_noise_and_not_a_worst_case(kind: str) -> None:
    """Over many cases errors fill a fair part of sigma: a floor ten times too high would hide faults."""
    filled = [
        np.sqrt(np.mean(np.square(shares)))
        for seed in range(30)
        for name, shares in errors_over_sigma(random_case(seed, "float32", small=True)).items()
        if name.partition(".")[0] == kind and np.isfinite(shares).all()
    ]
    assert 0.1 < np.median(filled) < 1.2


@pytest.mark.parametrize("dtype", [*NATIVE, *HALF])
def test_sigma_scales_with_the_dtype(dtype: str) -> None:
    case = make_case("7-5-3", dtype)
    sigma = rounding_floor(case).sigma["W_new.1"].mean()
    assert 0.05 < sigma / find_dtype(dtype).unit_roundoff < 5


def test_values_are_the_float64_engines() -> None:
    case = make_case("7-5-3", "float64")
    expected = run_trace(case, "numpy", "manual").quantities
    for name, value in rounding_floor(case).value.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-13, atol=1e-300)


def test_samples_that_converge_share_their_errors() -> None:
    """The sum of B equal errors is B of them, not sqrt(B)."""
    same = make_case("7-5-3", "float32", batch=(np.full((64, 7), 0.3), np.full((64, 3), 0.9)))
    mixed = make_case("7-5-3", "float32", batch_size=64)
    ratio = {}
    for name, case in {"same": same, "mixed": mixed}.items():
        floor = rounding_floor(case)
        ratio[name] = np.median(floor.sigma["db.2"] / (64 * floor.sigma["dz.2"].mean(axis=0)))
    assert ratio["same"] > 0.9
    assert ratio["mixed"] < 0.4


def test_an_error_returns_to_its_own_derivative() -> None:
    """With targets at the outputs, da is all noise, and an error of a comes back through W and W again."""
    rng = np.random.default_rng(0)
    W, one = rng.standard_normal((500, 1)), np.ones((1, 1))
    case = make_case("1-1-500", "float64", params=[(one, np.zeros(1)), (W, np.zeros(500))], batch_size=1)
    steps = Steps(case)
    a = Uncertain(np.full((1, 1), 0.5), np.full((1, 1), 1e-20))
    bend, returned = steps.returning(np.ones((1, 500)), W, a)
    assert bend[0, 0] == pytest.approx(np.sum(W**2))
    assert np.sqrt(returned[0, 0]) == pytest.approx(np.sum(W**2) * 1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(4))
def test_oracles_agree_with_each_other(dtype: str, seed: int) -> None:
    pytest.importorskip("flint")
    case = random_case(seed, dtype, small=True)
    certified = consult(case, "arb")
    for name in {"wide", "float64"} - ({"float64"} if dtype == "float64" else set()):
        other = consult(case, name)
        for quantity, expected in certified.expectations.items():
            apart = np.abs(expected.value - other.expectations[quantity].value)
            assert (apart <= 0.01 * expected.sigma + 4e-16 * np.abs(expected.value)).all(), (name, quantity)


def test_auto_says_which_oracle_judged_and_prefers_certainty_where_cheap() -> None:
    pytest.importorskip("flint")
    assert consult(make_case("article", "float32")).name == "arb"
    assert consult(make_case("7-5-3", "float64")).name == "arb"
    assert consult(make_case("wide", "float32", batch_size=2)).name == "float64"
    assert consult(make_case("wide", "float64", batch_size=2)).name in ("arb", "wide")


def test_an_oracle_that_cannot_judge_is_refused_by_name() -> None:
    from crossgrad.networks.errors import InvalidInput

    with pytest.raises(InvalidInput, match="cannot judge float64"):
        require_oracle("float64", "float64")
    with pytest.raises(InvalidInput, match=r"delphi.*auto, arb, wide, float64, none"):
        require_oracle("delphi", "float32")
    for name in ORACLES:
        require_oracle(name, "float32")


def test_a_learning_rate_whose_square_overflows() -> None:
    floor = rounding_floor(make_case("3-2", "float64", learning_rate=1e200))
    assert np.isfinite(floor.value["W_new.1"]).all()
    assert not np.isfinite(floor.sigma["W_new.1"]).any()


@pytest.mark.parametrize("seed", [42, 73, 94])
def test_the_loss_after_a_long_step_is_right_though_its_units_are_saturated(seed: int) -> None:
    """The noise of the updated weights is larger than the range over which the activation bends."""
    random = np.random.default_rng(seed)
    parameters = [(random.normal(size=(1, 6)), random.normal(size=1))]
    batch = 30 * random.normal(size=(5, 6)), random.normal(size=(5, 1))
    report = crossgrad.check(
        "6-1", params=parameters, batch=batch, learning_rate=1000, dtypes=["float16"], backends=["numpy"]
    )
    assert report.ok, str(report)
