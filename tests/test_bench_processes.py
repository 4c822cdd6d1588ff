"""Several processes of each engine: what stays with a process is seen, and told from what is the engine's."""

import gc
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from crossgrad.backends.registry import load
from crossgrad.bench import runner
from crossgrad.bench.compare import compare
from crossgrad.bench.lanes import YARDSTICK, Contender, Lanes
from crossgrad.bench.paired import Paired, paired
from crossgrad.bench.phases import REPEATED
from crossgrad.bench.results import Results, Row, Settings
from crossgrad.bench.statistics import median, median_interval, middles_of, noise_notes, parts_of
from crossgrad.run import CRASHED, Run
from crossgrad.workers.held import Held
from crossgrad.workers.limits import Limits

from .conftest import make_case
from .test_bench import bench
from .test_bench_compare import yardstick

ABOUT: dict[str, Any] = {"network": "784-100-10", "batch_size": 32, "dtype": "float32"}
ENGINE: dict[str, Any] = {"backend": "numpy", "variant": "manual", "device": "cpu"}
TWICE = Settings(min_time=0.02, rounds=4, processes=2)
EACH = 9
"""Rounds of a simulated process."""


def row(processes: Sequence[Sequence[float]]) -> Row:
    middles = [median(rounds) for rounds in processes]
    low, high = median_interval(middles)
    samples = tuple(seconds for rounds in processes for seconds in rounds)
    told = {"median": median(middles), "low": low, "high": high, "samples": samples}
    return Row(**ABOUT, **ENGINE, **told, phase="step", rounds=len(samples), processes=len(processes))


def levels(*seconds: float) -> Row:
    """A process for each of these, quiet within."""
    return row([[level * (1 + 0.001 * (n % 3)) for n in range(EACH)] for level in seconds])


def ratio(one: Row, other: Row) -> Paired:
    found = paired(one, other)
    assert found is not None
    return found


@pytest.mark.parametrize(("count", "parts"), [(6, 3), (7, 3), (2, 5), (0, 5)])
def test_parts_are_even_and_lose_nothing(count: int, parts: int) -> None:
    samples = list(range(count))
    found = parts_of(samples, parts)
    assert [sample for part in found for sample in part] == samples
    assert len(found) == min(count, parts)
    assert max(map(len, found), default=0) - min(map(len, found), default=0) <= 1


def test_the_middle_is_that_of_processes_not_of_rounds() -> None:
    assert middles_of([1, 1, 9, 5, 5, 5, 3, 3, 4], 3) == [1, 5, 3]
    assert middles_of([1, 1, 9], 1) == [1, 1, 9]


def test_a_process_astray_does_not_decide() -> None:
    """One of five may disagree, whichever way it lies."""
    equal = levels(1, 1, 1, 1, 1)
    assert ratio(levels(1, 1.001, 0.999, 1, 1.09), equal).verdict() != "slower"
    assert ratio(levels(1.05, 1.04, 1.06, 1.05, 0.91), equal).verdict() == "slower"
    assert ratio(levels(1.05, 1.04, 1.06, 0.99, 0.91), equal).verdict() != "slower"
    assert ratio(levels(1.2, 1.01, 1.06, 1.3, 0.91), equal).verdict() == "unsure"


def test_between_engines_of_a_run_the_middle_process_tells() -> None:
    """And the interval that is shown is that of the processes' medians, with none left out."""
    found = ratio(levels(1, 1.01, 1.02, 1.03, 2), levels(1, 1, 1, 1, 1))
    assert found.ratio == pytest.approx(1.02)
    assert (found.low, found.high) == pytest.approx((1, 2))
    assert found.below < 1.1


def test_what_is_beyond_doubt_in_one_process_is_not_if_processes_differ() -> None:
    """One process alone, its rounds quiet, looks surely slower: that is the mistake."""
    assert ratio(levels(1.06), levels(1)).verdict() == "slower"
    assert ratio(levels(1.06, 1.06, 0.94), levels(1, 1, 1)).verdict() != "slower"


def test_engines_with_different_processes_are_not_paired() -> None:
    """As in a file that was put together: the rounds of one are others than those of the other."""
    assert paired(levels(1, 1), levels(1, 1, 1)) is None
    three = levels(1, 1, 1)
    assert paired(three, three.model_copy(update={"processes": 1})) is None


def test_processes_that_differ_are_told_and_no_drift_is_seen_in_them() -> None:
    (note,) = noise_notes([levels(1, 1.05, 1.25)])
    assert note.endswith(
        "its 3 processes differ by 24 %: ratios within rounds, with their intervals, tell more than times"
    )
    assert noise_notes([levels(1, 1, 1.06, 1.06)]) == []


def test_rows_refuse_rounds_that_no_processes_can_have() -> None:
    with pytest.raises(ValueError, match="2 processes cannot have 3 rounds"):
        Row(**ABOUT, **ENGINE, phase="step", median=1, rounds=3, processes=2, samples=(1, 1, 1))


def test_every_process_is_new_checked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    hold, renew, seconds = Lanes.hold, Lanes.renew, Lanes.seconds

    def noted_hold(self: Lanes, engine: Contender, *rest: Any) -> Any:
        order.append("hold")
        found = hold(self, engine, *rest)
        order.append(f"worker {engine.lane.places[0].worker.mark}")  # type: ignore[union-attr]
        return found

    def noted_renew(self: Lanes, engines: Any) -> None:
        order.append("renew")
        renew(self, engines)

    def noted_seconds(self: Lanes, engine: Contender, what: str, calls: int) -> float:
        if what == "step":
            order.append("step")
        return seconds(self, engine, what, calls)

    monkeypatch.setattr(Lanes, "hold", noted_hold)
    monkeypatch.setattr(Lanes, "renew", noted_renew)
    monkeypatch.setattr(Lanes, "seconds", noted_seconds)
    monkeypatch.setattr(runner._Measurement, "_call_seconds", lambda self, engine, what: 1e-6)
    found = bench("numpy", settings=TWICE)
    workers = [word for word in order if word.startswith("worker")]
    assert len(set(workers)) == 2
    assert [word for word in order if word not in workers] == (
        ["hold", "step", "step", "renew", "hold", "step", "step"]
    )
    assert {(one.rounds, one.processes) for one in found.rows if one.phase in REPEATED} == {(4, 2)}


def test_an_engine_that_fails_in_a_later_process_loses_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    right, held = Lanes.hold, Counter[str]()

    def hold(self: Lanes, engine: Contender, *rest: Any) -> Any:
        held[engine.id.backend] += 1
        if (engine.id.backend, held["torch"]) == ("torch", 2):
            return Run(engine.id, CRASHED, {}, None, "planted: gone", False), {}
        return right(self, engine, *rest)

    monkeypatch.setattr(Lanes, "hold", hold)
    found = bench("numpy", "torch", settings=TWICE, limits=Limits())
    assert [(p.backend, p.status, p.message) for p in found.problems] == [("torch", CRASHED, "planted: gone")]
    repeated = [one for one in found.rows if one.phase in REPEATED]
    assert {one.backend for one in repeated} == {"numpy"}
    assert {one.processes for one in repeated} == {2}
    assert [(kept.engine, kept.processes) for kept in found.yardsticks] == [("numpy:manual@cpu", 2)]
    compared = [change for change in compare(found, found).rows if change.backend == "numpy"]
    assert {change.ratio for change in compared if change.phase in REPEATED} == {1.0}


def test_what_a_framework_made_is_not_looked_through_before_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Collections during the rounds find next to nothing: a second of rounds would take ten otherwise."""
    looked_through: list[int] = []
    held = Held(load("numpy"), YARDSTICK, True, lambda phase: None)
    try:
        run, _ = held.begin(make_case("6-5-4", "float32"))
        monkeypatch.setattr(gc, "collect", lambda: looked_through.append(len(gc.get_objects())))
        held.seconds("step", 1)
    finally:
        gc.unfreeze()
    assert run.status == "ok"
    assert looked_through[0] < 1000 < len(gc.get_objects())


# Simulated machines, on which every process lies elsewhere in memory


class Machine:
    """Five processes a run; `place` is the logarithmic standard deviation of what stays with a process."""

    def __init__(self, place: float, astray: float, seed: int) -> None:
        self._place, self._astray, self._source = place, astray, random.Random(seed)

    def row(self, level: float, count: int = 5) -> Row:
        return row([self._rounds(level) for _ in range(count)])

    def _rounds(self, level: float) -> list[float]:
        draw = self._source.gauss
        place = draw(0, self._place)
        if self._source.random() < self._astray:
            place += self._source.choice([-0.09, 0.09])
        return [level * math.exp(place + draw(0, 0.005)) for _ in range(EACH)]


def slower_share(machine: Machine, level: float, processes: int, pairs: int = 800) -> float:
    """How often an engine that takes so many times as long is called slower."""
    rows = ((machine.row(level, processes), machine.row(1, processes)) for _ in range(pairs))
    return sum(ratio(*both).verdict() == "slower" for both in rows) / pairs


@pytest.mark.parametrize(
    ("place", "astray", "processes"),
    [
        pytest.param(0.005, 0.0, 5, id="as-quiet-as-measured"),
        pytest.param(0.01, 0.05, 10, id="some-astray-ten-processes"),
        pytest.param(0.02, 0.0, 10, id="busier-ten-processes"),
    ],
)
def test_five_percent_are_found_and_equal_engines_are_not_called_slower(
    place: float, astray: float, processes: int
) -> None:
    machine = Machine(place, astray, seed=1)
    assert slower_share(machine, 1, processes) <= 0.02
    assert slower_share(machine, 1.05, processes) >= 0.95


@pytest.mark.parametrize("place", [0.02, 0.05, 0.15])
@pytest.mark.parametrize(("processes", "share"), [(2, 0.02), (3, 0.02), (5, 0.03), (10, 0.05)])
def test_noise_between_processes_makes_nobody_slower(place: float, processes: int, share: float) -> None:
    """Nor do more of them: all but one above 1 would be a share of 0.19 of five."""
    assert slower_share(Machine(place, 0.0, seed=3), 1, processes, 1500) <= share


def test_one_process_alone_would_call_equal_engines_slower() -> None:
    """Which is why there are five."""
    assert slower_share(Machine(place=0.01, astray=0.05, seed=1), 1, 1) >= 0.05


@pytest.mark.parametrize("astray", [0.0, 0.1], ids=["none-astray", "some-astray"])
def test_between_runs_processes_widen_the_interval(astray: float) -> None:
    machine = Machine(place=0.02, astray=astray, seed=2)
    settings, environment = Settings(min_time=1), {"machine": "simulated"}

    def results(level: float) -> Results:
        rows = (machine.row(level),)
        steady = yardstick(engine="numpy")
        return Results(began="-", environment=environment, settings=settings, rows=rows, yardsticks=(steady,))

    def verdicts(level: float) -> Counter[str]:
        found = [compare(results(1), results(level)).rows[0].verdict for _ in range(1000)]
        return Counter(found)

    same = verdicts(1)
    assert same["slower"] + same["faster"] <= 0.01 * same.total()
    assert verdicts(1.2)["slower"] >= 0.95 * 1000
