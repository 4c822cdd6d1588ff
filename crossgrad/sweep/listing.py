"""The runs of a directory, each in a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..networks.errors import InvalidInput
from ..networks.files import is_there, unreadable
from .info import RUN_FILE, read_info
from .store import HOME, read_records


@dataclass(frozen=True)
class Listed:
    """A run, or the reason why it cannot be read.

    Parameters
    ----------
    done, planned
        Cases.
    failures
        Cases that are not in order.
    damaged
        Lines that hold no record.
    """

    path: Path
    created: str = ""
    engines: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    done: int = 0
    planned: int = 0
    failures: int = 0
    damaged: int = 0
    problem: str | None = None


def listed(directory: Path) -> Iterator[Listed]:
    """Every run in a directory, by name; `directory` itself if it is one.

    Raises
    ------
    InvalidInput
        If there is no such directory, unless it is the one that sweeps make when they are first run.
    """
    if is_there(directory / RUN_FILE):
        yield _listed(directory)
        return
    if directory == HOME and not is_there(directory):
        return
    try:
        paths = sorted(path for path in directory.iterdir() if (path / RUN_FILE).exists())
    except (OSError, ValueError) as error:
        raise unreadable(directory, error) from None
    for path in paths:
        yield _listed(path)


def _listed(path: Path) -> Listed:
    damage: list[str] = []
    done = failures = 0
    try:
        info = read_info(path)
        for record in read_records(path, damage.append):
            done += 1
            failures += not record.in_order
    except InvalidInput as error:
        return Listed(path, problem=str(error))
    return Listed(
        path,
        info.created,
        tuple(info.engines),
        tuple(info.shards),
        done,
        info.planned,
        failures,
        len(damage),
    )
