"""What a sweep reads: plans, ids of cases, and what it wrote itself."""

import os
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from crossgrad.networks.cost import require_affordable
from crossgrad.networks.memory import require_memory
from crossgrad.sweep.ids import CaseId
from crossgrad.sweep.info import RUN_FILE, RunInfo, read_info, write_info
from crossgrad.sweep.lines import encode
from crossgrad.sweep.plan import MOST_CASES, RandomPlan, Shard
from crossgrad.sweep.plan_files import load_plan, require_affordable_plan
from crossgrad.sweep.records import EngineRecord, Record, record_of_refusal
from crossgrad.sweep.store import RECORDS_FILE, RunWriter, read_records
from crossgrad.sweep.summary import summarise
from crossgrad.sweep.text import closing_line, summary_text

from .target import Target, assert_shown_well, emptied, refuses, replacing, words

CASE = CaseId((3, 4, 2), 2, "float32", "mse", 1.5, 7)
OTHER = CaseId((3, 4, 2), 2, "float32", "mse", 1.5, 8)
INFO = RunInfo(
    created="2026-01-01T00:00:00+00:00",
    plan=RandomPlan(),
    backends=None,
    devices=["cpu"],
    candidates=["mine=file.py:gradients"],
    engines=["numpy:manual@cpu"],
    oracle="auto",
    shards=["1/2"],
    environment={"python": "3"},
)
ENGINE = EngineRecord(
    engine="numpy:manual@cpu",
    state="mismatch",
    message="a message",
    seconds={"step": 0.5},
    quantities={"agree": 3, "disagree": 1},
    worst="dW.1",
    over_floor="Infinity",
    digits=7.5,
    enters_at="dz.1",
    diagnosis="dz.1 misses a factor",
)
RECORD = Record(id=str(CASE), verdict="disagree", oracle="arb", seconds={"draw": 0.1}, engines=(ENGINE,))


def _plan(data: bytes, folder: Path) -> bool:
    (emptied(folder) / "plan.toml").write_bytes(data)
    return not refuses(_load_plan, folder)


def _load_plan(folder: Path) -> None:
    plan = load_plan(folder / "plan.toml", {})
    assert 1 <= plan.total <= MOST_CASES
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
    assert sum(Shard(index, 3).total(plan) for index in (1, 2, 3)) == plan.total
    require_affordable_plan(plan)
    for number in (0, plan.total // 2, plan.total - 1):
        case = plan.case(number)
        assert CaseId.parse(str(case)) == case


def _id(data: bytes, folder: Path) -> bool:
    return not refuses(lambda folder: _make_case(data.decode(errors="surrogateescape")), emptied(folder))


def _make_case(text: str) -> None:
    parsed = CaseId.parse(text)
    assert str(parsed) == text
    require_memory(parsed.network, parsed.batch, parsed.dtype, 1)
    require_affordable(parsed.network, parsed.batch)
    case = parsed.case()
    assert (str(case.network), case.batch_size) == (parsed.network_name, parsed.batch)


def _info(data: bytes, folder: Path) -> bool:
    (emptied(folder) / RUN_FILE).write_bytes(data)
    return not refuses(_load_info, folder)


def _load_info(folder: Path) -> None:
    info = read_info(folder)
    assert 0 <= info.planned <= MOST_CASES
    write_info(folder, info)
    assert read_info(folder) == info
    _assert_summarised(folder, info, [RECORD])


def _records(data: bytes, folder: Path) -> bool:
    """Lines as they are, or after ``!`` the records in them, to get past the checksum."""
    if data.startswith(b"!"):
        data = b"".join(b'{"crc32":"%08x","record":%s}\n' % (zlib.crc32(r), r) for r in data[1:].split(b"\n"))
    write_info(emptied(folder), INFO)
    (folder / RECORDS_FILE).write_bytes(data)
    assert not refuses(_load_records, folder), "damage is told and passed over, never fatal"
    return data in (folder / RECORDS_FILE).read_bytes()


def _load_records(folder: Path) -> None:
    warnings: list[str] = []
    before = list(read_records(folder, warnings.append))
    _assert_summarised(folder, INFO, before)
    with RunWriter.resume(folder, warnings.append) as run:
        assert run.done == {record.id for record in before}
        known = str(OTHER) in run.done
        run.append(record_of_refusal(OTHER, "\x1b[2J"))
    after = list(read_records(folder, warnings.append))
    assert after[: len(before)] == before
    assert len(after) == len(before) + (not known)
    assert all(len(warning) < 1000 for warning in warnings)


def _assert_summarised(folder: Path, info: RunInfo, records: list[Record]) -> None:
    found = summarise(info, records)
    assert type(found).model_validate_json(found.model_dump_json())
    assert_shown_well(f"error: {summary_text(folder, info, found)}")
    assert closing_line(folder, found)


def _nothing_is_synced() -> AbstractContextManager[Any]:
    return replacing((os, "fsync", lambda descriptor: None))


_REFUSAL = record_of_refusal(OTHER, "no reason")

PLANS = Target(
    _plan,
    seeds=(
        b'cases = 10\ndepth = "1..3"\nwidth = "2..8"\nbatch = 4\nweight-scale = "0.5..2"\n'
        b'dtype = ["float32"]\nloss = ["mse", "half-mse"]\nseed = 3\nseeds-per-shape = 2\n',
        b'networks = ["3-4-2", "5-1"]\nbatch = [1, 8]\ndtype = ["float16"]\nweight-scale = [0.5, 1]\n',
    ),
    words=words("cases depth width batch weight-scale dtype loss seed seeds-per-shape networks [ ] 1..12"),
)
IDS = Target(
    _id,
    seeds=(str(CASE).encode(), b"1-1_b1_float64_half-mse_w1e-06_s9223372036854775807"),
    words=words("_b _w _s float16 bfloat16 tf32 float32 float64 mse mse-sum half-mse 1e-05 1000000"),
    prepared=replacing,
)
INFOS = Target(
    _info,
    seeds=(INFO.model_dump_json().encode(), INFO.model_dump_json(indent=1).encode()),
    words=words("null true 1e400 NaN \\u0000 \\ud800 [] {} shards plan backends networks 10000000"),
    prepared=_nothing_is_synced,
)
RECORDS = Target(
    _records,
    seeds=(
        encode(RECORD) + encode(_REFUSAL),
        encode(RECORD)[:-9],
        b"!" + RECORD.model_dump_json().encode() + b"\n" + _REFUSAL.model_dump_json().encode(),
    ),
    words=words('{"crc32":" ","record": } null NaN Infinity 1e400 \\u001b[2J \\ud800 mismatch engines'),
    prepared=_nothing_is_synced,
)
