"""``benchmarks/honesty.py``: a run that lacks a round is counted, and costs no other."""

import importlib
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from .test_bench_compare import about, results, row

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
LACKING = about(1)[1:]


@pytest.fixture
def honesty(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("honesty")


def test_within_a_run(honesty: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter([about(1), LACKING, about(1.02)])

    def found(wanted: Namespace, *variants: str) -> Any:
        rounds = [about(1), next(runs), about(1.05)]
        return results(*(row(each, variant=name) for each, name in zip(rounds, variants, strict=True)))

    monkeypatch.setattr(honesty, "results", found)
    told = honesty.within_runs(Namespace(runs=3))
    assert told["same"] == {
        "runs": 3,
        "median_ratio": 1.01,
        "ratios": [1.0, 1.02],
        "verdicts": {"same": 2, "unsure": 1},
    }
    assert told["slower"]["verdicts"] == {"slower": 3}


def test_between_runs(honesty: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no round is left there is no ratio."""
    unknown = {"step": SimpleNamespace(ratio=None, verdict="unsure")}
    monkeypatch.setattr(honesty, "alone", lambda wanted, variant: None)
    monkeypatch.setattr(honesty, "compared", lambda one, other: dict(unknown))
    told = honesty.between_runs(Namespace(runs=1))
    lost = {"runs": 1, "median_ratio": None, "ratios": [], "verdicts": {"unsure": 1}}
    assert (told["same"], told["slower"]) == (lost, lost)


def test_the_empty_call_is_timed_once(honesty: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two figures of one measurement agree."""
    timed = iter([2e-7])
    monkeypatch.setattr(honesty, "empty_call_seconds", lambda: next(timed))
    monkeypatch.setattr(honesty, "within_runs", lambda wanted: {})
    monkeypatch.setattr(honesty, "between_runs", lambda wanted: {})
    monkeypatch.setattr(honesty, "command_of", lambda wanted: "")
    about_run = {"network": "3-2", "batch_size": 1, "rounds": 3, "processes": 1, "threads": 1, "min_time": 1}
    found = honesty.measured(Namespace(**about_run))
    assert (found["empty_call_ns"], found["share_of_100_us"]) == (200.0, 0.002)
