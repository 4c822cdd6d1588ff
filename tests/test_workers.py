"""Engines in processes of their own: whatever one does, it costs its own rows and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import crossgrad
from crossgrad.backends.registry import load
from crossgrad.candidates import CandidateFile
from crossgrad.engines import EngineId
from crossgrad.execution import Isolated
from crossgrad.networks.errors import InvalidInput
from crossgrad.report import CaseReport
from crossgrad.run import OK, run_engine
from crossgrad.workers.limits import Limits
from crossgrad.workers.pool import Pool, PoolClosed
from crossgrad.workers.tasks import Task

from .conftest import make_case
from .rogue.crossgrad_rogue import expected_status
from .test_plugins import add_distribution

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ROGUE = Path(__file__).parent / "rogue" / "crossgrad_rogue.py"
LIMITS = Limits(importing=60, compiling=2, running=2, memory=2**29)


@pytest.fixture(scope="session")
def marks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return import_module("faulting.marks")


@pytest.fixture(scope="session")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rogue engine, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("rogue")
    places = {"rogue": "crossgrad_rogue:RogueBackend"}
    return add_distribution(folder, "crossgrad_rogue", places, {"crossgrad_rogue": ROGUE.read_text()})


@pytest.fixture
def marked(rogue: Path, marks: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rogue engine in reach; afterwards no process that was started, by whomever, is left."""
    mark = uuid4().hex
    monkeypatch.setenv(marks.MARK, mark)
    monkeypatch.syspath_prepend(str(rogue))
    yield
    _, left = marks.seconds_until_gone(mark)
    assert left == 0


def check_rogue(vice: str, limits: Limits = LIMITS) -> tuple[CaseReport, float]:
    start = time.monotonic()
    report = crossgrad.check(
        "3-4-2",
        backends=["numpy", f"rogue:{vice}"],
        dtypes=["float64"],
        oracle="wide",
        isolate=True,
        limits=limits,
    )
    return report.cases[0], time.monotonic() - start


def row(case: CaseReport, backend: str):
    return next(run for run in case.runs if run.engine.backend == backend)


VICES = {
    "hang": "step took longer than 2 s",
    "hang-in-prepare": "prepare took longer than 2 s",
    "hang-in-c": "step took longer than 2 s",
    "ignore-sigterm": "step took longer than 2 s",
    "crash": "signal 11 (SIGSEGV) in step",
    "crash-in-prepare": "signal 11 (SIGSEGV) in prepare",
    "leave": "exit 3 in step",
    "leave-politely": "SystemExit: 4",
    "fail": "RuntimeError: planted failure",
    "allocate": "step took more than 512 MiB of memory",
    "fork": "",
    "fork-and-crash": "signal 11 (SIGSEGV) in step",
    "escape": "",
    "escape-and-hang": "step took longer than 2 s",
    "chatter": "",
    "babble": "the process of the engine sent bytes that are no ",
    "nest": "the process of the engine sent a message that is no JSON",
    "forge": "the process of the engine sent a run that makes no sense",
    "close-everything": "the process of the engine closed its pipe",
    "meddle": "",
    "text": "InvalidInput: dW.1 has dtype <U32",
    "wrong-shape": "",
    "too-few": "",
    "nan": "",
    "non-contiguous": "",
    "read-only": "",
    "spoil-inputs": "",
}
"""By vice, how the message of its row begins."""

AGREEING = {"fork", "escape", "chatter", "meddle", "non-contiguous", "read-only"}
WRONG = {"wrong-shape", "too-few", "nan"}


@pytest.mark.parametrize("vice", VICES)
def test_a_vice_costs_its_own_row(vice: str, marked: None) -> None:
    case, _ = check_rogue(vice, replace(LIMITS, running=60) if vice == "allocate" else LIMITS)
    status = expected_status(vice)
    run = row(case, "rogue")
    assert (run.status, (run.message or "").startswith(VICES[vice])) == (status, True), run
    assert row(case, "numpy").status == OK
    verdicts = {
        name: {c.verdict for c in case.comparisons if c.engine.backend == name} for name in ("numpy", "rogue")
    }
    assert verdicts["numpy"] == {"agree"}
    assert bool(verdicts["rogue"]) == (status == OK)
    if status != OK:
        assert case.verdict == "failed"
    if vice in AGREEING:
        assert verdicts["rogue"] == {"agree"}
    if vice in WRONG:
        assert verdicts["rogue"] & {"disagree", "nonfinite-disagree"}


@pytest.mark.parametrize("vice", ["hang", "hang-in-c", "ignore-sigterm"])
def test_a_deadline_is_kept(vice: str, marked: None) -> None:
    """From the moment that the step begins: the limit, and 5 s at most for the end."""
    limits = Limits(importing=60, compiling=60, running=0.5)
    with Isolated([f"rogue:{vice}"], None, {}, limits) as executor:
        assert executor.selection.engines
        start = time.monotonic()
        (run,) = executor.start(make_case("3-4-2", "float64"))(lambda engine: None)
        assert run.status == "timeout"
        assert time.monotonic() - start < 5.5


@pytest.mark.parametrize("vice", ["hang", "crash", "leave", "fail"])
def test_a_vice_at_import(vice: str, marked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSGRAD_ROGUE_IMPORT", vice)
    case, _ = check_rogue("well-behaved", Limits(importing=6))
    assert row(case, "rogue").status == expected_status(f"{vice}-at-import")
    assert row(case, "numpy").status == OK


def test_the_engine_says_where_it_hung(marked: None) -> None:
    case, _ = check_rogue("hang")
    assert "crossgrad_rogue.py" in str(row(case, "rogue").stderr)


def test_a_dead_worker_is_replaced(marked: None) -> None:
    """A case after one that crashed runs in a new process; other lanes never notice."""
    with Isolated(["rogue:crash", "numpy"], None, {}, LIMITS) as executor:
        finishes = [executor.start(make_case("3-2", "float64", seed=seed)) for seed in range(3)]
        runs = [finish(lambda engine: None) for finish in finishes]
    assert [[run.status for run in pair] for pair in runs] == [["crashed", "ok"]] * 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_numbers_cross_bit_for_bit(dtype: str) -> None:
    case = make_case("5-4-3", dtype)
    with Isolated(["numpy"], None, {}, LIMITS) as executor:
        (run,) = executor.start(case)(lambda engine: None)
        (engine,) = executor.selection.engines
    here = run_engine(case, type(engine)(engine.id, load("numpy")))
    assert run.trace is not None
    assert here.trace is not None
    assert {k: a.tobytes() for k, a in run.trace.quantities.items()} == {
        k: a.tobytes() for k, a in here.trace.quantities.items()
    }
    assert {a.dtype for a in run.trace.quantities.values()} == {case.format.storage}


def test_isolated_and_in_process_agree_on_everything() -> None:
    options = {"backends": ["numpy"], "dtypes": ["float32"]}
    one, other = (crossgrad.check("4-3-2", isolate=isolate, **options).to_dict() for isolate in (True, False))
    for report in (one, other):
        report.pop("seconds")
        for case in report["cases"]:
            for run in case["runs"]:
                run.pop("seconds")
    assert one == other


def test_a_candidate_file_runs_in_a_worker(tmp_path: Path, marked: None) -> None:
    (tmp_path / "mine.py").write_text(
        "import os, ctypes\n"
        "def gradients(params, x, y):\n    ctypes.string_at(0)\n"
        "def wrong(params, x, y):\n    return 0.0, [(0 * W, 0 * b) for W, b in params]\n"
    )
    candidates = {
        found.name: found
        for text in (
            f"{tmp_path}/mine.py",
            f"zeros={tmp_path}/mine.py:wrong",
            f"none={tmp_path}/mine.py:nothing",
        )
        for found in [CandidateFile.parse(text)]
    }
    report = crossgrad.check(
        "3-2", backends=["numpy"], dtypes=["float64"], candidates=candidates, isolate=True, oracle="wide"
    )
    found = {run.engine.backend: run.status for run in report.cases[0].runs}
    assert found == {"numpy": "ok", "mine": "crashed", "zeros": "ok", "none": "failed"}
    assert {c.verdict for c in report.comparisons if c.engine.backend == "zeros"} == {"disagree"}


def test_a_candidate_file_may_hold_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "lr=0.1").mkdir()
    file = tmp_path / "lr=0.1" / "mine.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Layer:\n    n: int\n"
        "def gradients(params, x, y):\n    return 0.0, [(0 * W, 0 * b) for W, b in params]\n"
    )
    candidate = CandidateFile.parse(str(file))
    assert (candidate.name, candidate.load()([], None, None)) == ("mine", (0.0, []))


def test_a_process_that_cannot_be_started_costs_its_own_rows(
    marked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors, processes or memory: rows say so, the other lane goes on, nothing hangs."""
    from crossgrad.workers import pool

    right = pool.Worker

    def out_of_descriptors(loads, *others):
        if loads["backend"] == "rogue":
            raise OSError(24, "Too many open files")
        return right(loads, *others)

    monkeypatch.setattr(pool, "Worker", out_of_descriptors)
    case, _ = check_rogue("well-behaved")
    assert (row(case, "rogue").status, row(case, "numpy").status) == ("failed", "ok")
    assert "Too many open files" in str(row(case, "rogue").message)


@pytest.mark.parametrize("device_memory", [None, 2**31], ids=["none", "2-gib"])
def test_the_limit_on_device_memory_reaches_the_engine(marked: None, device_memory: int | None) -> None:
    limits = Limits(importing=60, compiling=2, running=2, device_memory=device_memory)
    report = crossgrad.check(
        "3-2", backends=["rogue"], dtypes=["float64"], oracle="wide", isolate=True, limits=limits
    )
    assert row(report.cases[0], "rogue").status == "ok"
    assert report.environment["backends"]["rogue"]["device_memory"] == device_memory


def test_one_engine_named_twice_runs_once(marked: None) -> None:
    with Isolated(["rogue", "rogue:well-behaved"], None, {}, LIMITS) as executor:
        assert len(executor.selection.engines) == 1
        runs = executor.start(make_case("3-2", "float64"))(lambda engine: None)
    assert [str(run.engine) for run in runs] == ["rogue:well-behaved@cpu"]


def test_an_unknown_variant_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match="unknown variant of numpy 'nonsense'"):
        crossgrad.check("3-2", backends=["numpy:nonsense"], isolate=True)


@pytest.mark.parametrize("text", ["mine", "=mine.py", "mine.py:not a name", "absent.py", "a=b=c.py:"])
def test_candidates_that_cannot_be(text: str) -> None:
    with pytest.raises(InvalidInput, match="candidate"):
        CandidateFile.parse(text)


@pytest.mark.parametrize(("vice", "processes"), [("hang-in-c", 5), ("escape-and-hang", 6)])
def test_the_parent_gone_the_workers_go(vice: str, processes: int, rogue: Path, marks: Any) -> None:
    """SIGKILL of the parent, while an engine hangs with the interpreter's lock held."""
    mark = uuid4().hex
    code = f"import crossgrad; crossgrad.check('3-2', backends=['numpy', 'rogue:{vice}'], isolate=True)"
    environ = os.environ | {marks.MARK: mark, "PYTHONPATH": f"{rogue}{os.pathsep}{os.pathsep.join(sys.path)}"}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environ)
    deadline = time.monotonic() + 60
    while (  # the parent, two workers, each with its guard, and a daemon
        len(marks.marked(mark)) < processes and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    time.sleep(1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, left = marks.seconds_until_gone(mark)
    assert left == 0


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_timeouts_that_cannot_be(seconds: float) -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        Limits().with_timeout(seconds)


class Nothing(Task):
    """A task that no process ever gets."""

    def hand_to(self, worker: Any) -> None:
        raise AssertionError("no process loads here")

    def take(self, answer: Any, file: int) -> Any:
        raise AssertionError("nobody answers here")

    def ended(self, ending: Any, stderr: str | None) -> None:
        self.future.set_result(ending)


def test_what_is_submitted_while_a_pool_closes_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may wait for ever: the pool is closed between the look whether it is open and the order."""
    pool = Pool(LIMITS)
    lane = pool.open(backend="numpy")
    lane.description.result()
    closing = threading.Thread(target=pool.close)

    class Slow(deque[Any]):
        def append(self, order: Any) -> None:
            closing.start()
            closing.join(0.5)
            super().append(order)

    monkeypatch.setattr(pool, "_hand_out", lambda lane: None)
    pool._orders = Slow()
    future = pool.submit(lane, Nothing(EngineId("numpy", "manual", "cpu")))
    closing.join()
    assert isinstance(future.exception(timeout=0), PoolClosed)
    with pytest.raises(PoolClosed):
        pool.submit(lane, Nothing(EngineId("numpy", "manual", "cpu")))
