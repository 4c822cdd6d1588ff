"""One sweep, killed at random moments and resumed until it is done, beside one that was left in peace."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from .marks import MARK, seconds_until_gone

PLAN = ["--depth", "1..4", "--width", "1..64", "--batch", "1..16", "--dtype", "float64", "--dtype", "float32"]
ENGINES = ["-b", "numpy"]
LONGEST = 3.0
"""Seconds until the kill, at most: from before the engines are imported until well into the cases."""


def sweep(run: Path, cases: int) -> list[str]:
    """The command that begins a run, or goes on with it."""
    begun = (run / "run.json").exists()
    how = ["--resume", str(run)] if begun else [*PLAN, *ENGINES, "-o", str(run)]
    return [sys.executable, "-m", "crossgrad", "sweep", *how, "--cases", str(cases), "-q"]


def kill_sweeps(folder: Path, kills: int, cases: int) -> dict[str, Any]:
    """Kill a sweep `kills` times; more cases are asked for whenever it is done too early.

    Returns
    -------
    dict
        Kills, records lost, torn lines, processes left behind, and whether the
        records are those of an uninterrupted sweep in all but times.
    """
    rng, run = random.Random(0), folder / "killed"
    lost = orphans = torn = done = 0
    slowest = 0.0
    finished: dict[str, Any] = {}
    for number in range(kills):
        mark = uuid4().hex
        while done >= cases:
            cases *= 2
        process = subprocess.Popen(
            sweep(run, cases),
            env=os.environ | {MARK: mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        time.sleep(rng.uniform(0, LONGEST))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        torn += said.count(b"was never finished")
        seconds, left = seconds_until_gone(mark)
        orphans, slowest = orphans + left, max(slowest, seconds)
        after = records(run)
        lost += sum(after.get(case_id) != record for case_id, record in finished.items())
        finished, done = after, len(after)
        print(f"kill {number + 1}: {done} of {cases} cases", end="\r", flush=True)
    peace = folder / "left-in-peace"
    for left_alone in (run, peace):
        subprocess.run(sweep(left_alone, cases), check=True, capture_output=True)
    return {
        "kills": kills,
        "cases": cases,
        "records_lost_or_changed": lost,
        "torn_lines_set_aside": torn,
        "orphans": orphans,
        "seconds_until_processes_gone": round(slowest, 3),
        "same_as_uninterrupted": without_times(records(run)) == without_times(records(peace)),
    }


def records(run: Path) -> dict[str, Any]:
    """The whole records of a run by id, read without crossgrad's own code."""
    found = {}
    file = run / "records.jsonl"
    for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else ():
        record = json.loads(line)["record"]
        found.setdefault(record["id"], record)
    return found


def without_times(found: Any) -> Any:
    """The same, without anything that is a time."""
    if isinstance(found, dict):
        return {key: without_times(value) for key, value in found.items() if key != "seconds"}
    return [without_times(value) for value in found] if isinstance(found, list) else found
