"""Reports: their JSON against the published schema, and that none can be taken for a pass by mistake."""

import json
import re
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.backends.base import Backend
from crossgrad.engines import select_engines
from crossgrad.findings import describe

from .conftest import DEFAULTS, load_or_skip


def zero_gradient(params, x, y):
    return 0.0, [(np.zeros_like(W), np.zeros_like(b)) for W, b in params]


def not_a_number(params, x, y):
    return np.nan, [(np.full_like(W, np.inf), np.full_like(b, -np.inf)) for W, b in params]


def test_agreement_of_all_engines(valid_report) -> None:
    for backend, _ in DEFAULTS:
        load_or_skip(backend)
    report = crossgrad.check("3-4-2", devices=["cpu"])
    document = valid_report(report.to_json())
    assert report.ok
    assert document["verdict"] == report.verdict == "agree"
    assert set(document["environment"]["backends"]) >= {"numpy", "torch", "jax"}
    assert {case["dtype"] for case in document["cases"]} == {"float32", "float64"}
    for case in document["cases"]:
        assert {c["quantity"] for c in case["comparisons"]} == {
            q.name for q in crossgrad.Network.from_widths("3-4-2").quantities(32)
        }


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(zero_gradient, "disagree"), (not_a_number, "nonfinite-disagree")]
)
def test_a_wrong_candidate_is_reported_field_by_field(valid_report, candidate, verdict: str) -> None:
    report = crossgrad.check(
        "3-4-2", backends=["numpy"], dtypes=["float32"], candidates={"mine": candidate}, batch_size=4
    )
    document = valid_report(report.to_json())
    assert (report.ok, document["verdict"]) == (False, verdict)
    with pytest.raises(crossgrad.GradientsDisagree) as caught:
        report.raise_if_disagree()
    for field in ("loss", "dW.1", "db.1", "dW.2", "db.2"):
        assert f"3-4-2 float32: {field}: mine:candidate@cpu against oracle:" in str(caught.value)


def test_another_named_loss_is_a_convention(valid_report) -> None:
    def summed(params, x, y):
        """Right gradients, of mse-sum."""
        ((W, b),) = params
        a = 1 / (1 + np.exp(-(x @ W.T + b)))
        dz = 2 * (a - y) * a * (1 - a)
        return np.sum((a - y) ** 2), [(dz.T @ x, dz.sum(axis=0))]

    report = crossgrad.check("5-3", backends=["numpy"], dtypes=["float64"], candidates={"mine": summed})
    assert (report.ok, valid_report(report.to_json())["verdict"]) == (False, "convention")
    with pytest.raises(crossgrad.GradientsDisagree, match=r"candidate@cpu computes another loss: .*mse-sum"):
        report.raise_if_disagree()
    assert crossgrad.check(
        "5-3", loss="mse-sum", backends=["numpy"], dtypes=["float64"], candidates={"mine": summed}
    ).ok


def test_infinities_are_words_in_json(valid_report) -> None:
    report = crossgrad.check("2-2", backends=["numpy"], dtypes=["float32"], candidates={"mine": not_a_number})
    values = {c["got"] for case in valid_report(report.to_json())["cases"] for c in case["comparisons"]}
    assert {"NaN", "Infinity", "-Infinity"} <= values


def test_a_number_without_dimensions_has_no_place() -> None:
    report = crossgrad.check(
        "3-2", backends=["numpy"], dtypes=["float64"], candidates={"mine": zero_gradient}
    )
    told = {c.quantity: describe(c) for c in report.comparisons if c.engine.backend == "mine"}
    assert "; got 0.0, expected 0." in told["loss"]
    assert re.search(r"; at \[\d, \d\] got 0\.0, expected ", told["dW.1"])


def test_a_candidate_that_raises_costs_its_own_row(valid_report) -> None:
    def broken(params, x, y):
        raise ZeroDivisionError("no idea")

    report = crossgrad.check("3-2", backends=["numpy"], dtypes=["float32"], candidates={"mine": broken})
    (case,) = valid_report(report.to_json())["cases"]
    assert [run["status"] for run in case["runs"]] == ["ok", "failed"]
    assert case["verdict"] == report.verdict == "failed"
    with pytest.raises(crossgrad.GradientsDisagree, match="ZeroDivisionError: no idea"):
        report.raise_if_disagree()


@pytest.mark.parametrize(("dtypes", "more"), [(1, ""), (2, ", and 3 more")], ids=["one", "four"])
def test_the_closing_line_counts_what_it_leaves_out(dtypes: int, more: str) -> None:
    def broken(params, x, y):
        raise RuntimeError("no gradient today")

    candidates = {"mine": broken} | ({} if dtypes == 1 else {"other": broken})
    report = crossgrad.check(
        "3-2", backends=["numpy"], dtypes=["float32", "float64"][:dtypes], candidates=candidates
    )
    closing = str(report).splitlines()[-1]
    assert "FAILED: 3-2 float32: mine:candidate@cpu: RuntimeError: no gradient today" in closing
    assert closing.partition(" [")[0].endswith(f"in broken){more}")


def test_comparing_nothing_is_no_pass(valid_report) -> None:
    report = crossgrad.check("3-2", backends=["numpy"], dtypes=["float64"], oracle="none")
    assert report.comparisons == ()
    assert valid_report(report.to_json())["verdict"] == "failed"
    with pytest.raises(crossgrad.GradientsDisagree, match="nothing was compared"):
        report.raise_if_disagree()


def test_an_engine_that_breaks_costs_its_own_row(valid_report, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Backend):
        name = "broken"
        variants = ("only",)

        def devices(self):
            return ("cpu",)

        def prepare(self, case, variant, device):
            raise MemoryError("pages\nof\nadvice")

    def with_broken(backends, devices):
        from dataclasses import replace

        from crossgrad.engines import Engine, EngineId

        selection = select_engines(backends, devices)
        broken = Engine(EngineId("broken", "only", "cpu"), Broken())
        return replace(selection, engines=(broken, *selection.engines))

    monkeypatch.setattr("crossgrad.execution.select_engines", with_broken)
    described = {"version": "0", "devices": ["cpu"]}
    monkeypatch.setattr("crossgrad.execution.describe", lambda backend: described)
    report = crossgrad.check("3-2", backends=["numpy"], dtypes=["float32"])
    (case,) = valid_report(report.to_json())["cases"]
    broken, right = case["runs"]
    assert (broken["status"], right["status"], right["message"]) == ("out-of-memory", "ok", None)
    assert broken["message"].startswith("MemoryError: pages (at test_report.py:")
    assert report.verdict == "failed"
    assert len(case["comparisons"]) == 10


def test_records_are_frozen() -> None:
    report = crossgrad.check("2-1", backends=["numpy"], dtypes=["float32"])
    with pytest.raises(FrozenInstanceError):
        report.cases[0].comparisons[0].judgement.verdict = "agree"  # type: ignore[misc]


def test_json_is_deterministic_but_for_times() -> None:
    def stripped(report: crossgrad.Report) -> object:
        document = json.loads(report.to_json())
        document.pop("seconds")
        for case in document["cases"]:
            for run in case["runs"]:
                run.pop("seconds")
        return document

    once, twice = (crossgrad.check("5-3", backends=["numpy"], dtypes=["float32"]) for _ in range(2))
    assert stripped(once) == stripped(twice)


def test_a_report_prints_as_the_command_line_does() -> None:
    def crashing(params: Any, x: Any, y: Any) -> Any:
        raise RuntimeError("by design")

    def wrong(params: Any, x: Any, y: Any) -> Any:
        return 0.0, [(0 * W, 0 * b) for W, b in params]

    report = crossgrad.check("2-1", backends=["numpy"], candidates={"wrong": wrong, "crashing": crashing})
    last = str(report).splitlines()[-1]
    assert repr(report) == str(report)  # what a notebook shows
    assert "crashing:candidate" in str(report)
    assert " DISAGREE, first " in last
    assert ", and crashing:candidate@cpu failed [" in last
