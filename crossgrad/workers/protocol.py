"""Messages between the parent and a worker: JSON behind a header that garbage does not imitate.

A frame is ``magic | length | crc32 | JSON``. An engine may write whatever it
likes to every descriptor that it finds; what is not a whole, intact frame is a
`ProtocolError`, never a result. Nothing is pickled: a message can hold numbers
and text, and nothing that runs.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

VERSION = 1
"""Of the messages; a worker says its own first, and the parent talks to no other."""

LARGEST_MESSAGE = 1 << 26
_MAGIC = b"xgrd"
_HEADER = struct.Struct(">4sII")


class ProtocolError(RuntimeError):
    """What arrived is no message, or not one that can be answered."""


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as the bytes of one frame; what JSON has no word for goes as its text."""
    body = json.dumps(message, default=str).encode()
    return _HEADER.pack(_MAGIC, len(body), crc32(body)) + body


class Inbox:
    """Takes bytes as they come in, and gives whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add what was read.

        Yields
        ------
        dict
            Each message that is now complete.

        Raises
        ------
        ProtocolError
            If what was read is not made of frames.
        """
        self._bytes += data
        while len(self._bytes) >= _HEADER.size:
            magic, length, checksum = _HEADER.unpack_from(self._bytes)
            if magic != _MAGIC or length > LARGEST_MESSAGE:
                raise ProtocolError(f"bytes that are no message: {bytes(self._bytes[:40])!r}")
            end = _HEADER.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            if crc32(body) != checksum:
                raise ProtocolError("a message whose checksum is wrong")
            try:
                message = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise ProtocolError(f"a message that is no JSON: {type(error).__name__}") from None
            if not isinstance(message, dict):
                raise ProtocolError(f"a message that is no object: {body[:40]!r}")
            yield message
