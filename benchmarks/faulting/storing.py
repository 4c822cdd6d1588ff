"""A sweep that dies, or whose disk is full, at each single write, sync, truncation and renaming in turn.

The sweep runs in a process whose ``os`` functions are wrapped before crossgrad
is imported; how many calls there are is counted by a run in which nothing happens.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from .kills import records, without_times

SWEEP = ["sweep", "--cases", "4", "--depth", "1..2", "--width", "1..8", "-b", "numpy", "--no-isolate", "-q"]

WRAPPED = """
import errno, json, os, random, signal, sys, time
how, at, run, arguments = json.loads(sys.argv[1])
calls = 0

def strike(before, write=None):
    global calls
    calls += 1
    if calls != at:
        return False
    if how == "kill":
        if write is not None:
            write()
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.ENOSPC, "No space left on device")

def wrap(name, half=None):
    right = getattr(os, name)
    def wrapped(*arguments, **more):
        strike(name, half and (lambda: half(right, *arguments)))
        return right(*arguments, **more)
    setattr(os, name, wrapped)

def half_write(right, descriptor, data):
    right(descriptor, bytes(data)[: len(data) // 2])

if how == "clock":
    time.time = lambda: random.uniform(0, 4e9)
else:
    wrap("write", half_write)
    for name in ("fsync", "ftruncate", "replace", "rename", "mkdir"):
        wrap(name)
from crossgrad.cli.app import run as run_cli
code = run_cli(arguments)
print(json.dumps({"calls": calls, "code": code}))
"""


def storing(folder: Path) -> dict[str, Any]:
    """Strike at every call; resume; hold the records against those of a run that was left in peace."""
    counted, _ = _struck("none", 0, folder / "peace")
    right = without_times(records(folder / "peace"))
    found: dict[str, Any] = {"calls": counted["calls"], "cases": len(right)}
    for how in ("kill", "disk-full"):
        found[how] = _at_every_call(how, counted["calls"], folder, right)
    clock, _ = _struck("clock", 0, folder / "clock")
    found["clock-jumps"] = {
        "exit_code": clock["code"],
        "records_as_they_should_be": without_times(records(folder / "clock")) == right,
    }
    found["read-only-directory"] = _read_only(folder / "read-only")
    return found


def _at_every_call(how: str, calls: int, folder: Path, right: Any) -> dict[str, Any]:
    found = {"wrong_records": 0, "unusable_afterwards": 0, "tracebacks": 0}
    codes: Counter[str] = Counter()
    for at in range(1, calls + 1):
        run = folder / f"{how}-{at}"
        ended, process = _struck(how, at, run)
        codes[str(ended["code"] if ended else process.returncode)] += 1
        found["tracebacks"] += b"Traceback" in process.stderr
        before = without_times(records(run))
        found["wrong_records"] += sum(right.get(case_id) != record for case_id, record in before.items())
        begun = (run / "run.json").exists()
        again = ["sweep", "--resume", str(run), "--no-isolate", "-q"] if begun else [*SWEEP, "-o", str(run)]
        done = subprocess.run([sys.executable, "-m", "crossgrad", *again], capture_output=True)
        found["unusable_afterwards"] += done.returncode != 0 or without_times(records(run)) != right
    return {"exit_codes": codes} | found


def _struck(how: str, at: int, run: Path) -> tuple[dict[str, Any], "subprocess.CompletedProcess[bytes]"]:
    told = json.dumps([how, at, str(run), [*SWEEP, "-o", str(run)]])
    process = subprocess.run([sys.executable, "-c", WRAPPED, told], capture_output=True)
    lines = process.stdout.splitlines()
    try:
        return json.loads(lines[-1]), process
    except (IndexError, ValueError):
        return {}, process


def _read_only(folder: Path) -> dict[str, Any]:
    """A directory that cannot be written, unless by the superuser."""
    if os.geteuid() == 0:
        return {"skipped": "run by the superuser, who may write anywhere"}
    folder.mkdir()
    folder.chmod(0o500)
    _, process = _struck("none", 0, folder / "run")
    return {"exit_code": process.returncode, "traceback": b"Traceback" in process.stderr}
