"""Records as lines: strict JSON, each with the checksum of its record as it is written there.

    {"crc32":"2f8b3c01","record":{"id":"3-4-2_b32_float32_mse_w1_s0", ...}}

A line counts if it ends, its checksum is right and its record has the
published form; anything else is damage, told by its number and passed over.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydantic import ValidationError

from .records import Record

LONGEST_LINE = 2**24
"""Bytes; no more of a line is ever held."""

_LINE = re.compile(rb'\{"crc32":"([0-9a-f]{8})","record":(.*)\}\n', re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One line of a file: its number from 1, where it begins and ends, and its record or what is wrong.

    Parameters
    ----------
    torn
        Whether it has no end: the last one of a writer that was stopped, or is at it.
    """

    number: int
    start: int
    end: int
    record: Record | None = None
    damage: str | None = None
    torn: bool = False


def encode(record: Record) -> bytes:
    """The line of a record, its end included."""
    body = record.model_dump_json(exclude_defaults=True).encode()
    return b'{"crc32":"%08x","record":%s}\n' % (zlib.crc32(body), body)


def lines(file: BinaryIO) -> Iterator[Line]:
    """Every line of a file, one at a time."""
    start, number = 0, 0
    while text := file.readline(LONGEST_LINE):
        size, ended = len(text), text.endswith(b"\n")
        while not ended and (more := file.readline(LONGEST_LINE)):
            size, ended = size + len(more), more.endswith(b"\n")
        number += 1
        if not ended:
            yield Line(number, start, start + size, damage="has no end", torn=True)
        elif size > len(text):
            yield Line(number, start, start + size, damage=f"has {size:,} bytes")
        else:
            yield _decoded(text, number, start)
        start += size


def _decoded(text: bytes, number: int, start: int) -> Line:
    found, end = _LINE.fullmatch(text), start + len(text)
    if found is None:
        return Line(number, start, end, damage="is no record with a checksum")
    if int(found[1], 16) != zlib.crc32(found[2]):
        return Line(number, start, end, damage="does not have the checksum that it had when it was written")
    try:
        return Line(number, start, end, Record.model_validate_json(found[2]))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        return Line(number, start, end, damage=f"is no record of this version: {place}: {problem['msg']}")
