"""Sweeps from end to end: what is run, stopped, gone on with and joined."""

import errno
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from crossgrad.backends.numpy.engine import NumpyProgram
from crossgrad.candidates import CandidateFunction
from crossgrad.cli.app import run
from crossgrad.execution import open_executor
from crossgrad.judging import judge_all
from crossgrad.networks.cases import Case
from crossgrad.report import CaseReport
from crossgrad.sweep.ids import CaseId
from crossgrad.sweep.info import RunInfo, read_info
from crossgrad.sweep.plan import RandomPlan
from crossgrad.sweep.plan_files import read_plan
from crossgrad.sweep.records import EngineRecord, record_of
from crossgrad.sweep.runner import Execute, Session, sweep
from crossgrad.sweep.store import RECORDS_FILE, RunWriter, read_records
from crossgrad.sweep.summary import Summary, command, summarise
from crossgrad.workers.pool import PoolClosed

from .conftest import HEEDING
from .published import hold
from .sweeps import INFO, PLAN, QUICK, Capture, record, records_of


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numpy engine has a wrong dW.1 in networks of three layers, and breaks on batches of three."""
    real = NumpyProgram.gradients

    def gradients(self: NumpyProgram, result: Any) -> dict[str, Any]:
        found = dict(real(self, result))
        if "dW.3" in found:
            found["dW.1"] = found["dW.1"] * np.float32(3)
        if self._batch_size == 3:
            raise RuntimeError("three \x1b[31msamples")
        return found

    monkeypatch.setattr(NumpyProgram, "gradients", gradients)


def summary_of(path: Path) -> Summary:
    """The summary of a run, without times."""
    found = summarise(read_info(path), read_records(path, pytest.fail))
    return found.model_copy(update={"seconds": {}})


def info_of(cases: int) -> RunInfo:
    plan = RandomPlan(cases=cases, depth="1..3", width="1..8", batch="1..4")
    return INFO.model_copy(update={"plan": plan})


@pytest.fixture
def execute() -> Iterator[Execute]:
    with open_executor(["numpy"], None, {}, isolate=False) as executor:
        yield partial(judge_all, executor=executor)


# What a run holds


def test_every_planned_case_is_recorded_once(tmp_path: Path, capsys: Capture) -> None:
    assert run([*QUICK, *PLAN, "-o", str(tmp_path / "run")]) == 0
    assert "24 of 24 cases, 24 engine runs: 24 ok" in capsys.readouterr().out
    plan = read_info(tmp_path / "run").plan
    assert list(records_of(tmp_path / "run")) == [str(plan.case(n)) for n in range(24)]


def test_record_is_what_check_says(tmp_path: Path, capsys: Capture) -> None:
    run([*QUICK, *PLAN, "--cases", "3", "-o", str(tmp_path / "run")])
    capsys.readouterr()
    for case_id, found in records_of(tmp_path / "run").items():
        assert run(["check", "--case", case_id, "-b", "numpy", "--no-isolate", "--format", "json"]) == 0
        (case,) = json.loads(capsys.readouterr().out)["cases"]
        assert (case["verdict"], case["oracle"]) == (found.verdict, found.oracle)
        (engine,) = found.engines
        over = {c["quantity"]: c["over_floor"] for c in case["comparisons"]}
        assert engine.over_floor == over[engine.worst] == max(over.values())
        assert sum(engine.quantities.values()) == len(over)


def test_wrong_and_broken_engines_are_found(wrong: None, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run"
    assert run([*QUICK[:-1], *PLAN, "-o", str(path)]) == 1
    shown = capsys.readouterr().out
    found = summary_of(path)
    deep = {c for c in records_of(path) if CaseId.parse(c).depth == 3 and CaseId.parse(c).batch != 3}
    threes = {c for c in records_of(path) if CaseId.parse(c).batch == 3}
    assert {place.id for place in found.mismatches} == deep
    assert {place.id for place in found.broken} == threes
    assert {place.enters_at for place in found.mismatches} == {"dW.1"}
    assert found.by_depth["3"]["mismatch"] == len(deep)
    assert "\x1b" not in shown
    assert "RuntimeError: three \\x1b[31msamples" in shown
    for place in found.mismatches[:1]:
        assert place.command == f"crossgrad reduce --case {place.id} -b numpy:manual"
        assert place.command in shown
        assert run([*shlex.split(place.command)[1:], "--no-isolate"]) == 1


def test_json_summary_is_of_the_published_form(wrong: None, tmp_path: Path, capsys: Capture) -> None:
    assert run([*QUICK, *PLAN, "-o", str(tmp_path / "run"), "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    hold(document, "summary")
    assert (document["planned"], document["done"]) == (24, 24)
    assert sum(document["verdicts"].values()) == 24
    hold(json.loads((tmp_path / "run" / "run.json").read_text()), "run")


QUANTITIES = {
    "all": ({"agree": 10}, "ok"),
    "half": ({"agree": 5, "undecidable": 5}, "ok"),
    "few-undecidable": ({"agree": 17, "undecidable": 1}, "ok"),
    "overflow": (dict(agree=17, **{"nonfinite-agree": 1}), "ok"),
    "few-agree": ({"agree": 1, "undecidable": 17}, "undecidable"),
    "mostly-overflow": (dict(agree=1, undecidable=2, **{"nonfinite-agree": 9}), "nonfinite"),
    "one-wrong": ({"agree": 17, "disagree": 1}, "mismatch"),
    "convention": ({"agree": 17, "convention": 1}, "mismatch"),
    "none": ({}, "undecidable"),
}


@pytest.mark.parametrize(("counts", "state"), QUANTITIES.values(), ids=QUANTITIES)
def test_state_is_what_most_quantities_are(counts: dict[str, int], state: str, execute: Execute) -> None:
    (report,) = execute([CaseId.parse("3-2-2-2_b1_float32_mse_w1_s0").case()])
    verdicts = [verdict for verdict, count in counts.items() for _ in range(count)]
    comparisons = tuple(
        replace(c, judgement=replace(c.judgement, verdict=verdict))
        for c, verdict in zip(report.comparisons, verdicts, strict=False)
    )
    (engine,) = record_of(replace(report, comparisons=comparisons), 0.0).engines
    assert (engine.state, engine.quantities) == (state, counts)


def test_command_holds_what_a_shell_would_take() -> None:
    engine = EngineRecord(engine="a;b:$(c)@cuda:1", state="mismatch")
    info = INFO.model_copy(update={"oracle": "wide"})
    words = shlex.split(command(info, "3-2_b1_float32_mse_w1_s0", engine))
    assert words[-6:] == ["-b", "a;b:$(c)", "-d", "cuda:1", "--oracle", "wide"]


# Stopped and gone on with


def interrupted_after(count: int, execute: Execute) -> Execute:
    def executed(cases: Iterable[Case]) -> Iterator[CaseReport]:
        for number, report in enumerate(execute(cases)):
            if number == count:
                raise KeyboardInterrupt
            yield report

    return executed


@pytest.mark.parametrize("stops", [[0], [3], [1, 1, 1, 1], [9, 0, 2]])
def test_resumed_run_has_the_same_summary(
    stops: list[int], execute: Execute, wrong: None, tmp_path: Path
) -> None:
    with RunWriter.create(tmp_path / "whole", info_of(12)) as store:
        assert sweep(store, execute, 1).ran == 12
    path = tmp_path / "parts"
    RunWriter.create(path, info_of(12)).close()
    for stop in stops:
        with RunWriter.resume(path, pytest.fail) as store, pytest.raises(KeyboardInterrupt):
            sweep(store, interrupted_after(stop, execute), 1)
    with RunWriter.resume(path, pytest.fail) as store:
        assert sweep(store, execute, 1).ran == 12 - sum(stops)
    assert summary_of(path) == summary_of(tmp_path / "whole")
    assert records_of(path) == records_of(tmp_path / "whole")


def test_summary_does_not_depend_on_the_order(tmp_path: Path, wrong: None, execute: Execute) -> None:
    with RunWriter.create(tmp_path / "run", info_of(20)) as store:
        sweep(store, execute, 1)
    found = list(read_records(tmp_path / "run", pytest.fail))
    for order in (found[::-1], found[1::2] + found[::2]):
        again = summarise(info_of(20), order)
        assert again.model_copy(update={"seconds": {}}) == summary_of(tmp_path / "run")


def test_resume_of_a_complete_run_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    run([*QUICK, *PLAN, "-o", str(path)])
    before = (path / "records.jsonl").read_bytes()
    assert run(["sweep", "--resume", str(path), "--no-isolate", "-q"]) == 0
    assert (path / "records.jsonl").read_bytes() == before


def test_resume_with_more_cases_extends(tmp_path: Path) -> None:
    path, whole = tmp_path / "run", tmp_path / "whole"
    run([*QUICK, *PLAN, "--cases", "5", "-o", str(path)])
    assert run(["sweep", "--resume", str(path), "--cases", "24", "--no-isolate", "-q"]) == 0
    run([*QUICK, *PLAN, "-o", str(whole)])
    assert records_of(path) == records_of(whole)
    assert read_info(path).planned == 24


def test_what_another_process_has_added_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one resumes and ends between this one's first look at the run and its lock."""
    path = tmp_path / "run"
    run([*QUICK, *PLAN, "--cases", "5", "-o", str(path)])
    resume = RunWriter.resume

    def late(path: Path, warn: Any) -> RunWriter:
        monkeypatch.setattr(RunWriter, "resume", resume)
        assert run(["sweep", "--resume", str(path), "--cases", "9", "--no-isolate", "-q"]) == 0
        return resume(path, warn)

    monkeypatch.setattr(RunWriter, "resume", late)
    assert run(["sweep", "--resume", str(path), "--no-isolate", "-q"]) == 0
    assert (read_info(path).planned, len(records_of(path))) == (9, 9)


def test_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    path = tmp_path / "run"
    words = [sys.executable, "-c", HEEDING, *QUICK, "--cases", "100000", "--width", "1..8", "-o", str(path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while not (path / "records.jsonl").exists() or (path / "records.jsonl").stat().st_size < 3000:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(timeout=10) == 130
    assert f"go on with: crossgrad sweep --resume {path}" in said
    assert "Traceback" not in said
    assert len(records_of(path)) >= 3


@pytest.mark.parametrize(("options", "failures"), [(["--fail-fast"], 1), (["--max-failures", "2"], 2)])
def test_sweep_stops_at_failures(
    options: list[str], failures: int, wrong: None, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "run"
    assert run([*QUICK, *PLAN, *options, "-o", str(path)]) in (1, 3)
    assert sum(not r.in_order for r in records_of(path).values()) == failures
    assert f"stopped at {failures} failure" in capsys.readouterr().err
    assert run(["sweep", "--resume", str(path), "--no-isolate", "-q"]) == 1
    assert len(records_of(path)) == 24


def test_judge_that_breaks_costs_its_own_case(execute: Execute, tmp_path: Path) -> None:
    def broken(cases: Iterable[Case]) -> Iterator[CaseReport]:
        waiting: list[Case] = []
        for case in cases:  # three are under way at a time, as with processes
            waiting.append(case)
            if len(waiting) == 3:
                if waiting[0].seed % 5 == 2:
                    raise ZeroDivisionError("the oracle's")
                yield from execute([waiting.pop(0)])
        yield from execute(waiting)

    with RunWriter.create(tmp_path / "run", info_of(12)) as store:
        sweep(store, broken, 1)
    found = records_of(tmp_path / "run")
    assert len(found) == 12
    failed = {CaseId.parse(name).seed: r.problems for name, r in found.items() if not r.in_order}
    assert failed == dict.fromkeys((2, 7), ("judging it failed: ZeroDivisionError: the oracle's",))


def test_a_message_that_is_no_utf8_is_kept_with_its_own_case(tmp_path: Path) -> None:
    """As of a file whose name is not: it could not be written, and the next case was blamed for that."""

    def lost(params: Any, x: Any, y: Any) -> Any:
        raise FileNotFoundError("caf\udce9.bin")

    found = {"mine": CandidateFunction(lost)}
    with (
        open_executor(["numpy"], None, found, isolate=False) as executor,
        RunWriter.create(tmp_path / "run", info_of(3)) as store,
    ):
        assert sweep(store, partial(judge_all, executor=executor), 2).ran == 3
    records = records_of(tmp_path / "run")
    assert len(records) == 3
    messages = {engine.message for record in records.values() for engine in record.engines if engine.message}
    assert all(message.startswith("FileNotFoundError: caf\\udce9.bin") for message in messages)
    assert messages


def test_a_pool_that_is_gone_is_no_case_s_fault(execute: Execute, tmp_path: Path) -> None:
    """No record is made of cases that nobody ran: a resumed sweep runs them."""

    def dying(cases: Iterable[Case]) -> Iterator[CaseReport]:
        yield next(execute(cases))
        raise PoolClosed("the pool of workers is closed")

    with RunWriter.create(tmp_path / "run", info_of(12)) as store, pytest.raises(PoolClosed):
        sweep(store, dying, 1)
    assert len(records_of(tmp_path / "run")) == 1


def test_case_that_cannot_be_made_is_a_record(execute: Execute, tmp_path: Path) -> None:
    plan = read_plan({"cases": 4, "depth": 1, "width": 4, "dtype": ["float16"], "weight-scale": 1e6}, "test")
    with RunWriter.create(tmp_path / "run", INFO.model_copy(update={"plan": plan})) as store:
        assert sweep(store, execute, 1) == Session(4, 4, stopped=False)
    found = summary_of(tmp_path / "run")
    assert (found.verdict, found.done, len(found.problems)) == ("failed", 4, 4)
    assert "too large for float16" in found.problems[0].problem


def test_progress_counts(execute: Execute, tmp_path: Path, wrong: None) -> None:
    told: list[tuple[int, int, int]] = []
    with RunWriter.create(tmp_path / "run", info_of(12)) as store:
        session = sweep(store, execute, 1, progress=lambda *numbers: told.append(numbers))
    assert [done for done, _, _ in told] == list(range(13))
    assert told[-1] == (12, 12, session.failures)
    assert session.failures > 0


# Shards


@pytest.mark.parametrize("count", [1, 2, 5])
def test_merged_shards_are_the_whole(count: int, wrong: None, tmp_path: Path, capsys: Capture) -> None:
    plan = [*PLAN, "--seeds-per-shape", "2"]
    assert run([*QUICK, *plan, "-o", str(tmp_path / "whole")]) == 1
    shards = [str(tmp_path / f"{index}") for index in range(1, count + 1)]
    for index, shard in enumerate(shards, start=1):
        run([*QUICK, *plan, "--shard", f"{index}/{count}", "-o", shard])
    capsys.readouterr()
    assert run(["merge", *shards, "-o", str(tmp_path / "merged"), "-q"]) == 1
    assert capsys.readouterr().err == ""
    assert records_of(tmp_path / "merged") == records_of(tmp_path / "whole")
    assert summary_of(tmp_path / "merged") == summary_of(tmp_path / "whole")


def test_missing_shard_can_be_run_in_the_merged_run(tmp_path: Path) -> None:
    parts = [str(tmp_path / name) for name in "ab"]
    for number, part in zip((1, 3), parts, strict=True):
        run([*QUICK, *PLAN, "--shard", f"{number}/3", "-o", part])
    assert run(["merge", *parts, "-o", str(tmp_path / "merged"), "-q"]) == 3
    assert summary_of(tmp_path / "merged").done == 16
    assert run(["sweep", "--resume", str(tmp_path / "merged"), "--no-isolate", "-q"]) == 0
    assert summary_of(tmp_path / "merged").done == 24


def test_a_merged_run_that_finds_no_room_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run([*QUICK, *PLAN, "-o", str(tmp_path / "part")]) == 0
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    merged = tmp_path / "merged"
    with monkeypatch.context() as patch:
        patch.setattr("crossgrad.sweep.store.os.write", Mock(side_effect=full))
        assert run(["merge", str(tmp_path / "part"), "-o", str(merged)]) == 2
    said = capsys.readouterr().err
    assert f"cannot write {merged}: No space left on device; nothing of it is left: merge anew" in said
    assert not merged.exists()


def test_the_run_of_another_process_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It took the place after this one had looked, and before this one had locked it."""
    assert run([*QUICK, *PLAN, "-o", str(tmp_path / "part")]) == 0
    merged, held = tmp_path / "merged", []

    def other_wins(path: Path) -> None:
        held.append(os.open(merged / RECORDS_FILE, os.O_RDWR | os.O_CREAT))
        os.write(held[0], b"the other's record\n")
        fcntl.flock(held[0], fcntl.LOCK_EX)

    monkeypatch.setattr("crossgrad.sweep.store.sync_directory", other_wins)
    assert run(["merge", str(tmp_path / "part"), "-o", str(merged)]) == 2
    os.close(held[0])
    assert "another process is writing" in capsys.readouterr().err
    assert (merged / RECORDS_FILE).read_bytes() == b"the other's record\n"


def test_a_merge_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run([*QUICK, *PLAN, "-o", str(tmp_path / "part")]) == 0
    monkeypatch.setattr(RunWriter, "append", Mock(side_effect=KeyboardInterrupt))
    assert run(["merge", str(tmp_path / "part"), "-o", str(tmp_path / "merged")]) == 130
    assert not (tmp_path / "merged").exists()


def test_a_sweep_in_which_nothing_ran_is_no_pass(tmp_path: Path, capsys: Capture) -> None:
    plan = ["--cases", "1", "--depth", "1", "--width", "2", "--shard", "2/2", "-o", str(tmp_path / "none")]
    assert run(["sweep", "--no-isolate", "-b", "numpy", *plan]) == 3
    assert "nothing ran" in capsys.readouterr().out


def test_other_plans_are_not_merged(tmp_path: Path, capsys: Capture) -> None:
    run([*QUICK, *PLAN, "--cases", "2", "-o", str(tmp_path / "a")])
    run([*QUICK, *PLAN, "--cases", "2", "--seed", "1", "--width", "2", "-o", str(tmp_path / "b")])
    assert run(["merge", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "c")]) == 2
    said = capsys.readouterr().err
    assert "are not parts of one sweep" in said
    assert "width: 1..8 and 2" in said
    assert "seed: 0 and 1" in said
    assert not (tmp_path / "c").exists()


def test_records_that_differ_are_told_and_the_worse_is_kept(tmp_path: Path, capsys: Capture) -> None:
    for name, verdict in (("a", "agree"), ("b", "disagree"), ("c", "agree")):
        with RunWriter.create(tmp_path / name, INFO) as store:
            store.append(record(0))
            store.append(record(1, verdict=verdict, seconds={"judge": 1.0}))
    parts = [str(tmp_path / name) for name in "abc"]
    run(["merge", *parts, "-o", str(tmp_path / "merged"), "-q"])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert f"_s1 differs: agree in {tmp_path / 'a'}, disagree in {tmp_path / 'b'}" in said[0]
    assert [r.verdict for r in records_of(tmp_path / "merged").values()] == ["agree", "disagree"]
