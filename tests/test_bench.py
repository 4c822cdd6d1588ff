"""Timings are of gradients that were checked, are taken in turns, and are lost one engine at a time."""

import os
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossgrad.backends.registry import load
from crossgrad.bench import amount, runner
from crossgrad.bench.gate import hold_before, oracle_for
from crossgrad.bench.lanes import YARDSTICK, Lanes
from crossgrad.bench.phases import PHASES, REPEATED
from crossgrad.bench.plan import DEFAULT_DEPTH, Item, make_plan
from crossgrad.bench.results import Limit, Results, Settings, read_results
from crossgrad.bench.rows import Timing, limit_seconds, repeated_row, roofline
from crossgrad.bench.runner import require_rounds_within
from crossgrad.bench.schemas import published
from crossgrad.bench.session import Session
from crossgrad.engines import select_engines
from crossgrad.networks.catalogue import find_entry
from crossgrad.networks.errors import InvalidInput
from crossgrad.networks.work import forward_work, step_work, transfer_work, update_work
from crossgrad.oracle import consult
from crossgrad.run import run_engine
from crossgrad.workers.held import PRODUCTS
from crossgrad.workers.limits import Limits
from crossgrad.workers.tasks import Ended

from .conftest import make_case
from .test_plugins import add_distribution

PACED = Path(__file__).parent / "paced" / "crossgrad_paced.py"
QUICK = Settings(min_time=0.02, rounds=3, processes=1)
LIMITS = Limits(importing=60, compiling=20, running=2)


@pytest.fixture(scope="session")
def paced_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paced")
    places = {"paced": "crossgrad_paced:PacedBackend"}
    return add_distribution(folder, "crossgrad_paced", places, {"crossgrad_paced": PACED.read_text()})


@pytest.fixture
def paced(paced_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(paced_folder))


def item(network: str = "6-5-4", batch_size: int = 3, dtype: str = "float32") -> Item:
    return Item(find_entry(network), batch_size, dtype)


def bench(
    *backends: str, plan: tuple[Item, ...] = (), limits: Limits = LIMITS, settings: Settings = QUICK
) -> Results:
    with Lanes(backends, ["cpu"], limits) as lanes:
        session = Session(plan or (item(),), lanes, settings)
        for _ in session.run():
            pass
    return session.results


@pytest.mark.parametrize(("min_time", "rounds", "processes"), [(0.7, 9, 3), (1e-7, 3, 1)])
def test_rounds_and_processes_are_many_unless_calls_are_long(
    min_time: float, rounds: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossgrad.bench.runner.MANY", 9)
    monkeypatch.setattr("crossgrad.bench.runner.FEW", 3)
    monkeypatch.setattr(amount, "PROCESSES", 3)
    found = bench("numpy", settings=Settings(min_time=min_time))
    repeated = [row for row in found.rows if row.phase in REPEATED]
    assert {(row.rounds, row.processes, len(row.samples)) for row in repeated} == {
        (rounds, processes, rounds)
    }


@pytest.mark.parametrize(
    ("slow", "processes"),
    [
        (["paced step"], 3),
        (["numpy products step", "paced products copy"], 3),
        (["numpy update", "paced step"], 1),
        (["numpy update", "paced update"], 1),
    ],
)
def test_one_slow_engine_does_not_cost_the_others_their_processes(
    slow: list[str], processes: int, paced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do slow products; rounds are few, and as many of each engine, or they could not be paired."""
    monkeypatch.setattr(runner, "FEW", 9)
    monkeypatch.setattr(amount, "PROCESSES", 3)

    def call_seconds(self: Any, engine: Any, what: str) -> float:
        return 1.0 if f"{engine.id.backend} {what}" in slow else 1e-4

    monkeypatch.setattr(runner._Measurement, "_call_seconds", call_seconds)
    found = bench("numpy", "paced:right", settings=Settings(min_time=0.02))
    repeated = [row for row in found.rows if row.phase in REPEATED]
    assert {(row.rounds, row.processes) for row in repeated} == {(9, processes)}


def test_a_slow_engine_that_died_as_its_calls_were_counted_costs_the_others_no_rounds(
    paced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MANY", 9)
    monkeypatch.setattr(runner, "FEW", 3)

    def call_seconds(self: Any, engine: Any, what: str) -> float:
        if engine.id.backend == "paced" and what == "step":
            raise Ended("crashed", "planted")
        return 1.0 if engine.id.backend == "paced" else 1e-4

    monkeypatch.setattr(runner._Measurement, "_call_seconds", call_seconds)
    found = bench("numpy", "paced:right", settings=Settings(min_time=0.02))
    assert {(row.backend, row.rounds) for row in found.rows if row.phase in REPEATED} == {("numpy", 9)}


@pytest.mark.parametrize(
    ("rounds", "processes", "said"),
    [
        (3, None, "round 3 of 3"),
        (5, None, "round 5 of 5"),
        (8, None, "round 8 of 8"),
        (9, None, "process 3 of 3, round 3 of 3"),
        (15, None, "process 5 of 5, round 3 of 3"),
        (100, None, "process 5 of 5, round 20 of 20"),
        (7, 5, "process 5 of 5, round 2 of 2"),
    ],
)
def test_a_process_has_three_rounds_and_two_others_at_least(
    rounds: int, processes: int | None, said: str
) -> None:
    """Unless more processes are asked for; and each as many as the others, so that there may be more."""
    words: list[str] = []
    nobody: Any = SimpleNamespace(engines=(), renew=lambda engines: None)
    runner.measure(item(), nobody, Settings(min_time=1, rounds=rounds, processes=processes), words.append)
    assert words[-1] == said


@pytest.mark.parametrize("dtype", [pytest.param("float64", marks=pytest.mark.slow), "bfloat16"])
def test_every_phase_of_every_engine_is_timed(dtype: str) -> None:
    found = bench("numpy", "torch", "jax", plan=(item(dtype=dtype),), limits=Limits())
    assert not found.problems
    assert [row.phase for row in found.rows] == list(PHASES) * 3
    (limit,) = found.limits
    for row in found.rows:
        assert row.verdict in ("agree", "undecidable")
        assert row.median > 0
        if row.phase not in REPEATED:
            continue
        assert row.rounds == len(row.samples) == QUICK.rounds
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.median <= row.high
        least = limit_seconds(row.phase, limit)
        assert (least is None) == (row.phase in ("update", "transfer"))
        assert row.limit_share == (None if least is None else pytest.approx(least / row.median))
        assert (row.gflops is None) == (row.phase == "transfer")


@pytest.mark.parametrize("variant", ["wrong-step", "wrong-forward", "wrong-update"])
def test_a_wrong_engine_is_reported_and_not_timed(paced: None, variant: str) -> None:
    found = bench("numpy", f"paced:{variant}")
    assert {row.backend for row in found.rows} == {"numpy"}
    (problem,) = found.problems
    assert (problem.backend, problem.status) == ("paced", "mismatch")
    assert {"wrong-step": "dW.1", "wrong-forward": "forward gives", "wrong-update": "W_new.1"}[
        variant
    ] in problem.message


@pytest.mark.parametrize("processes", [1, 3])
def test_an_engine_that_goes_wrong_while_it_is_timed_is_reported(paced: None, processes: int) -> None:
    settings = Settings(min_time=0.02, rounds=9, processes=processes)
    found = bench("numpy", "paced:late-wrong", settings=settings)
    assert {row.backend for row in found.rows} == {"numpy"}
    (problem,) = found.problems
    assert (problem.backend, problem.status) == ("paced", "mismatch")
    assert problem.message.startswith("right before it was timed, wrong after that: dW.1 wrong")


def test_an_engine_that_cannot_be_weighed_is_checked_again_too(
    paced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(self: Lanes, engine: Any) -> Any:
        raise Ended("out-of-memory", "planted", with_it=False)

    monkeypatch.setattr(Lanes, "memory", no_memory)
    found = bench("paced:late-wrong")
    assert found.rows == ()
    assert {problem.status for problem in found.problems} == {"mismatch", "out-of-memory"}


@pytest.mark.parametrize("with_it", [False, True], ids=["it-lives", "its-process-ended"])
def test_a_step_whose_memory_cannot_be_read_keeps_its_time(
    with_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its process has ended: then nothing can be checked again."""

    def no_memory(self: Lanes, engine: Any) -> Any:
        raise Ended("out-of-memory", "planted", with_it=with_it)

    monkeypatch.setattr(Lanes, "memory", no_memory)
    found = bench("numpy")
    timed = {row.phase: row.memory for row in found.rows if row.phase in REPEATED}
    assert timed == ({} if with_it else dict.fromkeys(REPEATED))
    (problem,) = found.problems
    assert (problem.phase, problem.status, problem.message) == (
        None, "out-of-memory", "memory of a step: planted",
    )  # fmt: skip


@pytest.mark.parametrize(("min_time", "rounds", "fits"), [(9, 3, False), (9, 9, True), (15, None, True)])
def test_no_round_is_so_long_that_it_counts_as_hung(min_time: float, rounds: int | None, fits: bool) -> None:
    settings = Settings(min_time=min_time, rounds=rounds)
    if fits:
        require_rounds_within(2.0, settings)
        return
    with pytest.raises(InvalidInput, match=r"9 s in 3 rounds: .* --rounds 9, or a longer --timeout"):
        require_rounds_within(2.0, settings)


def test_after_a_crash_the_next_network_is_measured_again(paced: None) -> None:
    plan = (item("3-2"), item("4-2"))
    found = bench("paced:late-crash", plan=plan)
    assert [(p.network, p.status) for p in found.problems] == [("3-2", "crashed"), ("4-2", "crashed")]


def test_rounds_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A B, B A, B A, ...: see `turn_order`."""
    order: list[tuple[str, str]] = []
    right = Lanes.seconds

    def noted(self: Lanes, engine: Any, what: str, calls: int) -> float:
        order.append((engine.id.backend, what))
        return right(self, engine, what, calls)

    monkeypatch.setattr(Lanes, "seconds", noted)
    monkeypatch.setattr(runner._Measurement, "_call_seconds", lambda self, engine, what: 1e-3)
    bench("numpy", "torch")
    steps = [backend for backend, what in order if what == "step"]
    assert steps == ["numpy", "torch", "torch", "numpy", "torch", "numpy"]


def test_the_yardstick_is_there() -> None:
    with Lanes(["torch"], ["cpu"], LIMITS) as lanes:
        assert [(engine.id, engine.asked_for) for engine in lanes.engines][1:] == [(YARDSTICK, False)]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_reach_the_engines(threads: int) -> None:
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("fewer cores here")
    with Lanes(["torch"], ["cpu"], LIMITS, threads) as lanes:
        assert lanes.environment()["torch"]["threads"] == threads


def test_large_float64_cases_have_a_judge_of_their_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes right runs, and finds a fault."""
    from crossgrad.backends.base import Trace
    from crossgrad.bench import gate
    from crossgrad.engines import Engine, EngineId
    from crossgrad.run import Run, run_engine

    monkeypatch.setattr(gate, "WORTH_THE_BEST_JUDGE", 0)
    case = make_case("30-40-20", "float64", batch_size=16)
    oracle = oracle_for(case)
    assert oracle.name == "float64"

    engine = EngineId("numpy", "manual", "cpu")
    right = run_engine(case, Engine(engine, load("numpy")))
    assert right.trace is not None
    assert hold_before(oracle, case, right, None).wrong is None
    spoilt = dict(right.trace.quantities)
    spoilt["dW.2"] = spoilt["dW.2"] * (1 + 1e-11)
    wrong = hold_before(oracle, case, Run(engine, "ok", {}, Trace(spoilt)), None).wrong
    assert wrong is not None
    assert "dW.2" in wrong


def test_work_is_that_of_the_products() -> None:
    """784-100-10 at batch 2, counted by hand: z.1, z.2; dW.2, da.1, dW.1."""
    network = find_entry("784-100-10").network
    first, second = 2 * 784 * 100, 2 * 100 * 10
    assert forward_work(network, 2, "float32").flops == 2 * (first + second)
    assert step_work(network, 2, "float32").flops == 2 * (2 * first + 3 * second)
    operands = (2 * 784 + 784 * 100 + 2 * 100) + (2 * 100 + 100 * 10 + 2 * 10)
    assert forward_work(network, 2, "float64").bytes == 8 * operands
    assert update_work(network, "float32").bytes == 12 * network.parameter_count
    assert transfer_work(network, 2, "float16").bytes == 4 * (network.parameter_count + 2 * 794)


def test_the_limit_is_the_fastest_products_of_all() -> None:
    here = item()
    engines = [
        (YARDSTICK, {"copied_bytes": 1000}, dict(zip(PRODUCTS, map(timed, (3e-6, 9e-6, 1e-6)), strict=True))),
        (
            YARDSTICK.__class__("torch", "eager", "cpu"),
            {"copied_bytes": 1000},
            dict(zip(PRODUCTS, map(timed, (4e-6, 8e-6, 2e-6)), strict=True)),
        ),
    ]
    limit = roofline(here, engines)["cpu"]
    assert (limit.forward, limit.step, limit.products) == (3e-6, 8e-6, "torch:eager@cpu")
    assert limit.bandwidth == pytest.approx(2e9)
    assert (limit_seconds("forward", limit), limit_seconds("step", limit)) == (3e-6, 8e-6)
    slow = limit.model_copy(update={"bandwidth": 1e6})  # of a copy, which products may beat
    assert limit_seconds("step", slow) == 8e-6
    row = repeated_row(here, fake_engine(), "step", timed(16e-6), "agree", limit, {"memory": 5})
    assert (row.limit_share, row.memory) == (0.5, 5)
    assert row.gflops == pytest.approx(step_work(here.network, 3, "float32").flops / 16e-6 / 1e9)


def test_limits_and_rows_are_in_the_middle_of_processes() -> None:
    """Of 1, 5 and 3 µs; that of all rounds would be 4."""
    three = Timing(1e-6, rounds=[[1e-6, 1e-6, 9e-6], [5e-6, 5e-6, 5e-6], [3e-6, 3e-6, 4e-6]])
    here = [(YARDSTICK, {"copied_bytes": 3000}, dict.fromkeys(PRODUCTS, three))]
    limit = roofline(item(), here)["cpu"]
    assert (limit.forward, limit.step, limit.bandwidth) == (3e-6, 3e-6, pytest.approx(2e9))
    row = repeated_row(item(), fake_engine(), "step", three, "agree", limit, {})
    assert (row.median, row.limit_share) == (3e-6, 1.0)


def timed(seconds: float) -> Timing:
    return Timing(seconds, rounds=[[seconds] * 5])


def fake_engine() -> Any:
    return type("Engine", (), {"id": YARDSTICK})()


def test_what_is_in_a_plan() -> None:
    plan = make_plan(["1-1-1"], widths=[8, 16], batch_sizes=[1, 4], dtypes=["float32", "float64"])
    assert len(plan) == 3 * 2 * 2
    assert str(plan[4].network) == "-".join(["8"] * (DEFAULT_DEPTH + 1))
    assert [str(entry.network) for entry in make_plan()] == ["1-1-1", "784-100-10", "1024-1024-1024"]
    assert [str(entry.network) for entry in make_plan(batch_sizes=[8])] == ["784-100-10", "1024-1024-1024"]
    for network, size in {"article": 4, "digits": 5000}.items():
        with pytest.raises(InvalidInput, match=f"batch size {size}: "):
            make_plan(["3-2", network], batch_sizes=[size])
    assert len(make_plan(["3-2", "3-2"], batch_sizes=[2, 2])) == 1


def test_networks_that_differ_in_the_loss_alone_are_two_benchmarks() -> None:
    """Both would have the same rows: one of them was left out without a word."""
    with pytest.raises(InvalidInput, match="1-1-1 with loss mse and with half-mse: rows of one benchmark"):
        make_plan(["article", "primer"])
    assert len(make_plan(["wide", "1024-1024-1024"])) == 1


def test_what_nobody_can_judge_is_not_timed() -> None:
    case = make_case("3-2", "float64")
    (engine,) = select_engines(["numpy"], None).engines
    passed = hold_before(consult(case, "none"), case, run_engine(case, engine), None)
    assert "nobody here can judge float64" in str(passed.wrong)


@pytest.mark.parametrize("name", published())
def test_the_schema_is_that_of_the_models(name: str) -> None:
    """If not: ``python -m crossgrad.bench.schemas`` writes it anew."""
    assert files("crossgrad.schemas").joinpath(name).read_text(encoding="utf-8") == published()[name]


def test_a_limit_of_another_machine_is_no_schema_matter() -> None:
    fields = {"network": "3-2", "batch_size": 1, "dtype": "float32", "device": "cpu", "products": "x"}
    with pytest.raises(ValueError, match="bandwidth"):
        Limit(**fields, forward=1.0, step=1.0, bandwidth=0.0)
    with pytest.raises(InvalidInput, match="schema"):
        read_results('{"schema": "crossgrad.bench/2"}', "x.json")
