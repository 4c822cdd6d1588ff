"""Runs before the judge: what was not delivered, misshapen or overflown, and who is to blame."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.backends.base import Trace
from crossgrad.backends.numpy.engine import NumpyProgram
from crossgrad.backends.registry import load
from crossgrad.compare import blame, compare_runs
from crossgrad.engines import Engine, EngineId
from crossgrad.networks.dtypes import find_dtype
from crossgrad.oracle import consult
from crossgrad.run import OK, Run, run_engine
from crossgrad.verdict import AGREE, NONFINITE_AGREE, UNDECIDABLE, WRONG
from crossgrad.workers.wire import run_message
from crossgrad.workers.wire import run_of as run_read

from .conftest import make_case, run_trace


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_ulp_is_the_spacing_of_the_format(dtype: str, value: float) -> None:
    limit = float(np.finfo(dtype).max) / 2  # np.spacing itself overflows at the top
    stored = np.array(np.clip(value, -limit, limit)).astype(dtype)
    expected = np.spacing(np.abs(stored)).astype(np.float64)
    assert find_dtype(dtype).ulp(stored.astype(np.float64)) == expected


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
    found = compare_runs(case, [run_of(Trace(quantities))], consult(case))
    wrong = [c for c in found if c.verdict != AGREE]
    assert [c.quantity for c in wrong] == ["dW.1"]
    assert reason in str(wrong[0].judgement.reason)
    assert len(found) == len(case.quantities)


def test_a_shape_that_would_broadcast_disagrees() -> None:
    case = make_case("3-1", "float32", batch_size=4)
    trace = run_trace(case, "numpy", "manual")
    flat = Trace({**trace.quantities, "z.1": trace.quantities["z.1"].ravel()})
    found = compare_runs(case, [run_of(flat)], consult(case))
    assert [c.quantity for c in found if c.verdict != AGREE] == ["z.1"]


@pytest.mark.parametrize("oracle", ["arb", "wide", "none"])
def test_every_oracle_finds_the_wrong_one(oracle: str) -> None:
    """And without an oracle the two still differ, but nobody is blamed."""
    case = make_case("3-4-2", "float64")
    right = run_trace(case, "numpy", "manual")
    wrong = Trace({**right.quantities, "dW.2": right.quantities["dW.2"] * (1 + 1e-9)})
    runs = [run_of(right, "right"), run_of(wrong, "wrong")]
    found = compare_runs(case, runs, consult(case, oracle))
    assert {c.quantity for c in found if c.verdict in WRONG} == {"dW.2"}
    blamed = [(b.engine.backend, b.enters_at) for b in blame(case, runs, found)]
    assert blamed == ([] if oracle == "none" else [("wrong", "dW.2")])


@pytest.mark.parametrize(
    "quantity", ["z.1", "a.2", "loss", "da.2", "dz.1", "dW.2", "db.1", "W_new.1", "loss_new"]
)
def test_an_error_is_placed_where_it_enters(quantity: str) -> None:
    """A full trace in which one quantity is off and what follows from it is what that makes of it."""
    from crossgrad.place import replayed

    case = make_case("3-4-2", "float64")
    got = {k: np.asarray(v) for k, v in run_trace(case, "numpy", "manual").quantities.items()}
    names = [q.name for q in case.quantities]
    got[quantity] = got[quantity] * 1.5
    for name in names[names.index(quantity) + 1 :]:
        got[name] = replayed(case, got)[name].value
    runs = [run_of(Trace(got))]
    found = compare_runs(case, runs, consult(case, "arb"))
    assert [b.enters_at for b in blame(case, runs, found)] == [quantity]


@pytest.mark.parametrize(("share", "wrong"), [(0.5, set()), (0.9, {"da.1"}), (1.5, {"da.1"})])
def test_a_second_look_finds_what_hides_below_the_floor(share: float, wrong: set[str]) -> None:
    """One element of da.1 off by a share of what it inherits; everything after follows from it."""
    from crossgrad.place import replayed

    case = make_case("8-8-8", "bfloat16")
    names = [q.name for q in case.quantities]
    oracle = consult(case, "float64")
    got = {k: np.asarray(v, float) for k, v in run_trace(case, "numpy", "manual").quantities.items()}
    expected = oracle.expectations["da.1"]
    worst = np.unravel_index(np.argmax(expected.sigma), expected.sigma.shape)
    got["da.1"][worst] = expected.value[worst] + share * 10 * expected.sigma[worst]
    for name in names[names.index("da.1") + 1 :]:
        got[name] = replayed(case, got)[name].value
    stored = {name: array.astype(case.format.storage) for name, array in got.items()}
    found = compare_runs(case, [run_of(Trace(stored))], oracle)
    assert {c.quantity for c in found if c.verdict in WRONG} & {"da.1"} == wrong
    (reason,) = {c.judgement.reason for c in found if c.quantity == "da.1"}
    assert ("within the floor" in str(reason)) == (share == 0.9)


@pytest.mark.parametrize(("apart", "wrong"), [(set(), {"dW.2"}), ({"dW.2"}, set())], ids=["one", "apart"])
def test_a_second_look_leaves_out_what_was_made_of_other_values(apart: set[str], wrong: set[str]) -> None:
    """A gradient that is within the floor, but not what the trace's dz and a make."""
    case = make_case("8-8-8", "bfloat16")
    oracle = consult(case, "float64")
    got = {k: np.asarray(v, float) for k, v in run_trace(case, "numpy", "manual").quantities.items()}
    expected = oracle.expectations["dW.2"]
    shares = np.asarray(expected.sigma) / np.abs(expected.value)
    worst = np.unravel_index(np.argmax(shares), shares.shape)
    got["dW.2"][worst] = expected.value[worst] + 9 * expected.sigma[worst]
    stored = {name: array.astype(case.format.storage) for name, array in got.items()}
    run = replace(run_of(Trace(stored)), apart=frozenset(apart))
    found = compare_runs(case, [run], oracle)
    assert {c.quantity for c in found if c.verdict in WRONG} & {"dW.2"} == wrong


def test_what_the_timed_core_has_otherwise_is_told(tmp_path: Path) -> None:
    """Also by an engine in a process of its own."""

    class Reordered(NumpyProgram):
        def trace(self, values: Any) -> Trace:
            found = dict(super().trace(values).quantities)
            return Trace(found | {"dW.1": found["dW.1"] * (1 + 1e-15)})

    case = make_case("3-4-2", "float64")
    engine = Engine(EngineId("numpy", "manual", "cpu"), load("numpy"))
    run = run_engine(case, engine, prepare=lambda backend, case, variant, device: Reordered(case))
    assert run.apart == {"dW.1"}
    with open(tmp_path / "arrays", "w+b") as file:
        told = json.loads(json.dumps(run_message(run, file.fileno())))
        assert run_read(told, run.engine, file.fileno()).apart == {"dW.1"}
    assert run_engine(case, engine).apart == set()


def test_overflow_that_the_dtype_must_have_agrees() -> None:
    rng = np.random.default_rng(0)
    params = [(np.full((4, 3), 200.0), np.zeros(4)), (rng.standard_normal((2, 4)), np.zeros(2))]
    case = make_case("3-4-2", "float16", params=params, batch=(np.full((2, 3), 200.0), np.zeros((2, 2))))
    trace = run_trace(case, "numpy", "manual")
    assert np.isinf(trace.quantities["z.1"]).all()
    verdicts = {c.quantity: c.verdict for c in compare_runs(case, [run_of(trace)], consult(case))}
    assert verdicts["z.1"] == NONFINITE_AGREE
    assert verdicts["a.1"] == AGREE
    clipped = Trace({**trace.quantities, "z.1": np.full((2, 4), 65504, np.float16)})
    verdicts = {c.quantity: c.verdict for c in compare_runs(case, [run_of(clipped)], consult(case))}
    assert verdicts["z.1"] in WRONG


def test_gradients_below_the_dtype_are_undecidable_in_it() -> None:
    case = make_case("deep", "float16")
    trace = run_trace(case, "numpy", "manual")
    found = {c.quantity: c for c in compare_runs(case, [run_of(trace)], consult(case))}
    assert found["dW.12"].verdict == AGREE
    assert (found["dW.1"].verdict, found["dW.1"].judgement.decidable_in) == (UNDECIDABLE, "float32")


def test_the_dtype_that_would_decide_has_the_range_too() -> None:
    """Float16 has more bits than bfloat16, and no number as large as these weights."""
    rng = np.random.default_rng(5)
    params = [(rng.standard_normal((3, 4)) * 1e5, np.zeros(3)), (rng.standard_normal((2, 3)), np.zeros(2))]
    case = make_case("4-3-2", "bfloat16", params=params)
    found = compare_runs(case, [run_of(run_trace(case, "numpy", "manual"))], consult(case))
    assert UNDECIDABLE in {c.verdict for c in found}
    assert "float16" not in {c.judgement.decidable_in for c in found}
