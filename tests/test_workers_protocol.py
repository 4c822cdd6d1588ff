"""What passes between processes arrives whole, or is refused: messages and arrays."""

import os
import struct
from contextlib import suppress
from unittest.mock import Mock
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.engines import EngineId
from crossgrad.workers.arrays import anonymous_file, read_arrays, write_arrays
from crossgrad.workers.pool import Pool
from crossgrad.workers.protocol import Inbox, ProtocolError, pack
from crossgrad.workers.tasks import AgainTask, HoldTask
from crossgrad.workers.wire import description_of, packed

from .conftest import make_case


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=4), st.data()
)
def test_messages_arrive_whole_however_they_are_cut(messages: list, data: st.DataObject) -> None:
    stream = b"".join(map(pack, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    inbox, found = Inbox(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += inbox.feed(stream[start:end])
    assert found == messages


@given(st.binary(min_size=12))
def test_garbage_is_no_message(garbage: bytes) -> None:
    with suppress(ProtocolError):
        assert not list(Inbox().feed(garbage))


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_changed_byte_is_no_message(place: int, change: int) -> None:
    """Refused, or waited for where the length grew: never understood."""
    frame = bytearray(pack({"is": "phase", "phase": "a phase with a long name"}))
    frame[place % len(frame)] ^= change
    with suppress(ProtocolError):
        assert not list(Inbox().feed(bytes(frame)))


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b"[]"], ids=["deep", "cut", "bytes", "list"])
def test_what_is_no_object_is_no_message(body: bytes) -> None:
    frame = struct.pack(">4sII", b"xgrd", len(body), crc32(body)) + body
    with pytest.raises(ProtocolError):
        list(Inbox().feed(frame))


DESCRIPTION = {
    "variants": ["manual"],
    "devices": ["cpu"],
    "environment": {},
    "seconds": 0.1,
    "status": "ok",
    "problem": None,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "nonsense"},
        {"status": []},
        {"environment": 5},
        {"problem": 7},
        {"seconds": 10**400},
        {"variants": None},
    ],
    ids=str,
)
def test_descriptions_that_make_no_sense(wrong: dict) -> None:
    assert description_of(DESCRIPTION).variants == ("manual",)
    with pytest.raises(ProtocolError):
        description_of(DESCRIPTION | wrong)


RAN = {"is": "ran", "status": "ok", "seconds": {}, "message": None, "partial": False, "arrays": None}
FOUND = {"loss": 0.5, "lacks": {}, "copied_bytes": None, "products_failed": None, "parts": {}}


@pytest.mark.parametrize("found", [[], {}, {"parts": 3}, FOUND | {"parts": 3}, None], ids=str)
def test_what_makes_no_sense_of_a_case_that_is_held(found: object) -> None:
    task = HoldTask(EngineId("numpy", "manual", "cpu"), packed(make_case("1-1")), products=False)
    assert task.take(RAN | {"found": FOUND}, -1)[1] == FOUND
    with pytest.raises(ProtocolError):
        task.take(RAN | {"found": found}, -1)


def test_a_loss_that_is_no_number() -> None:
    task = AgainTask(EngineId("numpy", "manual", "cpu"))
    assert task.take(RAN | {"found": 0.5}, -1)[1] == 0.5
    with pytest.raises(ProtocolError):
        task.take(RAN | {"found": "0.5"}, -1)


def test_after_a_process_is_let_go_nothing_that_it_sent_is_taken() -> None:
    """As after its last case: the place is another process's."""
    pool, place = object.__new__(Pool), Mock()
    worker = place.worker = Mock(read=lambda ready: [{"is": "ran"}, {"is": "loaded"}])
    taken = []

    def take(lane: object, place: Mock, worker: object, answer: dict) -> None:
        taken.append(answer["is"])
        place.worker = None

    pool._take = take
    pool._see_to(Mock(), place, worker, [])
    assert taken == ["ran"]


@pytest.mark.parametrize(
    "array", [np.float32(3), np.zeros((0, 3)), np.arange(6.0).reshape(2, 3).T, np.ones(3, "?")]
)
def test_arrays_cross(array: np.ndarray) -> None:
    file = anonymous_file()
    try:
        found = read_arrays(file, write_arrays(file, {"it": np.asarray(array)}))["it"]
    finally:
        os.close(file)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize(
    "layout",
    [
        [["a", "<f8", [10], 0]],
        [["a", "<f8", [-1], 0]],
        [["a", "<f8", [1], -8]],
        [["a", "O", [1], 0]],
        [["a", "<f8", [2**62], 0]],
        [["a", "nonsense", [1], 0]],
        [["a", "f4,(", [1], 0]],
        [["a"]],
        "text",
        7,
    ],
)
def test_layouts_that_make_no_sense(layout: object) -> None:
    file = anonymous_file()
    try:
        write_arrays(file, {"a": np.ones(2)})
        with pytest.raises(ProtocolError):
            read_arrays(file, layout)
    finally:
        os.close(file)
