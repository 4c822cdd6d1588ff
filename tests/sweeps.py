"""What the tests of sweeps share: a run and its records, and the options of a quick one."""

from pathlib import Path
from typing import Any

import pytest

from crossgrad.sweep.info import RunInfo
from crossgrad.sweep.plan import RandomPlan
from crossgrad.sweep.records import EngineRecord, Record
from crossgrad.sweep.store import read_records

INFO = RunInfo(
    created="2026-01-01T00:00:00+00:00",
    plan=RandomPlan(),
    backends=["numpy"],
    devices=None,
    candidates=[],
    engines=["numpy:manual@cpu"],
    oracle="auto",
    shards=["1/1"],
    environment={},
)


def record(number: int, **fields: Any) -> Record:
    engine = EngineRecord(engine="numpy:manual@cpu", state="ok", quantities={"agree": 10}, over_floor=0.1)
    return Record(
        **{
            "id": f"3-2_b1_float32_mse_w1_s{number}",
            "verdict": "agree",
            "oracle": "arb",
            "engines": (engine,),
            **fields,
        }
    )


PLAN = ["--cases", "24", "--depth", "1..3", "--width", "1..8", "--batch", "1..4"]
QUICK = ["sweep", "-b", "numpy", "--no-isolate", "-q"]

Capture = pytest.CaptureFixture[str]


def records_of(path: Path) -> dict[str, Record]:
    return {r.id: r.without_times() for r in read_records(path, pytest.fail)}
