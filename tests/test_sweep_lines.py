"""A line of a run is a record or damage, and every record reads back from its line."""

import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad.findings import ORDER
from crossgrad.sweep import lines as lines_module
from crossgrad.sweep.lines import encode
from crossgrad.sweep.records import STATES, EngineRecord, Record

from .published import hold
from .sweeps import INFO, record

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "-Infinity"])
ENGINES = st.builds(
    EngineRecord,
    engine=st.text(max_size=20),
    state=st.sampled_from(STATES),
    message=st.none() | st.text(),
    seconds=st.dictionaries(st.text(max_size=5), st.floats(0, 1e6)),
    quantities=st.dictionaries(st.sampled_from(ORDER), st.integers(1, 1000)),
    worst=st.none() | st.text(max_size=5),
    over_floor=NUMBERS,
    digits=NUMBERS,
)
RECORDS = st.builds(
    record,
    st.integers(0, 10**6),
    verdict=st.sampled_from(ORDER),
    problems=st.lists(st.text(), max_size=3).map(tuple),
    engines=st.lists(ENGINES, max_size=3).map(tuple),
)


@given(one=RECORDS)
def test_record_reads_back_from_its_line(one: Record, tmp_path_factory: pytest.TempPathFactory) -> None:
    line = encode(one)
    assert line.count(b"\n") == 1

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(line, parse_constant=refuse)
    assert int(document["crc32"], 16) == zlib.crc32(line[line.index(b'"record":') + 9 : -2])
    path = tmp_path_factory.getbasetemp() / "line"
    path.write_bytes(line)
    with open(path, "rb") as file:
        (found,) = lines_module.lines(file)
    assert found.record == one


@settings(max_examples=30)
@given(one=RECORDS)
def test_published_schema_takes_records(one: Record) -> None:
    hold(json.loads(encode(one))["record"], "record")
    hold(json.loads(INFO.model_dump_json()), "run")


@given(noise=st.binary(max_size=200), at=st.integers(0, 10**6))
def test_any_bytes_are_records_or_damage(
    noise: bytes, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = b"".join(encode(record(number)) for number in range(3))
    at %= len(good) + 1
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(good[:at] + noise + good[at:])
    with open(path, "rb") as file:
        found = list(lines_module.lines(file))
    assert [line.start for line in found[1:]] == [line.end for line in found[:-1]]
    assert all((line.record is None) == (line.damage is not None) for line in found)
    whole = [record(number) for number in range(3)]
    assert all(line.record in whole for line in found if line.record)
