"""Processes that stop, die, are used up or cannot load: who is replaced, and what that costs."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from crossgrad.candidates import CandidateFile
from crossgrad.engines import EngineId
from crossgrad.execution import Isolated
from crossgrad.run import OK, Run
from crossgrad.workers.limits import Limits
from crossgrad.workers.tasks import CaseTask, HoldTask
from crossgrad.workers.wire import packed

from .conftest import make_case
from .test_workers import LIMITS, marked, marks, rogue  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("marked")


def test_a_stopped_worker_holds_nobody_up() -> None:
    """It is sent a case and does not read: its own deadline ends it, as long as the message may be."""
    limits = Limits(importing=60, compiling=2, running=1)
    with Isolated(["numpy"], None, {}, limits) as executor:
        assert executor.selection.engines
        (lane,) = executor._lanes.values()
        os.kill(lane.places[0].worker.pid, signal.SIGSTOP)
        (run,) = executor.start(make_case("-".join(["1"] * 500), "float64"))(lambda engine: None)
    assert run.status == "timeout"


def test_a_death_while_idle_costs_nothing() -> None:
    with Isolated(["numpy"], None, {}, LIMITS) as executor:
        assert executor.selection.engines
        (lane,) = executor._lanes.values()
        worker = lane.places[0].worker
        finish = executor.start(make_case("3-2", "float64"))
        (run,) = finish(lambda engine: None)
        os.kill(worker.pid, signal.SIGKILL)
        (again,) = executor.start(make_case("3-2", "float64"))(lambda engine: None)
    assert (run.status, again.status) == ("ok", "ok")


@pytest.mark.parametrize("kills", [0, 1], ids=["by-somebody", "by-the-system"])
def test_a_death_before_a_case_was_read_does_not_cost_that_case(
    kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if the system killed it for its memory: of this case it had nothing yet."""
    killed = [0]
    monkeypatch.setattr("crossgrad.workers.worker.oom_kills", lambda: killed[0])
    with Isolated(["numpy"], None, {}, LIMITS) as executor:
        assert executor.selection.engines
        (lane,) = executor._lanes.values()
        worker = lane.places[0].worker
        os.kill(worker.pid, signal.SIGSTOP)
        finish = executor.start(make_case("3-2", "float64"))
        while worker.phase != "receive":
            time.sleep(0.01)
        killed[0] += kills
        os.kill(worker.pid, signal.SIGKILL)
        (run,) = finish(lambda engine: None)
    assert run.status == "ok"


@pytest.mark.parametrize(
    ("device", "status", "spoils"),
    [
        ("cuda", "failed", True),
        ("cuda:1", "out-of-memory", True),
        ("cuda", "ok", False),
        ("cuda", "unsupported", False),
        ("cpu", "failed", False),
    ],
)
def test_what_fails_on_a_device_spoils_its_process(device: str, status: str, spoils: bool) -> None:
    engine = EngineId("torch", "eager", device)
    run = Run(engine, status, {})
    assert CaseTask(engine, packed(make_case("1-1")), partial=False).spoils(run) == spoils
    assert HoldTask(engine, packed(make_case("1-1")), products=False).spoils((run, {})) == spoils


def test_a_process_that_is_spoilt_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CaseTask, "spoils", lambda task, run: run.status == "failed")
    pids = []
    with Isolated(["rogue:fail"], None, {}, LIMITS) as executor:
        assert executor.selection.engines
        (lane,) = executor._lanes.values()
        for _ in range(2):
            executor.selection  # noqa: B018 - waits for the process
            worker = lane.places[0].worker
            pids.append(worker and worker.pid)
            (run,) = executor.start(make_case("3-2", "float64"))(lambda engine: None)
            assert run.status == "failed"
            time.sleep(0.1)
    assert pids[0] is not None
    assert pids[1] is None  # started again when there is work


def test_a_process_is_replaced_after_many_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.workers.pool.CASES_A_PROCESS", 2)
    pids = []
    with Isolated(["numpy"], None, {}, LIMITS) as executor:
        assert executor.selection.engines
        (lane,) = executor._lanes.values()
        for seed in range(5):
            worker = lane.places[0].worker
            pids.append(worker and worker.pid)
            (run,) = executor.start(make_case("3-2", "float64", seed=seed))(lambda engine: None)
            assert run.status == OK
            time.sleep(0.1)
    assert pids[0] == pids[1]
    assert pids[2] is None  # started again when there is work
    assert pids[3] != pids[0]


@pytest.mark.parametrize("seconds", [0, 1], ids=["told-first", "told-last"])
def test_a_process_that_cannot_load_does_not_give_another_up(seconds: int, tmp_path: Path) -> None:
    """As where a device, or a file, is one process's alone."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import fcntl, time\n"
        f"lock = open({str(tmp_path / 'lock')!r}, 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        f"time.sleep({seconds})\n\n"
        "def gradients(params, x, y):\n"
        "    return 0.0, [(0 * W, 0 * b) for W, b in params]\n"
    )
    candidate = {"mine": CandidateFile("mine", file, "gradients")}
    cases = [make_case("3-2", "float64", seed=seed) for seed in range(6)]
    with Isolated(["numpy"], None, candidate, LIMITS, jobs=2) as executor:
        finished = [executor.start(case) for case in cases]
        runs = [run for finish in finished for run in finish(lambda engine: None)]
    assert {str(run.engine): run.status for run in runs if run.status != OK} == {}


def test_processes_of_which_none_can_load_are_given_up(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise RuntimeError('not here')\n")
    cases = [make_case("3-2", "float64", seed=seed) for seed in range(6)]
    with Isolated(["numpy"], None, {"mine": CandidateFile("mine", file)}, LIMITS, jobs=2) as executor:
        finished = [executor.start(case) for case in cases]
        runs = [run for finish in finished for run in finish(lambda engine: None)]
    assert Counter(run.status for run in runs) == {OK: 6, "failed": 6}
