"""crossgrad's test of itself, in a reduced form: the full one is ``benchmarks/verdict.py``."""

import json
from dataclasses import replace
from math import inf, nan

import pytest

from crossgrad.cli.app import run
from crossgrad.engines import select_engines
from crossgrad.mutants import MUTANTS
from crossgrad.selftest import CorrectRun, Trial, selftest, share_with_interval, summary


@pytest.fixture(scope="module")
def tried() -> tuple[list[Trial], list[CorrectRun]]:
    engines = select_engines(["numpy"], ["cpu"]).engines
    return selftest(1, 40, ["float32", "float64"], engines)


def test_planted_faults_are_found_placed_and_named(tried) -> None:
    figures = summary(*tried)
    assert figures["missed"] == figures["false_alarms"] == []
    for dtype, found in figures["dtypes"].items():
        assert found["counted"] > 75, dtype
        assert found["detected"]["share"] == 1
        assert found["placed"]["share"] > 0.9
        assert found["recognised"]["share"] > 0.8


def test_what_does_not_count_is_computed(tried) -> None:
    trials, _ = tried
    assert any(not t.counts for t in trials)
    assert all(t.shift <= t.exact_shift for t in trials)


@pytest.mark.parametrize(
    ("exact_shift", "shift", "counts", "swallowed"),
    [
        (9.0, 9.0, True, False),
        (9.0, 1.0, False, True),
        (1.0, 0.5, False, False),
        (nan, nan, True, False),
        (inf, 0.0, False, True),
    ],
    ids=str,
)
def test_what_counts_moves_by_more_than_rounding_or_is_no_number(
    exact_shift: float, shift: float, counts: bool, swallowed: bool
) -> None:
    trial = Trial(1, "float32", "m", "backward", exact_shift, shift, detected=True)
    assert (trial.counts, trial.swallowed) == (counts, swallowed)


def test_a_missed_mutant_and_a_false_alarm_would_be_told() -> None:
    trial = Trial(1, "float32", "m", "backward", exact_shift=9.0, shift=9.0, detected=False)
    alarm = CorrectRun(2, "float32", "numpy", ("dW.1",), 0, 0, 9, 1.5)
    figures = summary([trial, replace(trial, shift=0.5)], [alarm])
    assert figures["missed"] == [{"mutant": "m", "dtype": "float32", "seed": 1, "shift": 9.0}]
    assert [a["wrong"] for a in figures["false_alarms"]] == [["dW.1"]]
    assert figures["dtypes"]["float32"]["detected"]["of"] == 1


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"), [(0, 100, 0, 0.037), (100, 100, 0.963, 1), (50, 100, 0.404, 0.596)]
)
def test_intervals(hits: int, total: int, low: float, high: float) -> None:
    """Wilson's, against published values (Brown, Cai, DasGupta 2001, and any table)."""
    share, least, most = share_with_interval(hits, total)
    assert share == hits / total
    assert (least, most) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_from_the_command_line(capsys) -> None:
    assert run(["selftest", "--cases", "1", "--dtype", "float32"]) == 0
    shown = capsys.readouterr().out
    assert "mutants that count and are detected" in shown
    always = [m.name for m in MUTANTS if m.name in ("loss-derivative-negated", "dW-zero", "update-ascends")]
    assert len(always) == 3
    assert [name for name in always if name not in shown] == []
    assert run(["selftest", "--cases", "1", "--dtype", "float32", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["missed"]) == ("crossgrad.selftest/1", [])
    assert document["dtypes"]["float32"]["correct_runs"] == 1  # NumPy's alone, as the help says
    run(["selftest", "-h"])
    assert "with commas. Default: numpy." in " ".join(capsys.readouterr().out.replace("│", "").split())


def test_bad_input(capsys) -> None:
    assert run(["selftest", "--dtype", "float33"]) == 2
    assert "float33" in capsys.readouterr().err


def test_a_wrong_dtype_is_found_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.selftest.random_case", lambda *_, **__: pytest.fail("a case was drawn"))
    assert run(["selftest", "--dtype", "float32", "--dtype", "float33"]) == 2
