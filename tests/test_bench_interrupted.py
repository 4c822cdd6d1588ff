"""Ctrl-C within a network's measurement: its whole rounds are kept, checked, and told as a part."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crossgrad.bench import runner
from crossgrad.bench.lanes import Lanes
from crossgrad.bench.phases import REPEATED
from crossgrad.bench.results import Results, Settings
from crossgrad.bench.rows import whole_rounds
from crossgrad.bench.session import Session
from crossgrad.interrupts import Cancelled
from crossgrad.workers.held import PRODUCTS
from crossgrad.workers.limits import Limits

from .test_bench import item, paced, paced_folder  # noqa: F401 - fixtures

TWO = Settings(min_time=1e-6, rounds=8, processes=2)
ONE = Settings(min_time=1e-6, rounds=8, processes=1)
Interrupt = Callable[[pytest.MonkeyPatch], None]


def raised_in(owner: Any, name: str, call: int, kind: type[BaseException] = KeyboardInterrupt) -> Interrupt:
    """What raises an interruption in place of one call of a method."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        right, calls = getattr(owner, name), iter(range(1, 10**6))

        def interrupted(self: Any, *given: Any) -> Any:
            if next(calls) == call:
                raise kind
            return right(self, *given)

        monkeypatch.setattr(owner, name, interrupted)

    return plant


def bench(*backends: str, plan: int = 1, settings: Settings = TWO) -> tuple[Session, list[Results]]:
    """A session that must be interrupted, and what it told until then."""
    told: list[Results] = []
    with Lanes(backends, ["cpu"], Limits()) as lanes:
        session = Session([item()] * plan, lanes, settings)
        finished = map(told.append, session.run())
        with pytest.raises(KeyboardInterrupt):
            list(finished)
    return session, told


@pytest.fixture
def calls_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that calibration asks for no times: those asked for are of rounds."""
    monkeypatch.setattr(runner._Measurement, "_call_seconds", lambda self, engine, what: 1e-9)
    monkeypatch.setattr("crossgrad.bench.calibration.MOST_CALLS", 1)


A_ROUND = 2 * len(REPEATED) + len(PRODUCTS)
"""Times asked for: two engines, one with bare products."""


AT_THE_END = raised_in(Lanes, "release", 1)
"""When all that was planned is there."""


@pytest.mark.parametrize(
    ("interrupt", "rounds", "processes"),
    [
        (raised_in(Lanes, "seconds", 3 * A_ROUND + 1), 3, 1),
        (raised_in(Lanes, "seconds", 4 * A_ROUND - 1), 3, 1),
        (raised_in(Lanes, "again", 2), 4, 1),
        (raised_in(Lanes, "renew", 1), 4, 1),
        (raised_in(Lanes, "hold", 4), 4, 1),
        (raised_in(Lanes, "seconds", 7 * A_ROUND + 1), 4, 1),
        (raised_in(Lanes, "memory", 1), 8, 2),
        (raised_in(Lanes, "again", 4), 8, 2),
        (AT_THE_END, 8, 2),
    ],
    ids=[
        "a-round", "within-a-round", "checking", "renewing", "holding", "2nd-process", "weighing",
        "last-check", "releasing",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("calls_are_short", "paced")
def test_whole_rounds_are_kept(
    interrupt: Interrupt, rounds: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch)
    session, (told,) = bench("numpy", "paced:right", plan=2)
    found = session.results
    assert found.rows == told.rows
    timed = {(row.backend, row.phase): (row.rounds, row.processes) for row in found.rows if row.samples}
    wanted = [(name, phase) for name in ("numpy", "paced") for phase in REPEATED]
    assert timed == dict.fromkeys(wanted, (rounds, processes))
    assert [len(kept.step) for kept in found.yardsticks] == [rounds]
    told_so = f"6-5-4 (batch 3, float32): interrupted, with {rounds} of 8 rounds" in told.notes
    assert told_so == (interrupt is not AT_THE_END)
    assert found.problems == ()
    assert found.notes[-1] == session.missing
    assert session.missing == "not finished: 1 of 2 networks not measured, 6-5-4 broken off"


@pytest.mark.usefixtures("calls_are_short", "paced")
def test_few_rounds_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    raised_in(Lanes, "seconds", 3 * A_ROUND)(monkeypatch)
    session, told = bench("numpy", "paced:right")
    assert told == []
    assert session.results.rows == ()
    assert session.missing == "not finished: 1 of 1 network not measured"


@pytest.mark.usefixtures("calls_are_short", "paced")
def test_rounds_that_were_checked_are_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, which did not time them."""
    raised_in(Lanes, "seconds", 5 * A_ROUND)(monkeypatch)
    right, calls = Lanes.again, iter(range(10))

    def again(self: Any, engine: Any) -> Any:
        assert next(calls) < 2, "the first process of two engines was checked already"
        return right(self, engine)

    monkeypatch.setattr(Lanes, "again", again)
    session, _ = bench("numpy", "paced:right")
    assert {row.rounds for row in session.results.rows if row.samples} == {4}


@pytest.mark.usefixtures("calls_are_short", "paced")
def test_a_process_that_is_cancelled_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    raised_in(Lanes, "seconds", 3 * A_ROUND + 1, Cancelled)(monkeypatch)
    session, told = bench("numpy", "paced:right")
    assert (told, session.results.rows) == ([], ())


@pytest.mark.usefixtures("calls_are_short", "paced")
def test_interrupted_once_more_nothing_unchecked_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    raised_in(Lanes, "seconds", 3 * A_ROUND + 1)(monkeypatch)
    raised_in(Lanes, "again", 2)(monkeypatch)
    session, told = bench("numpy", "paced:right")
    assert (told, session.results.rows) == ([], ())


@pytest.mark.usefixtures("calls_are_short", "paced")
def test_what_has_become_wrong_meanwhile_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    raised_in(Lanes, "seconds", 7 * A_ROUND + 1)(monkeypatch)
    session, _ = bench("numpy", "paced:late-wrong", settings=ONE)
    assert {row.backend for row in session.results.rows} == {"numpy"}
    assert [problem.status for problem in session.results.problems] == ["mismatch"]
    assert session.missing == "not finished: 6-5-4 broken off"


def rounds_of(*counts: int) -> Iterator[list[float]]:
    yield from ([1.0] * count for count in counts)


@pytest.mark.parametrize(
    ("timed", "kept"),
    [
        ([], []),
        ([(2,)], []),
        ([(3,)], [3]),
        ([(5,), (4,)], [4]),
        ([(5,), ()], []),
        ([(6, 5), (6, 6)], [6]),
        ([(6, 6), (6, 6)], [6, 6]),
        ([(6, 0), (6,)], [6]),
        ([(2, 2), (2, 2)], [2, 2]),
        ([(2, 1), (2, 1)], []),
        ([(2, 2, 1), (2, 2, 2)], [2, 2]),
    ],
)
def test_only_rounds_that_all_have_are_whole(timed: list[tuple[int, ...]], kept: list[int]) -> None:
    assert whole_rounds([list(rounds_of(*counts)) for counts in timed]) == kept
