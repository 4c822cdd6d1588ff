"""What came of a run: ``records.jsonl``, in its directory.

Records are only ever added, each as a whole line that is on the disk before
the next case counts as begun. What a crash leaves of a line is moved into a
file of its own when the run is opened for writing again. A lock on
``records.jsonl`` keeps a second writer out; the system drops it with the
process that holds it. Readers need no lock: a line without an end is no result.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from ..networks.errors import InvalidInput
from ..networks.files import reason_of, sync_directory, unreadable
from .info import RUN_FILE, UNFINISHED, RunInfo, read_info, write_info
from .lines import encode, lines
from .records import Record

RECORDS_FILE = "records.jsonl"
HOME = Path("crossgrad-runs")
"""Where runs go that are given no directory."""

Warn = Callable[[str], None]
"""Called with a sentence for the user."""


def read_records(path: Path, warn: Warn) -> Iterator[Record]:
    """The records of a run, one at a time, each case once; damage is told and passed over."""
    seen: set[str] = set()
    file = path / RECORDS_FILE
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise InvalidInput(f"{file} is no regular file")
        with open(file, "rb") as opened:
            for line in lines(opened):
                if line.damage:
                    warn(f"{file}, line {line.number} {line.damage}: it is passed over")
                elif line.record and line.record.id not in seen:
                    seen.add(line.record.id)
                    yield line.record
    except FileNotFoundError:
        raise InvalidInput(f"{file} is not there: crossgrad sweep --resume {path} begins it anew") from None
    except OSError as error:
        raise unreadable(file, error) from None


class RunWriter:
    """A run that this process, and no other, adds records to. Use it as a context manager.

    Attributes
    ----------
    path, info
        The directory, and what it says of itself.
    done
        Ids of the cases that have a record.
    """

    def __init__(self, path: Path, info: RunInfo, descriptor: int, warn: Warn) -> None:
        self.path, self.info, self.done = path, info, set[str]()
        self._descriptor = descriptor
        self._broken = False
        self._end = self._recover(warn)

    @classmethod
    def create(cls, path: Path, info: RunInfo) -> Self:
        """Make the directory of a new run.

        Raises
        ------
        InvalidInput
            If it holds anything, or cannot be made.
        """
        with _told(path, "make"):
            require_new(path)  # before the lock, which is a file, is put there
            was_there = path.exists()
            path.mkdir(parents=True, exist_ok=True)
            sync_directory(path.parent)
            descriptor = _locked(path)
            try:
                require_new(path)
            except BaseException:  # another process was faster: it is its own
                os.close(descriptor)
                raise
            try:
                write_info(path, info)
                return cls(path, info, descriptor, lambda sentence: None)
            except BaseException:
                if not was_there:
                    shutil.rmtree(path, ignore_errors=True)
                os.close(descriptor)
                raise

    @classmethod
    def resume(cls, path: Path, warn: Warn) -> Self:
        """Open a run to add what is missing.

        Raises
        ------
        InvalidInput
            If there is none, another process is writing it, or it cannot be written.
        """
        read_info(path)
        with _told(path, "write"):
            descriptor = _locked(path)
            try:
                return cls(
                    path, read_info(path), descriptor, warn
                )  # again: another process may have described it meanwhile
            except BaseException:
                os.close(descriptor)
                raise

    def append(self, record: Record) -> None:
        """Put a record on the disk.

        Raises
        ------
        InvalidInput
            If that fails, a full disk being the usual reason. What was half written
            is taken back, the records before are whole, and no more are taken.
        """
        if self._broken:
            raise InvalidInput(f"{self.path} takes no more records since writing one failed")
        line = encode(record)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except BaseException as error:
            self._broken = True
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.fsync(self._descriptor)
            if not isinstance(error, OSError):
                raise
            raise InvalidInput(
                f"cannot write {self.path / RECORDS_FILE}: {reason_of(error)}; "
                f"its {len(self.done):,} records are whole: make room, then go on with "
                f"crossgrad sweep --resume {self.path}"
            ) from None
        self._end += len(line)
        self.done.add(record.id)

    def describe(self, info: RunInfo) -> None:
        """Describe the run anew, with more cases or another environment."""
        with _told(self.path, "write"):
            write_info(self.path, info)
        self.info = info

    def close(self) -> None:
        """Let go of the run."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._broken = -1, True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _recover(self, warn: Warn) -> int:
        """Read what is done, set a torn line aside, and return where the next one begins."""
        end = 0
        with open(self.path / RECORDS_FILE, "rb") as file:
            for line in lines(file):
                if line.torn:
                    kept = _set_aside(self.path, file, line.start)
                    os.ftruncate(self._descriptor, line.start)
                    os.fsync(self._descriptor)
                    warn(
                        f"line {line.number} of {self.path / RECORDS_FILE} was never finished: "
                        f"it is in {kept.name} now, its case will be run again"
                    )
                    break
                if line.damage:
                    warn(f"line {line.number} of {self.path / RECORDS_FILE} {line.damage}: "
                         "it is passed over, its case will be run again")  # fmt: skip
                elif line.record:
                    self.done.add(line.record.id)
                end = line.end
        return end


def require_new(path: Path) -> None:
    """Raise `InvalidInput` unless a run can be made here, over what is left of one that was never made."""
    with _told(path, "make"):
        if (path / RUN_FILE).exists():
            raise InvalidInput(
                f"{path} is a run already: go on with it by sweep --resume {path}, or name another directory"
            )
        others = (RECORDS_FILE, UNFINISHED)
        if path.exists() and any(entry.name not in others for entry in path.iterdir()):
            raise InvalidInput(f"{path} holds other files: name a new or an empty directory")
        records = path / RECORDS_FILE
        if records.exists() and records.stat().st_size:
            raise InvalidInput(
                f"{path} holds records of a run whose {RUN_FILE} is missing: put that back to go on with it, "
                "or name another directory"
            )


def new_path(home: Path = HOME) -> Path:
    """A directory for a run that is given none, named after the time."""
    name = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    taken = [home / name, *(home / f"{name}-{number}" for number in range(2, 1000))]
    return next(path for path in taken if not path.exists())


def _locked(path: Path) -> int:
    """The descriptor of the records' file, made if there is none, with the lock on it."""
    import fcntl  # not everywhere: the rest of the module can be read with on any system

    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path / RECORDS_FILE, flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput(f"{path / RECORDS_FILE} is no regular file")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sync_directory(path)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise InvalidInput(
                f"another process is writing {path}: wait for it, or name another directory"
            ) from None
        raise
    return descriptor


def _set_aside(path: Path, file: Any, start: int) -> Path:
    """Copy what follows `start` into a file of its own, in pieces."""
    taken = (path / f"torn-{number}.txt" for number in range(1, 10**6))
    kept = next(name for name in taken if not name.exists())
    file.seek(start)
    with open(kept, "xb") as aside:
        while piece := file.read(2**20):
            aside.write(piece)
        aside.flush()
        os.fsync(aside.fileno())
    sync_directory(path)
    return kept


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"cannot {what} {path}: {reason_of(error)}") from None
