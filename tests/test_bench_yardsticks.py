"""The machine's own products, timed beside the engines: what two runs are held against each other by."""

import math
import random
from collections import Counter
from itertools import product
from statistics import variance

import pytest

from crossgrad import InvalidInput
from crossgrad.bench.compare import compare, comparison_text, parse_rule
from crossgrad.bench.lanes import Contender, Lanes
from crossgrad.bench.phases import PHASES
from crossgrad.bench.results import Limit, Results, read_results
from crossgrad.bench.statistics import median
from crossgrad.bench.text import results_text
from crossgrad.workers.limits import Limits
from crossgrad.workers.tasks import Ended

from .test_bench import QUICK, bench, paced, paced_folder  # noqa: F401 - fixtures
from .test_bench_compare import SECONDS, about, results, row, verdict, yardstick

ENGINES = [("numpy", "manual"), ("torch", "eager"), ("jax", "jit")]
NETWORKS = ["1-1-1", "784-100-10", "1024-1024-1024"]


@pytest.mark.usefixtures("paced")
def test_the_machines_own_products_are_kept_round_by_round() -> None:
    """One yardstick a framework and device, also of who was not asked for: comparisons divide by them."""
    found = bench("paced:right", "torch", "torch:func", limits=Limits())
    assert {row.backend for row in found.rows} == {"paced", "torch"}
    assert [kept.engine for kept in found.yardsticks] == ["torch:eager@cpu", "numpy:manual@cpu"]
    for kept in found.yardsticks:
        for rounds in (kept.forward, kept.step, kept.copied):
            assert len(rounds) == QUICK.rounds
            assert min(rounds) > 0
    (limit,) = found.limits
    assert limit.step == min(median(kept.step) for kept in found.yardsticks)
    assert read_results(found.to_json(), "itself").yardsticks == found.yardsticks


def test_products_that_fail_cost_a_yardstick_and_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Lanes.seconds

    def failing(self: Lanes, engine: Contender, what: str, calls: int) -> float:
        if (engine.id.backend, what) == ("torch", "products step"):
            raise Ended("failed", "RuntimeError: planted", with_it=False)
        return right(self, engine, what, calls)

    monkeypatch.setattr(Lanes, "seconds", failing)
    found = bench("torch", limits=Limits())
    assert not found.problems
    assert {row.phase for row in found.rows} == set(PHASES)
    assert [kept.engine for kept in found.yardsticks] == ["numpy:manual@cpu"]
    assert (
        "torch:eager@cpu at 6-5-4 (batch 3, float32): a yardstick less, as its bare products failed: "
        "products step: RuntimeError: planted"
    ) in found.notes


def test_the_limit_names_the_products_of_the_other_frameworks() -> None:
    """Of the same network and device alone, in the middle of processes: what is the matrix library's."""
    others = [
        yardstick(
            engine="torch",
            processes=3,
            step=(0.1, 0.1, 9.0, 5.0, 5.0, 5.0, 1.0, 1.0, 4.0),
            forward=(0.2,) * 9,
            copied=(1e-3,) * 9,
        ),
        yardstick(3, engine="jax", device="cuda"),
        yardstick(4, batch_size=1),
    ]
    here = {"network": "784-100-10", "batch_size": 32, "dtype": "float32", "device": "cpu"}
    limit = Limit(**here, products="numpy", forward=0.2, step=0.5, bandwidth=1e9)
    shown = results_text(results(row(), yardsticks=[yardstick(), *others], limits=(limit,)))
    assert "the products of a step take 500 ms by numpy (torch 1.00 s), of its forward pass 200 ms; " in shown
    faster = others[0].model_copy(update={"forward": (0.1,) * 9})
    limit = limit.model_copy(update={"forward": 0.1})
    shown = results_text(results(row(), yardsticks=[yardstick(), faster], limits=(limit,)))
    assert "500 ms by numpy (torch 1.00 s), of its forward pass 100 ms by torch; " in shown


def test_yardsticks_that_disagree_widen_the_interval() -> None:
    a = results(row(about(1)), yardsticks=[yardstick()])
    for other, expected in [
        (yardstick(), "slower"),
        (yardstick(forward=(0.25,) * 15), "unsure"),
        (yardstick(copied=(0.1,) * 15), "slower"),  # no product's like: of no weight for a step
    ]:
        assert verdict(a, results(row(about(1.1)), yardsticks=[other])) == expected


@pytest.mark.parametrize(
    ("phase", "like", "other"),
    [
        ("step", "step", "copied"),
        ("forward", "forward", "copied"),
        ("update", "copied", "forward"),
        ("transfer", "copied", "forward"),
    ],
)
def test_a_phase_is_held_against_its_like(phase: str, like: str, other: str) -> None:
    """What became slower beside it divides out, or is of no weight at all."""
    a = results(row(about(1), phase=phase), yardsticks=[yardstick()])
    alike, unlike = (
        results(row(about(1.3), phase=phase), yardsticks=[yardstick(**{kind: (1.3 * value,) * 15})])
        for kind, value in ((like, SECONDS[like]), (other, SECONDS[other]))
    )
    (beside_like,), (beside_other,) = compare(a, alike).rows, compare(a, unlike).rows
    assert beside_like.ratio == pytest.approx(1)
    assert beside_other.ratio == pytest.approx(1.3)
    assert beside_other.verdict == "slower"


def test_what_crosses_to_a_device_is_held_against_nothing_and_so_unsure() -> None:
    """Twice as long in seconds, in the quietest of rounds: it may be the machine."""
    a, b = (
        results(row(about(scale), phase="transfer", device="cuda"), row(about(1), device="cuda"))
        for scale in (1, 2)
    )
    found = compare(a, b, parse_rule("median>5%"))
    crossing, step = found.rows
    assert (crossing.verdict, crossing.ratio, crossing.seconds) == ("unsure", None, pytest.approx(2))
    assert (crossing.no_yardstick, step.no_yardstick) == (True, False)
    *_, told, last = comparison_text(found).splitlines()
    assert told.startswith("nothing tells what the machine changed by for transfer on cuda at 784-100-10 ")
    assert last.endswith("none is excluded for numpy:manual@cuda transfer of 784-100-10")
    with pytest.raises(
        InvalidInput, match="no row in common that it could be held to, with rounds of it and of"
    ):
        compare(a, b, parse_rule("transfer:median>5%"))


def test_a_framework_has_one_yardstick_whatever_the_variant() -> None:
    a = results(row(about(1)), yardsticks=[yardstick(engine="torch:eager@cpu")])
    b = results(row(about(1.3)), yardsticks=[yardstick(1.3, engine="torch:compile@cpu")])
    assert compare(a, b).rows[0].ratio == pytest.approx(1)


def test_it_is_said_where_nothing_tells_of_the_machine() -> None:
    rows = (row(about(1)), row(about(1), phase="update"), row([1.0], phase="import"))
    with_it, without = results(*rows), results(*rows, yardsticks=[])
    for pair in ((with_it, without), (without, with_it), (without, without)):
        found = compare(*pair)
        assert [change.verdict for change in found.rows] == ["unsure", "unsure", "once"]
        told = "nothing tells what the machine changed by for step, update on cpu at 784-100-10 (batch 32,"
        assert told in comparison_text(found)
    assert "nothing tells" not in comparison_text(compare(with_it, with_it))


def test_an_engine_whose_own_products_changed_is_not_the_machine() -> None:
    """A new version of torch makes its products slower: NumPy's step, as fast as before, is no faster."""
    before, after = [yardstick(), yardstick(engine="torch")], [yardstick(), yardstick(1.3, engine="torch")]
    a, b = results(row(about(1)), yardsticks=before), results(row(about(1)), yardsticks=after)
    assert verdict(a, b) == "unsure"


def moody(source: random.Random, planted: float, processes: int = 1) -> Results:
    """Rounds in which the machine took up to twice as long, and a yardstick in the same."""
    moods = [math.exp(source.gauss(0, 0.3)) for _ in range(15)]
    rounds = [planted * mood * own for mood, own in zip(moods, about(1), strict=True)]
    kinds = {"forward": 0.2, "step": 0.5, "copied": 1e-3}
    timed = {kind: tuple(value * mood for mood in moods) for kind, value in kinds.items()}
    return results(row(rounds), yardsticks=[yardstick(**timed, processes=processes)])


def test_what_a_round_had_in_common_divides_out() -> None:
    source = random.Random(4)
    for _ in range(20):
        (same,), (slower,) = (compare(moody(source, 1), moody(source, factor)).rows for factor in (1, 1.05))
        assert same.ratio == pytest.approx(1, abs=0.02)
        assert slower.ratio == pytest.approx(1.05, abs=0.02)
        assert slower.low > 1


def test_a_yardstick_that_lacks_rounds_counts_by_its_middle() -> None:
    """As in a file that was put together: the moods of its rounds are not those of the row's."""
    source = random.Random(5)
    widths = []
    for processes in (1, 3):
        (found,) = compare(moody(source, 1), moody(source, 1, processes)).rows
        widths.append(math.log(found.high / found.low))
    assert widths[1] > 5 * widths[0]


def test_a_round_is_divided_by_the_mean_of_the_yardsticks() -> None:
    """Both became slower, by 1.1 and 1.21: the engine, with 1.1 * sqrt(1.1), only as much."""
    a, b = (
        results(row(about(scale)), yardsticks=[yardstick(one), yardstick(other, engine="torch")])
        for scale, one, other in ((1, 1, 1), (1.1**1.5, 1.1, 1.21))
    )
    assert compare(a, b).rows[0].ratio == pytest.approx(1)


@pytest.mark.parametrize(("processes", "quantile"), [(2, 9.92), (3, 4.60), (5, 3.36), (10, 3.36)])
def test_fewer_processes_are_fewer_degrees_of_freedom(processes: int, quantile: float) -> None:
    """Two runs of n, v the variance of a process's logarithm: t(2n - 2) * sqrt(2 v / n)."""
    levels = [0.01 * number for number in range(processes)]
    a = results(row([math.exp(level) for level in levels for _ in range(3)], processes=processes))
    (found,) = compare(a, a).rows
    half = quantile * math.sqrt(2 * variance(levels) / processes)
    assert math.log(found.high / found.low) == pytest.approx(2 * half)


# Simulated machines


class Machine:
    """A machine whose processes have levels of their own, with moods that pass, and interruptions.

    Rounds are as many as a benchmark takes by default: 15 in one process, 12 in each of five.

    Parameters
    ----------
    noise, level
        Logarithmic standard deviations: of a round alone, and of what stays with a process, for each
        phase of an engine, and for all that a yardstick times.
    mood, common
        The same of what lasts about five rounds, and of a run, for everything in it.
    """

    def __init__(self, noise: float, level: float, mood: float, common: float, seed: int) -> None:
        self._noise, self._level, self._mood, self._common = noise, level, mood, common
        self._source = random.Random(seed)

    def run(self, planted: float = 0.0, processes: int = 1) -> Results:
        shift = self._source.gauss(0, self._common)
        rows, yardsticks = [], []
        for network in NETWORKS:
            moods = [self._moods(15 if processes == 1 else 12, shift) for _ in range(processes)]

            for (backend, variant), phase in product(ENGINES, ("forward", "step", "update")):
                about = {"network": network, "backend": backend, "variant": variant, "phase": phase}
                samples = self._rounds(moods, self._levels(processes), 1 + planted)
                rows.append(row(samples, processes=processes, **about))
            levels = self._levels(processes)
            kinds = {kind: self._rounds(moods, levels) for kind in ("forward", "step", "copied")}
            yardsticks.append(yardstick(network=network, processes=processes, **kinds))
        return results(*rows, yardsticks=yardsticks)

    def _moods(self, rounds: int, shift: float) -> list[float]:
        found = [self._source.gauss(0, self._mood)]
        while len(found) < rounds:
            found.append(0.8 * found[-1] + 0.6 * self._source.gauss(0, self._mood))
        return [shift + mood for mood in found]

    def _levels(self, processes: int) -> list[float]:
        return [self._source.gauss(0, self._level) for _ in range(processes)]

    def _rounds(
        self, moods: list[list[float]], levels: list[float], factor: float = 1.0
    ) -> tuple[float, ...]:
        """One thing in each process; an interruption only takes time."""
        draw, late = self._source.gauss, self._source.paretovariate
        return tuple(
            factor * math.exp(level + mood + draw(0, self._noise) + self._noise * late(2))
            for level, in_process in zip(levels, moods, strict=True)
            for mood in in_process
        )


QUIET = {"noise": 0.005, "level": 0.003, "mood": 0.002, "common": 0.005}
DRIFTING = {**QUIET, "common": 0.03}
BUSY = {"noise": 0.1, "level": 0.1, "mood": 0.1, "common": 0.2}
in_processes = pytest.mark.parametrize("processes", [1, 5], ids=["one-process", "five-processes"])


@in_processes
@pytest.mark.parametrize("machine", [QUIET, DRIFTING, BUSY], ids=["quiet", "drifting", "busy"])
def test_an_engine_against_itself_is_no_regression(machine: dict[str, float], processes: int) -> None:
    """Twenty times 27 rows: a 99 % interval leaves one in a hundred outside, on a busy machine alone.

    Two in a hundred where one process is all: that it is off by a tenth shows beside others only.
    """
    simulated = Machine(**machine, seed=1)
    verdicts: Counter[str] = Counter()
    regressions = 0
    for _ in range(20):
        runs = (simulated.run(processes=processes) for _ in range(2))
        found = compare(*runs, parse_rule("median>5%"))
        verdicts.update(change.verdict for change in found.rows)
        regressions += len(found.regressions)
        if machine is not BUSY:
            assert median([change.ratio for change in found.rows]) == pytest.approx(1, abs=0.02)
    assert machine is BUSY or regressions == 0
    assert verdicts["slower"] + verdicts["faster"] <= (0.02 if processes == 1 else 0.01) * verdicts.total()


@pytest.mark.parametrize(
    ("machine", "processes", "share"),
    [(QUIET, 5, 0.95), (QUIET, 1, 0.85), (DRIFTING, 5, 0.7), (DRIFTING, 1, 0.7)],
    ids=["quiet-five-processes", "quiet-one-process", "drifting-five-processes", "drifting-one-process"],
)
def test_a_planted_slowdown_of_five_percent_is_found(
    machine: dict[str, float], processes: int, share: float
) -> None:
    """In nineteen of twenty runs for each row, where a machine is quiet and five processes tell.

    Fifteen rounds in one process find it less often, and so does a machine that became faster by as
    much: what takes no longer in seconds is not called slower.
    """
    simulated = Machine(**machine, seed=2)
    pairs = [[simulated.run(planted, processes) for planted in (0, 0.05)] for _ in range(20)]
    found = [change.verdict for pair in pairs for change in compare(*pair).rows]
    assert found.count("slower") >= share * len(found)


def test_on_a_busy_machine_small_changes_are_unsure_and_large_ones_found() -> None:
    simulated = Machine(**BUSY, seed=3)
    small = Counter(change.verdict for change in compare(simulated.run(), simulated.run(0.05)).rows)
    assert small["unsure"] >= 20
    large = Counter(change.verdict for change in compare(simulated.run(), simulated.run(4)).rows)
    assert large["slower"] >= 20


# Libraries that change


def upgraded(changes: dict[str, str], cpu: str = "one") -> tuple[Results, Results]:
    """NumPy's step and products take thrice as long in B, as its library says; PyTorch's products do not."""
    known = {"version": "2.4", "blas": "openblas", "kernels": "SkylakeX"}
    others = {"version": "2.13", "blas": "mkl"}
    made = []
    for scale, numpy, name in ((1.0, known, "one"), (3.0, known | changes, cpu)):
        environment = {"cpu": name, "backends": {"numpy": numpy, "torch": others}}
        yardsticks = [yardstick(scale), yardstick(engine="torch:eager@cpu")]
        made.append(results(row(about(scale)), yardsticks=yardsticks, environment=environment))
    return made[0], made[1]


@pytest.mark.parametrize("changes", [{"version": "2.5"}, {"blas": "blis"}, {"kernels": "Katmai"}], ids=str)
def test_a_library_that_became_slower_is_no_slower_machine(changes: dict[str, str]) -> None:
    found = compare(*upgraded(changes), parse_rule("step:median>5%"))
    assert found.other_library == ("numpy",)
    assert [(one.verdict, one.regression) for one in found.rows] == [("slower", True)]
    assert found.rows[0].ratio == pytest.approx(3, rel=0.01)
    text = comparison_text(found)
    assert "not held against the bare products of numpy: their library, or its kernels, changed" in text
    assert "took" not in text.partition("not held")[2]


def test_what_only_one_of_two_runs_says_is_no_other_library() -> None:
    """As of a file that is older than the key, or where the package that tells it is missing."""
    a, b = upgraded({})
    less = {"version": "2.4", "blas": "openblas"}
    older = a.model_copy(update={"environment": {"cpu": "one", "backends": {"numpy": less}}})
    assert compare(older, b).other_library == ()


def test_kernels_of_another_machine_are_that_machines_own() -> None:
    found = compare(*upgraded({"kernels": "Haswell"}, cpu="another"))
    assert found.other_library == ()
    assert found.rows[0].verdict == "unsure"


def test_without_any_other_library_nothing_tells_of_the_machine() -> None:
    a, b = (one.model_copy(update={"yardsticks": one.yardsticks[:1]}) for one in upgraded({"version": "2.5"}))
    (found,) = compare(a, b).rows
    assert (found.verdict, found.no_yardstick) == ("unsure", True)
