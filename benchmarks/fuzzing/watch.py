"""A watch over what code does to the machine while it reads hostile input.

Python's audit events tell of files opened for writing, of processes and of
connections before they happen (PEP 578). A hook cannot be taken away again,
so there is one, which looks only while somebody watches.
"""

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {"os.remove", "os.rmdir", "os.mkdir", "os.rename", "os.truncate", "os.link", "os.symlink"}
RUNNING = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
    *("pty.spawn", "socket.connect", "socket.bind", "pickle.find_class"),
}


class Escaped(BaseException):
    """Something was about to be written elsewhere or run; no ``except Exception`` hides it."""


@dataclass(frozen=True)
class _Watch:
    folder: Path
    named: tuple[str, ...]


_watches: list[_Watch] = []
_hooked = False


@contextmanager
def watching(folder: Path, named: Sequence[str] = ()) -> Iterator[None]:
    """Raise `Escaped` before anything is run, or written outside of `folder`.

    Parameters
    ----------
    named
        The user's own words. To write a file that they name is what was asked
        for; it fails, as on a file system that is read-only.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _watches.append(_Watch(folder.resolve(), tuple(named)))
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        _watches.pop()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    if event in RUNNING:
        raise Escaped(f"{event} {arguments!r:.200}")
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if opened or event in CHANGING:
        _look_at(event, arguments[0])


def _look_at(event: str, target: object) -> None:
    if not isinstance(target, str | bytes):
        return  # a file descriptor: it was looked at when it was opened
    path = Path(os.fsdecode(target))
    watch = _watches[-1]
    if path.resolve().is_relative_to(watch.folder):
        return
    if any(str(Path(word[start:])) == str(path) for word in watch.named for start in range(len(word) + 1)):
        raise OSError(errno.EROFS, "Read-only file system", str(path))
    raise Escaped(f"{event} {str(path)!r:.200}")
