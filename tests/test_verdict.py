"""The verdict on one quantity, at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.networks.dtypes import find_dtype
from crossgrad.verdict import (
    AGREE,
    BLOCK,
    DISAGREE,
    ELEMENT_LIMIT,
    LEAST_BLOCK,
    NONFINITE_AGREE,
    NONFINITE_DISAGREE,
    TENSOR_LIMIT,
    UNDECIDABLE,
    Expectation,
    Outcomes,
    judge,
    over_floor,
)

FLOAT32 = find_dtype("float32")


def expectation(value: np.ndarray, sigma: float = 1e-3, **more) -> Expectation:
    return Expectation(np.asarray(value, float), np.full(np.shape(value), sigma), **more)


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.0, AGREE), (0.99, AGREE), (1.01, DISAGREE), (1e9, DISAGREE)]
)
def test_one_wrong_element(factor: float, verdict: str) -> None:
    value = np.linspace(1, 2, 100)
    got = value.copy()
    got[37] += factor * ELEMENT_LIMIT * 1e-3
    found = judge(got, expectation(value), FLOAT32)
    assert found.verdict == verdict
    assert not factor or (found.index, found.over_floor) == ((37,), pytest.approx(factor))


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, AGREE), (1.2, DISAGREE)])
def test_many_elements_a_little_wrong(factor: float, verdict: str) -> None:
    value = np.linspace(1, 2, 10_000)
    assert judge(value + factor * TENSOR_LIMIT * 1e-3, expectation(value), FLOAT32).verdict == verdict


@given(st.integers(1, 10**6))
def test_limits_meet_for_one_element_and_part_for_many(count: int) -> None:
    """The pooled limit never exceeds the single element's, and falls to its own."""
    uniform = over_floor(np.ones(count), np.ones(count))
    assert 1 / ELEMENT_LIMIT <= uniform <= 1 / TENSOR_LIMIT
    assert over_floor(np.array([ELEMENT_LIMIT]), np.ones(1)) == 1


def test_nan_is_never_within_a_limit() -> None:
    with np.errstate(invalid="ignore"):
        assert not over_floor(np.array([np.nan, 0.0]), np.ones(2)) <= 1


@pytest.mark.parametrize("sigma", [np.inf, np.nan])
def test_noise_that_cannot_be_told_decides_nothing(sigma: float) -> None:
    """In float64 the variances of huge numbers overflow: neither zeros nor the truth may pass for it."""
    value = np.ones(3)
    for got in (value, 0 * value, -7 * value):
        assert judge(got, expectation(value, sigma=sigma), FLOAT32).verdict == UNDECIDABLE


def test_noise_as_large_as_the_quantity_is_undecidable() -> None:
    value = np.full(50, 1e-3)
    for wrong in (0 * value, -value, value / 2.01, 2 * value):
        assert judge(wrong, expectation(value, sigma=1e-3), FLOAT32).verdict == UNDECIDABLE
    assert judge(1.1 * value, expectation(value, sigma=1e-3), FLOAT32).verdict == AGREE
    assert judge(value, expectation(value, sigma=1e-5), FLOAT32).verdict == AGREE
    assert judge(value + 1, expectation(value, sigma=1e-3), FLOAT32).verdict == DISAGREE


def test_zeros_never_agree() -> None:
    """The promise behind `agree`: a detached layer, all zero, does not get it, however loud the noise."""
    rng = np.random.default_rng(0)
    for sigma in 10.0 ** np.arange(-8, 4):
        value = rng.standard_normal(20)
        assert judge(0 * value, expectation(value, sigma), FLOAT32).verdict in (DISAGREE, UNDECIDABLE)


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, LEAST_BLOCK, 2 * BLOCK + 5])
def test_blocks_join(place: int) -> None:
    """A large quantity is judged in blocks: the worst element is found in any, the sums add up."""
    rng = np.random.default_rng(place)
    value, error = rng.standard_normal(2 * BLOCK + 6), rng.standard_normal(2 * BLOCK + 6)
    error[place], value[place] = 9.5, 100.0
    found = judge(value + 1e-3 * error, expectation(value), FLOAT32)
    assert (found.index, found.scale) == ((place,), 100.0)
    assert found.over_floor == pytest.approx(over_floor(error, np.ones_like(error)))
    assert found.max_abs_error == pytest.approx(9.5e-3)
    assert found.max_ulp == pytest.approx(np.max(np.abs(1e-3 * error) / FLOAT32.ulp(value)))


def test_true_zeros_agree() -> None:
    zeros = np.zeros(5)
    assert judge(zeros, expectation(zeros, 1e-30), FLOAT32).verdict == AGREE
    assert judge(zeros + 1e-20, expectation(zeros, 1e-30), FLOAT32).verdict == DISAGREE


def test_the_low_part_of_the_truth_counts() -> None:
    value, low = np.ones(1), np.array([2.0**-54])
    found = judge(value, Expectation(value, np.array([2.0**-53]), low), find_dtype("float64"))
    assert (found.max_abs_error, found.max_ulp) == (2.0**-54, 0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_what_the_dtype_makes(bad: float) -> None:
    value = np.array([1e6, 1.0, 2.0])
    stored, got = value.copy(), value.copy()
    got[0] = bad
    assert judge(got, expectation(value, stored=stored), FLOAT32).verdict == NONFINITE_DISAGREE
    stored[0] = bad
    assert judge(got, expectation(value, stored=stored), FLOAT32).verdict == NONFINITE_AGREE
    got[2] = 3.0
    found = judge(got, expectation(value, stored=stored), FLOAT32)
    assert (found.verdict, found.index) == (NONFINITE_DISAGREE, (2,))
    assert judge(value, expectation(value, stored=stored), FLOAT32).verdict == NONFINITE_DISAGREE


def test_infinities_of_other_signs_differ() -> None:
    value = np.array([1e6])
    found = judge(np.array([-np.inf]), expectation(value, stored=np.array([np.inf])), FLOAT32)
    assert found.verdict == NONFINITE_DISAGREE


ELEMENTS = {"number": 3.0, "other": 4.0, "+inf": np.inf, "-inf": -np.inf, "nan": np.nan}


@pytest.mark.parametrize(
    ("kinds", "known", "verdicts"),
    [
        # What may be, whether a number is the expected one, and the verdicts on the five of `ELEMENTS`.
        ({"finite"}, True, [AGREE, DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE]),
        ({"finite"}, False, [AGREE, UNDECIDABLE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE]),
        (
            {"finite", "plus"},
            True,
            [AGREE, NONFINITE_DISAGREE, UNDECIDABLE, NONFINITE_DISAGREE, NONFINITE_DISAGREE],
        ),
        ({"finite", "nan"}, False, [AGREE, UNDECIDABLE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, UNDECIDABLE]),
        (
            {"plus"},
            True,
            [NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_AGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE],
        ),
        (
            {"nan"},
            False,
            [NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_AGREE],
        ),
        (
            {"minus", "nan"},
            False,
            [NONFINITE_DISAGREE, NONFINITE_DISAGREE, NONFINITE_DISAGREE, UNDECIDABLE, UNDECIDABLE],
        ),
    ],
)
def test_what_is_not_finite_is_judged_by_what_may_be(
    kinds: set[str], known: bool, verdicts: list[str]
) -> None:
    masks = [np.array([kind in kinds]) for kind in ("finite", "plus", "minus", "nan")]
    expected = expectation(np.array([3.0]), outcomes=Outcomes(*masks, np.array([known])))
    got = [judge(np.array([element]), expected, FLOAT32).verdict for element in ELEMENTS.values()]
    assert got == verdicts


def test_an_error_too_small_to_divide_by_the_scale() -> None:
    value = np.array([1e150, 0.0])
    found = judge(np.array([1e150, 1e-200]), expectation(value, sigma=1.0), find_dtype("float64"))
    assert (found.verdict, found.digits) == (AGREE, 17.0)


def test_figures_beside_the_verdict() -> None:
    value = np.array([0.0, -2.0, 1.0])
    found = judge(value + [0, 2e-7, 0], expectation(value), FLOAT32)  # noqa: RUF005
    assert found.max_abs_error == pytest.approx(2e-7)
    assert found.digits == pytest.approx(7)
    assert (found.index, found.scale, found.expected) == ((1,), 2.0, -2.0)
