"""The rule by which two tensors agree, at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.backends.base import Trace
from crossgrad.compare import AGREE, DISAGREE, REFERENCE, compare_runs, judge
from crossgrad.engines import EngineId
from crossgrad.networks.dtypes import DTYPES, find_dtype
from crossgrad.run import OK, Run

from .conftest import make_case, run_trace

FLOAT32 = find_dtype("float32")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["got", "expected", "both"])
def test_what_is_not_finite_never_agrees(bad: float, side: str) -> None:
    got, expected = np.ones((2, 3)), np.ones((2, 3))
    if side != "expected":
        got[1, 2] = bad
    if side != "got":
        expected[1, 2] = bad
    found = judge(got, expected, FLOAT32)
    assert (found.verdict, found.index) == (DISAGREE, (1, 2))
    assert "not finite" in str(found.reason)


@pytest.mark.parametrize("dtype", list(DTYPES.values()), ids=list(DTYPES))
def test_bound_is_sharp(dtype) -> None:
    expected = np.array([0.0, -2.0, 1.0])
    bound = judge(expected, expected, dtype).bound
    assert bound is not None
    assert bound <= 2 * np.sqrt(dtype.eps) + dtype.smallest_subnormal
    for factor, verdict in ((0.99, AGREE), (1.01, DISAGREE)):
        found = judge(expected + np.array([factor * bound, 0, 0]), expected, dtype)
        assert (found.verdict, found.index) == (verdict, (0,))
        assert found.bound_share == pytest.approx(factor)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 2.0])
def test_gross_faults_show_in_every_dtype(dtype: str, factor: float) -> None:
    expected = np.linspace(-1, 1, 12).reshape(3, 4)
    assert judge(factor * expected, expected, find_dtype(dtype)).verdict == DISAGREE


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_ulp_is_the_spacing_of_the_format(dtype: str, value: float) -> None:
    limit = float(np.finfo(dtype).max) / 2  # np.spacing itself overflows at the top
    stored = np.array(np.clip(value, -limit, limit)).astype(dtype)
    expected = np.spacing(np.abs(stored)).astype(np.float64)
    assert find_dtype(dtype).ulp(stored.astype(np.float64)) == expected


def test_max_ulp_is_counted_at_each_expected_element() -> None:
    expected = np.array([1.0, 1024.0])
    got = expected + np.array([3, 2]) * np.spacing(expected.astype(np.float32)).astype(float)
    found = judge(got, expected, FLOAT32)
    assert (found.max_ulp, found.index) == (3.0, (1,))


def test_a_tensor_that_underflows_may_be_off_by_one_subnormal() -> None:
    tiny = find_dtype("float16").smallest_subnormal
    assert judge(np.array([tiny]), np.array([0.6 * tiny]), find_dtype("float16")).verdict == AGREE
    assert judge(np.array([3 * tiny]), np.array([0.0]), find_dtype("float16")).verdict == DISAGREE


def run_of(trace: Trace, backend: str = "mine", partial: bool = False) -> Run:
    return Run(EngineId(backend, "candidate", "cpu"), OK, {}, trace, partial=partial)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda q: q.pop("dW.1"), "did not deliver"),
        (lambda q: q.update({"dW.1": q["dW.1"][:, :1]}), "shape"),
        (lambda q: q.update({"dW.1": q["dW.1"].astype(np.float64)}), "float64"),
    ],
    ids=["missing", "shape", "dtype"],
)
def test_a_quantity_that_cannot_be_measured_disagrees(change, reason: str) -> None:
    case = make_case("3-4-2", "float32")
    trace = run_trace(case, "numpy", "manual")
    quantities = dict(trace.quantities)
    change(quantities)
    found = compare_runs(case, [run_of(Trace(quantities))], trace)
    wrong = [c for c in found if c.verdict != AGREE]
    assert [c.quantity for c in wrong] == ["dW.1"]
    assert reason in str(wrong[0].judgement.reason)
    assert len(found) == len(case.quantities)


def test_a_shape_that_would_broadcast_disagrees() -> None:
    case = make_case("3-1", "float32", batch_size=4)
    trace = run_trace(case, "numpy", "manual")
    flat = Trace({**trace.quantities, "z.1": trace.quantities["z.1"].ravel()})
    found = compare_runs(case, [run_of(flat)], trace)
    assert [c.quantity for c in found if c.verdict != AGREE] == ["z.1"]


def test_numpy_in_float64_is_not_compared_with_itself() -> None:
    case = make_case("3-2", "float64")
    trace = run_trace(case, "numpy", "manual")
    assert compare_runs(case, [run_of(trace, "numpy")], trace) == []
    both = compare_runs(case, [run_of(trace, "numpy"), run_of(trace, "other")], trace)
    assert {(c.engine.backend, c.against == REFERENCE) for c in both} == {("other", True), ("numpy", False)}
