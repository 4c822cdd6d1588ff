"""Tests of the tester: planted bugs must be rejected, by name of the quantity, and nothing else accused.

The engine ``faulty`` (``tests/faulty``) has a bug a variant; the candidates
below have the same bugs as plain functions. Both are run in this process;
``test_plugins.py`` runs the installed engine from end to end.
"""

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.backends import registry
from crossgrad.candidates import CandidateFunction
from crossgrad.cli.app import run
from crossgrad.compare import blame, compare_runs
from crossgrad.oracle import consult
from crossgrad.run import run_candidate

from .conftest import NATIVE, make_case

NETWORK = "4-4-4"
DERIVATIVES = {"da", "dz", "dW", "db"}
CONSEQUENCES = {"W_new", "b_new", "loss_new"}
"""What follows from a wrong derivative: with a small learning rate it may drown in rounding."""

BACKWARD_BUGS = {
    "zero": DERIVATIVES,
    "sign": DERIVATIVES,
    "half": DERIVATIVES,
    "no-batch-mean": DERIVATIVES,
    "transposed": {"dW"},
    "dropped-sample": {"dW", "db"},
}
"""By bug: the kinds of quantities that it makes wrong."""

DELIVERY_BUGS = {
    "nan": ("dW.1", "NaN or infinity"),
    "missing": ("db.1", "did not deliver it"),
    "wrong-shape": ("db.1", "gave shape (4, 1), expected (4,)"),
    "wrong-dtype": ("dW.1", "gave float16, expected float"),
}
"""By bug: the quantity that is handed over wrongly, and the reason that the report must give."""


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine ``faulty``, as if its package were installed."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "faulty")
    point = EntryPoint("faulty", "crossgrad_faulty:FaultyBackend", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])


def check_json(capsys, valid_report, *engines: str, dtype: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON report of ``crossgrad check 4-4-4``."""
    options = [part for engine in engines for part in ("-b", engine)]
    code = run(["check", NETWORK, *options, "--dtype", dtype, "--format", "json", "--no-isolate"])
    return code, valid_report(capsys.readouterr().out)


def wrong_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for case in report["cases"] for row in case["comparisons"] if row["verdict"] != "agree"]


def names_of(kinds: set[str]) -> set[str]:
    """Names of all quantities of these kinds."""
    return {quantity.name for quantity in make_case(NETWORK).quantities if quantity.kind in kinds}


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("dtype", NATIVE)
class TestFaultyEngine:
    def test_without_a_bug_is_accepted(self, capsys, valid_report, dtype: str) -> None:
        code, report = check_json(capsys, valid_report, "numpy", "faulty:none", dtype=dtype)
        assert (code, report["verdict"], wrong_rows(report)) == (0, "agree", [])

    @pytest.mark.parametrize("bug", BACKWARD_BUGS)
    def test_with_wrong_derivatives_is_rejected(self, capsys, valid_report, dtype: str, bug: str) -> None:
        code, report = check_json(capsys, valid_report, "numpy", f"faulty:{bug}", dtype=dtype)
        assert (code, report["verdict"]) == (1, "disagree")
        wrong = names_of(BACKWARD_BUGS[bug])
        accused = {row["quantity"] for row in wrong_rows(report)}
        assert wrong <= accused <= wrong | names_of(CONSEQUENCES)
        assert {row["backend"] for row in wrong_rows(report)} == {"faulty"}

    @pytest.mark.parametrize("bug", DELIVERY_BUGS)
    def test_with_a_spoilt_quantity_is_rejected(self, capsys, valid_report, dtype: str, bug: str) -> None:
        code, report = check_json(capsys, valid_report, "numpy", f"faulty:{bug}", dtype=dtype)
        assert (code, report["verdict"].removeprefix("nonfinite-")) == (1, "disagree")
        quantity, reason = DELIVERY_BUGS[bug]
        (row,) = wrong_rows(report)
        assert (row["quantity"], row["backend"]) == (quantity, "faulty")
        assert reason in row["reason"]

    @pytest.mark.parametrize("bug", [*BACKWARD_BUGS, *DELIVERY_BUGS])
    def test_with_a_bug_is_rejected_alone(self, capsys, valid_report, dtype: str, bug: str) -> None:
        """The oracle is enough: an engine needs no other beside it to be found wrong."""
        code, report = check_json(capsys, valid_report, f"faulty:{bug}", dtype=dtype)
        assert (code, report["verdict"].removeprefix("nonfinite-")) == (1, "disagree")

    def test_that_raises_costs_its_own_row(self, capsys, valid_report, dtype: str) -> None:
        engines = ("numpy", "faulty:none", "faulty:raises")
        code, report = check_json(capsys, valid_report, *engines, dtype=dtype)
        assert (code, report["verdict"], wrong_rows(report)) == (3, "failed", [])
        (case,) = report["cases"]
        *others, raised = [(row["variant"], row["status"], row["message"]) for row in case["runs"]]
        assert others == [("manual", "ok", None), ("none", "ok", None)]
        assert raised[:2] == ("raises", "failed")
        assert re.fullmatch(
            r"RuntimeError: planted failure \(at crossgrad_faulty\.py:\d+ in _raise\)", raised[2]
        )
        assert {row["variant"] for row in case["comparisons"]} == {"manual", "none"}

    def test_that_delivers_no_numbers_costs_its_own_row(self, capsys, valid_report, dtype: str) -> None:
        engines = ("numpy", "faulty:none", "faulty:text")
        code, report = check_json(capsys, valid_report, *engines, dtype=dtype)
        assert (code, report["verdict"], wrong_rows(report)) == (3, "failed", [])
        (case,) = report["cases"]
        assert "dW.1 has dtype <U" in case["runs"][-1]["message"]

    def test_a_gradient_missing_from_the_timed_core_is_missing(
        self, capsys, valid_report, dtype: str
    ) -> None:
        """What is checked is what is timed: the trace cannot stand in for the step."""
        code, report = check_json(capsys, valid_report, "numpy", "faulty:missing-in-step", dtype=dtype)
        assert code == 1
        assert {row["quantity"] for row in wrong_rows(report)} == {"db.1", "db.2"}

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_its_trace_shows_what_it_did_not_deliver(self, capsys, dtype: str, form: str) -> None:
        named = ["-b", "faulty:missing", "--dtype", dtype, "--format", form]
        code = run(["trace", NETWORK, *named, "--no-isolate"])
        shown = capsys.readouterr().out
        assert code == 3
        assert "not delivered" in shown if form == "text" else '"db.1"' not in shown

    def test_that_raises_does_not_hide_a_disagreement(self, capsys, valid_report, dtype: str) -> None:
        engines = ("numpy", "faulty:raises", "faulty:zero")
        code, _ = check_json(capsys, valid_report, *engines, dtype=dtype)
        assert code == 1


Gradients = list[tuple[Any, Any]]


def backprop(params, x, y) -> tuple[Any, Gradients]:
    """The right answer: sigmoid layers, mean squared error."""
    a = [x]
    for W, b in params:
        a.append(1 / (1 + np.exp(-(a[-1] @ W.T + b))))
    residual = a[-1] - y
    da = residual * (2 / y.size)
    gradients: Gradients = []
    for n, (W, _) in reversed(list(enumerate(params))):
        dz = da * a[n + 1] * (1 - a[n + 1])
        gradients.insert(0, (dz.T @ a[n], dz.sum(axis=0)))
        da = dz @ W
    return np.mean(residual**2), gradients


def with_gradients(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., Any]:
    """A candidate that computes rightly, then changes each layer's dW and db."""

    def candidate(params, x, y):
        loss, gradients = backprop(params, x, y)
        return loss, [change(dW, db) for dW, db in gradients]

    return candidate


def with_loss(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A candidate that computes rightly, then changes the loss."""

    def candidate(params, x, y):
        loss, gradients = backprop(params, x, y)
        return change(loss), gradients

    return candidate


def with_nan(dW, db):
    dW[-1, -1] = np.nan
    return dW, db


def dropped_sample(params, x, y):
    kept = len(x) - 1
    _, gradients = backprop(params, x[:kept], y[:kept])
    loss, _ = backprop(params, x, y)
    return loss, [(dW * (kept / len(x)), db * (kept / len(x))) for dW, db in gradients]


ALL = {"dW.1", "db.1", "dW.2", "db.2"}
CANDIDATE_BUGS: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "zero": (with_gradients(lambda dW, db: (0 * dW, 0 * db)), ALL),
    "sign": (with_gradients(lambda dW, db: (-dW, -db)), ALL),
    "half": (with_gradients(lambda dW, db: (dW / 2, db / 2)), ALL),
    "no-batch-mean": (with_gradients(lambda dW, db: (32 * dW, 32 * db)), ALL),
    "transposed": (with_gradients(lambda dW, db: (dW.T, db)), {"dW.1", "dW.2"}),
    "dropped-sample": (dropped_sample, ALL),
    "nan": (with_gradients(with_nan), {"dW.1", "dW.2"}),
    "infinite": (with_gradients(lambda dW, db: (dW, db + np.inf)), {"db.1", "db.2"}),
    "missing-db": (with_gradients(lambda dW, db: (dW, None)), {"db.1", "db.2"}),
    "column-db": (with_gradients(lambda dW, db: (dW, db[:, np.newaxis])), {"db.1", "db.2"}),
    "half-loss": (with_loss(lambda loss: loss / 2), {"loss"}),
    "loss-of-shape-1": (with_loss(lambda loss: np.array([loss])), {"loss"}),
}
"""By bug: the candidate, and the quantities that it gets wrong."""


def check(dtype: str = "float32", **candidates: Callable[..., Any]) -> crossgrad.Report:
    return crossgrad.check(NETWORK, backends=["numpy"], dtypes=[dtype], candidates=candidates)


@pytest.mark.parametrize("dtype", NATIVE)
def test_a_right_candidate_is_accepted(dtype: str) -> None:
    report = check(dtype, mine=backprop)
    report.raise_if_disagree()
    compared = [c.quantity for c in report.comparisons if c.engine.backend == "mine"]
    assert sorted(compared) == sorted(ALL | {"loss"})


def test_plain_lists_are_as_good_as_arrays() -> None:
    check("float64", mine=with_gradients(lambda dW, db: (dW.tolist(), list(db)))).raise_if_disagree()


@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("bug", CANDIDATE_BUGS)
def test_a_wrong_candidate_is_rejected_field_by_field(bug: str, dtype: str) -> None:
    candidate, wrong = CANDIDATE_BUGS[bug]
    report = check(dtype, mine=candidate)
    assert not report.ok
    assert {c.engine.backend for c in report.comparisons if c.verdict != "agree"} == {"mine"}
    with pytest.raises(crossgrad.GradientsDisagree) as caught:
        report.raise_if_disagree()
    first, blamed, *lines = str(caught.value).splitlines()
    assert first == f"verdict: {report.verdict}"
    assert blamed.startswith(f"{NETWORK} {dtype}: mine:candidate@cpu is wrong")
    assert ("; the error enters at " in blamed) == (bug not in ("missing-db", "column-db", "loss-of-shape-1"))
    named = [line.split(": ")[:3] for line in lines if " against oracle:arb: " in line]
    assert {name for _, name, _ in named} == wrong
    assert {title for title, _, _ in named} == {f"{NETWORK} {dtype}"}
    assert len(named) == len(wrong)


def test_the_message_shows_shapes_and_elements() -> None:
    report = check(mine=CANDIDATE_BUGS["column-db"][0], other=CANDIDATE_BUGS["nan"][0])
    with pytest.raises(crossgrad.GradientsDisagree) as caught:
        report.raise_if_disagree()
    message = str(caught.value)
    assert "db.1: mine:candidate@cpu against oracle:arb: mine:candidate@cpu gave shape (4, 1)" in message
    assert "dW.1: other:candidate@cpu against oracle:arb: 1 of 16 elements differ" in message
    assert "at [3, 3] got nan" in message


def raising(params, x, y):
    raise ZeroDivisionError("by design")


FAILING: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (raising, "ZeroDivisionError: by design"),
    "loss-only": (lambda params, x, y: backprop(params, x, y)[0], "expected a pair (loss, grads)"),
    "nothing": (lambda params, x, y: None, "returned a NoneType: expected a pair (loss, grads)"),
    "layers-missing": (
        lambda params, x, y: (0.0, backprop(params, x, y)[1][:1]),
        "expected a list of 2 pairs (dW, db), got a list of 1",
    ),
    "dictionary": (
        lambda params, x, y: (0.0, dict(enumerate(backprop(params, x, y)[1]))),
        "expected a list of 2 pairs (dW, db), got a dict",
    ),
    "not-pairs": (
        lambda params, x, y: (0.0, [dW for dW, _ in backprop(params, x, y)[1]]),
        "grads[0] is a ndarray: expected a pair (dW, db)",
    ),
    "ragged": (with_gradients(lambda dW, db: ([[1.0, 2.0], [3.0]], db)), "inhomogeneous shape"),
    "complex": (
        with_gradients(lambda dW, db: (dW + 0.5j, db)),
        "dW.1 has dtype complex",
    ),
    "text": (with_loss(str), "loss has dtype <U"),
    "no-loss": (with_loss(lambda loss: None), "the first of what it returned is a NoneType"),
    "gradients-alone": (
        lambda params, x, y: backprop(params, x, y)[1],
        "is a tuple of 2: expected (loss, grads)",
    ),
    "wrong-signature": (lambda params: None, "TypeError"),
}
"""By fault: the candidate, and what the report must say of it."""


@pytest.mark.parametrize("fault", FAILING)
def test_a_candidate_that_fails_costs_its_own_row(fault: str) -> None:
    candidate, reason = FAILING[fault]
    report = check(mine=candidate, right=backprop)
    assert (report.ok, report.verdict) == (False, "failed")
    (case,) = report.cases
    assert {run.engine.backend: run.status for run in case.runs} == {
        "numpy": "ok",
        "mine": "failed",
        "right": "ok",
    }
    assert {c.verdict for c in case.comparisons} == {"agree"}
    assert "mine" not in {c.engine.backend for c in case.comparisons}
    with pytest.raises(crossgrad.GradientsDisagree) as caught:
        report.raise_if_disagree()
    assert f"{NETWORK} float32: mine:candidate@cpu: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_candidate_that_writes_into_its_arguments_harms_nobody() -> None:
    def scribbler(params, x, y):
        found = backprop(params, x, y)
        for W, b in params:
            W[:], b[:] = np.nan, np.nan
        x[:], y[:] = np.nan, np.nan
        params.clear()
        return found

    rng = np.random.default_rng(0)
    params = [(rng.standard_normal((4, 4)), rng.standard_normal(4)) for _ in range(2)]
    batch = (rng.standard_normal((8, 4)), rng.random((8, 4)))
    before = [array.copy() for array in (*params[0], *params[1], *batch)]
    report = crossgrad.check(
        NETWORK,
        params=params,
        batch=batch,
        backends=["numpy"],
        dtypes=NATIVE,
        candidates={"scribbler": scribbler, "right": backprop},
    )
    report.raise_if_disagree()
    for array, original in zip((*params[0], *params[1], *batch), before, strict=True):
        np.testing.assert_array_equal(array, original)


def test_a_huge_gradient_is_rejected_without_a_warning() -> None:
    report = check("float64", mine=with_gradients(lambda dW, db: (dW - 1e308, db)))
    assert {c.quantity for c in report.comparisons if c.verdict == "disagree"} == {"dW.1", "dW.2"}


def test_nothing_compared_is_not_a_pass() -> None:
    """One engine and no oracle: the check could not fail."""
    report = crossgrad.check(NETWORK, backends=["numpy"], dtypes=["float64"], oracle="none")
    assert (report.ok, report.verdict) == (False, "failed")
    with pytest.raises(crossgrad.GradientsDisagree, match="nothing was compared"):
        report.raise_if_disagree()


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("bug", ["missing-db", "column-db", "transposed"])
def test_what_cannot_be_measured_is_told_without_a_judge_too(bug: str, first: bool) -> None:
    """Engines before each other: what one lacks is nothing that the other could be held to."""
    candidate, wrong = CANDIDATE_BUGS[bug]
    pair = [("mine", candidate), ("right", backprop)]
    case, runs = make_case("4-3-2", "float64"), []
    for name, function in pair if first else reversed(pair):
        runs.append(run_candidate(case, name, CandidateFunction(function)))
    comparisons = compare_runs(case, runs, consult(case, "none"))
    assert {c.quantity for c in comparisons if c.verdict == "disagree"} == wrong
    assert blame(case, runs, comparisons) == ()
