"""What an engine does while it is timed costs its own rows, and what ends a benchmark no finished network."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from crossgrad.bench import session
from crossgrad.bench.lanes import Lanes
from crossgrad.bench.phases import PHASES, REPEATED
from crossgrad.bench.results import Settings, read_results
from crossgrad.bench.rows import repeated_row
from crossgrad.cli.app import run

from .test_bench import (  # noqa: F401 - fixtures
    QUICK,
    bench,
    fake_engine,
    item,
    paced,
    paced_folder,
    timed,
)


@pytest.mark.parametrize(
    ("variant", "status", "said"),
    [
        ("late-crash", "crashed", "SIGSEGV"),
        ("late-exit", "crashed", "exit 3"),
        ("late-hang", "timeout", "longer than 2 s"),
        ("late-failure", "failed", "ZeroDivisionError"),
        ("late-out-of-memory", "out-of-memory", "no memory left"),
    ],
)
@pytest.mark.usefixtures("paced")
def test_an_engine_that_fails_while_it_is_timed_loses_its_own_rows(
    variant: str, status: str, said: str
) -> None:
    found = bench("numpy", f"paced:{variant}")
    others = [row for row in found.rows if row.backend == "numpy" and row.phase in REPEATED]
    assert {row.phase: row.rounds for row in others} == dict.fromkeys(REPEATED, QUICK.rounds)
    left = [row.phase for row in found.rows if row.backend == "paced"]
    assert "step" not in left
    assert not left or variant in ("late-failure", "late-out-of-memory")  # a process that ended takes all
    assert found.problems[0].status == status
    assert said in found.problems[0].message
    assert {problem.backend for problem in found.problems} == {"paced"}


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("clock-nan", "gives nan for seconds: expected a number from 0 on"),
        ("clock-back", "gives -1.0 for seconds"),
        ("clock-words", "gives 'soon' for seconds"),
        ("clock-eons", "0 for seconds: expected a number from 0 on, below 2**63"),
        ("parts-back", "gives -1e-09 for seconds of 'trace'"),
        ("parts-words", "gives 'hit' for seconds of 'cache'"),
        ("less-than-nothing", "gives -5 for bytes"),
        ("beyond-count", "gives 9223372036854775808 for bytes"),
        ("copy-words", "gives 'much' for copied_bytes"),
        ("copy-back", "gives -4096 for copied_bytes"),
    ],
)
@pytest.mark.usefixtures("paced")
def test_a_program_whose_clock_or_memory_is_wrong_loses_its_own_rows(variant: str, said: str) -> None:
    found = bench("numpy", f"paced:{variant}")
    assert {row.phase for row in found.rows if row.backend == "numpy"} == set(PHASES)
    assert {problem.status for problem in found.problems} == {"protocol-error"}
    assert said in found.problems[0].message


@pytest.mark.usefixtures("paced")
def test_words_that_utf8_does_not_have_cost_no_result() -> None:
    found = read_results(bench("numpy", "paced:undecodable").to_json(), "here")
    assert {row.backend for row in found.rows} == {"numpy"}
    assert [problem.message for problem in found.problems] == [r"planted: no \udce9 here"]
    assert found.environment["backends"]["paced"]["libraries"] == [{"path": r"undecodable-\udce9.so"}]


@pytest.mark.usefixtures("paced")
def test_a_copy_that_takes_no_time_is_a_yardstick_less() -> None:
    found = bench("numpy", "paced:copy-at-once")
    assert {row.phase for row in found.rows if row.backend == "paced"} == set(PHASES)
    assert not found.problems
    assert [kept.engine for kept in found.yardsticks] == ["numpy:manual@cpu"]
    assert "paced:copy-at-once@cpu at 6-5-4 (batch 3, float32): a yardstick less" in "".join(found.notes)


@pytest.mark.usefixtures("paced")
def test_products_that_cannot_be_made_are_a_yardstick_less() -> None:
    found = bench("numpy", "paced:products-fail")
    assert not found.problems
    assert [kept.engine for kept in found.yardsticks] == ["numpy:manual@cpu"]
    assert [note for note in found.notes if "a yardstick less" in note] == [
        "paced:products-fail@cpu at 6-5-4 (batch 3, float32): a yardstick less, as its bare products failed: "
        "ArithmeticError: planted: no products"
    ]


@pytest.mark.parametrize("seconds", [0.0, 5e-324])
def test_a_row_of_no_time_has_no_rates(seconds: float) -> None:
    row = repeated_row(item(), fake_engine(), "step", timed(seconds), "agree", None, {})
    assert (row.median, row.gflops, row.gbps, row.limit_share) == (seconds, None, None, None)


@pytest.mark.parametrize(
    ("kills", "told"),
    [
        (0, ("crashed", "signal 9 (SIGKILL) in idle")),
        (1, ("out-of-memory", "the system ran out of memory, and killed it in idle")),
    ],
    ids=["by-somebody", "by-the-system"],
)
def test_a_death_between_two_turns_is_told_once_and_for_what_it_was(
    kills: int, told: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process, which holds nothing, is asked in its place."""
    seconds, asked, killed = Lanes.seconds, [], [0]
    monkeypatch.setattr("crossgrad.workers.worker.oom_kills", lambda: killed[0])

    def killing(self: Lanes, engine: Any, what: str, calls: int) -> float:
        asked.append(what)
        if what == "step" and asked.count(what) == 9:  # in the rounds, after calibration
            killed[0] += kills
            os.kill(engine.lane.places[0].worker.pid, signal.SIGKILL)
            time.sleep(0.5)
        return seconds(self, engine, what, calls)

    monkeypatch.setattr(Lanes, "seconds", killing)
    found = bench("numpy", settings=Settings(min_time=0.001, rounds=30, processes=1))
    assert [(p.status, p.message) for p in found.problems] == [told]
    assert found.rows == ()


def test_an_error_of_our_own_keeps_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = session.measure

    def breaking(item: Any, *more: Any) -> Any:
        if str(item.network) == "8-8":
            raise ZeroDivisionError("planted")
        return measure(item, *more)

    monkeypatch.setattr(session, "measure", breaking)
    file = tmp_path / "kept.json"
    quick = ["--min-time", "0.02", "--rounds", "3", "--processes", "1", "--format", "json", "-o", str(file)]
    assert run(["bench", "3-2", "8-8", "-b", "numpy", "-d", "cpu", *quick]) == 3
    said = capsys.readouterr().err
    assert "ended by an error of its own, not finished: 1 of 2 networks" in said
    assert "ZeroDivisionError: planted" in said
    assert {row.network for row in read_results(file.read_bytes(), "the file").rows} == {"3-2"}
