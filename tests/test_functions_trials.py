"""The comparison of functions tests itself, in a reduced form of ``crossgrad selftest --functions``."""

import json
from dataclasses import replace
from functools import partial
from math import nan

import pytest

from crossgrad.cli.app import run
from crossgrad.functions.own_loss import differentiates_its_own_loss
from crossgrad.functions.trials import CorrectPair, FunctionTrial, summary, try_functions
from crossgrad.mutants import MUTANTS

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def tried() -> tuple[list[FunctionTrial], list[CorrectPair]]:
    float32 = try_functions(1, 40, ["float32"], mutants=MUTANTS[::5])
    float64 = try_functions(1, 40, ["float64"], mutants=MUTANTS[1::6])
    return float32[0] + float64[0], float32[1] + float64[1]


def test_planted_faults_are_found_and_blamed(tried) -> None:
    figures = summary(*tried)
    assert figures["missed"] == figures["false_alarms"] == []
    for dtype, found in figures["dtypes"].items():
        assert found["counted"] > {"float32": 12, "float64": 10}[dtype], dtype
        assert found["detected"]["share"] == 1
        assert found["blamed_of_two"]["share"] > 0.8
        beside_a_right_one = found["blamed_where_one_is_right"]
        assert beside_a_right_one["of"] - beside_a_right_one["hits"] <= 1  # 6 of 1,399 in functions.json
        assert found["wrongly_blamed_of_two"]["hits"] == 0
        assert found["blamed_of_more"]["share"] > 0.95


def test_what_does_not_count_is_computed(tried) -> None:
    trials, _ = tried
    assert any(not t.counts for t in trials)


@pytest.mark.parametrize(("shift", "counts"), [(0.5, False), (1.0, False), (1.01, True), (nan, True)])
def test_what_counts_moves_by_more_than_noise_or_is_no_number(shift: float, counts: bool) -> None:
    trial = FunctionTrial(
        1, "float32", "m", shift, detected=True, blamed=(), blamed_of_more=(), own_loss=False
    )
    assert trial.counts == counts


def test_mutants_right_for_a_loss_of_their_own_are_told_by_differences() -> None:
    found = {mutant.name for mutant in MUTANTS if differentiates_its_own_loss(mutant)}
    assert found == {"dropout-left-on", "inputs-scaled", "sample-replaced-by-another", "targets-shuffled"}


def test_a_missed_mutant_and_a_false_alarm_would_be_told() -> None:
    trial = FunctionTrial(
        1, "float32", "m", shift=9.0, detected=False, blamed=(), blamed_of_more=(), own_loss=False
    )
    pair = CorrectPair(2, "float32", ("a", "b"), ("W: a against b",), 9, 0, 1.5)
    figures = summary([trial, replace(trial, shift=0.5)], [pair])
    assert figures["missed"] == [{"mutant": "m", "dtype": "float32", "seed": 1, "shift": 9.0}]
    assert [alarm["wrong"] for alarm in figures["false_alarms"]] == [["W: a against b"]]
    assert figures["dtypes"]["float32"]["detected"]["of"] == 1


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(try_functions, mutants=MUTANTS[2::20])
    monkeypatch.setattr("crossgrad.functions.trials.try_functions", few)
    arguments = ["selftest", "--functions", "--cases", "1", "--seed", "3", "--dtype", "float64"]
    assert run([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "crossgrad.functions-selftest/1"
    assert 0 < document["dtypes"]["float64"]["mutants"] <= len(MUTANTS[2::20])
    assert document["environment"]["backends"]["torch"]["version"]
    assert run([*arguments, "--backend", "torch"]) == 2
    assert "--functions has its own functions to run" in capsys.readouterr().err
