"""What a worker is at, in a word of memory that it shares with its parent.

A message for each phase would wake the parent up five times a case, for what it
only needs to know when a clock runs out or the worker dies. The word is a
number that grows with each phase entered, and the phase. A look that falls
between the two is put right by the next.
"""

import mmap
import os
import struct

from .limits import PHASE_OF
from .protocol import ProtocolError

_PHASES: tuple[str, ...] = tuple(PHASE_OF)
_WORD = struct.Struct("=II")


def make_room(file: int) -> None:
    """Size anonymous memory for the word; before the worker is started."""
    os.ftruncate(file, mmap.PAGESIZE)


class Announcer:
    """The worker's side: mapped, so that it works on whatever an engine does to descriptors."""

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, mmap.PAGESIZE)

    def __call__(self, phase: str) -> None:
        number, _ = _WORD.unpack_from(self._memory)
        _WORD.pack_into(self._memory, 0, (number + 1) % 2**32, _PHASES.index(phase))


class Watcher:
    """The parent's side: read, not mapped, as a mapped file that an engine cuts off ends who looks at it."""

    def __init__(self, file: int) -> None:
        self._file, self._seen = file, bytes(_WORD.size)

    def changed(self) -> str | None:
        """The phase that was entered since this was asked, if there was one.

        Raises
        ------
        ProtocolError
            If what is written there is none.
        """
        word = os.pread(self._file, _WORD.size, 0)
        if word == self._seen:
            return None
        self._seen = word
        phase = _WORD.unpack(word)[1] if len(word) == _WORD.size else len(_PHASES)
        if phase >= len(_PHASES):
            raise ProtocolError(f"bytes that are no phase: {word!r}")
        return _PHASES[phase]
