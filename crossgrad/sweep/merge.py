"""The shards of one plan, in one run."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..findings import ORDER
from ..networks.errors import InvalidInput
from ..networks.files import reason_of
from .info import RunInfo, read_info
from .plan import RandomPlan
from .records import Record
from .store import RunWriter, Warn, read_records


def merge(paths: Sequence[Path], out: Path, warn: Warn) -> None:
    """Put the records of some runs into a new one, each case once.

    Of two records of a case that differ in more than times the worse is kept, and `warn` is told.

    Raises
    ------
    InvalidInput
        If the runs are not of one plan, engines and oracle, or `out` is in use.
    """
    infos = [read_info(path) for path in paths]
    for path, info in zip(paths[1:], infos[1:], strict=True):
        _require_same(paths[0], infos[0], path, info)
    kept, joined = _worst_of_each(paths, warn), _joined(infos)
    if joined.mixture is not None:
        warn(f"{out}: {joined.mixture}")
    was_there = os.path.lexists(out)
    with RunWriter.create(out, joined) as run, _nothing_left_if_it_fails(out, was_there):
        for index, path in enumerate(paths):
            for record in read_records(path, lambda sentence: None):
                if kept.get(record.id) == index:
                    run.append(record)


@contextmanager
def _nothing_left_if_it_fails(out: Path, was_there: bool) -> Iterator[None]:
    """A merged run that could not be written is removed again: its records are in the runs that it is of.

    It is this process's own by then, and locked.
    """
    try:
        yield
    except BaseException as error:
        if was_there:
            raise
        shutil.rmtree(out, ignore_errors=True)
        reason = error.__context__
        if not isinstance(error, InvalidInput) or not isinstance(reason, OSError):
            raise
        raise InvalidInput(
            f"cannot write {out}: {reason_of(reason)}; nothing of it is left: merge anew"
        ) from None


def _worst_of_each(paths: Sequence[Path], warn: Warn) -> dict[str, int]:
    """By case, which run's record to keep; only cases that are in several runs are held as records."""
    kept: dict[str, int] = {}
    several: set[str] = set()
    for index, path in enumerate(paths):
        for record in read_records(path, warn):
            if kept.setdefault(record.id, index) != index:
                several.add(record.id)
    worst: dict[str, Record] = {}
    for index, path in enumerate(paths if several else ()):
        for record in read_records(path, lambda sentence: None):
            if record.id not in several:
                continue
            other = worst.setdefault(record.id, record)
            if other.without_times() != record.without_times():
                first = paths[kept[record.id]]
                warn(f"{record.id} differs: {other.verdict} in {first}, {record.verdict} in {path}")
            if ORDER.index(record.verdict) > ORDER.index(other.verdict):
                worst[record.id], kept[record.id] = record, index
    return kept


def _joined(infos: Sequence[RunInfo]) -> RunInfo:
    longest = max(infos, key=lambda info: info.plan.total)
    shards = list(dict.fromkeys(shard for info in infos for shard in info.shards))
    created = min(info.created for info in infos)
    environments = [about for info in infos for about in (info.environment, *info.other_environments)]
    return longest.model_copy(update={"shards": shards, "created": created}).run_in(environments)


def _require_same(first: Path, one: RunInfo, second: Path, other: RunInfo) -> None:
    """Raise `InvalidInput` naming what differs, but for how long the plan is, and on which machine."""
    left, right = _terms(one), _terms(other)
    differing = [f"{key}: {left.get(key)} and {right.get(key)}" for key in left | right
                 if left.get(key) != right.get(key)]  # fmt: skip
    if differing:
        raise InvalidInput("\n  ".join([f"{first} and {second} are not parts of one sweep:", *differing]))


def _terms(info: RunInfo) -> dict[str, object]:
    leave = {"cases"} if isinstance(info.plan, RandomPlan) else set()
    plan = {key: value for key, value in info.plan.model_dump().items() if key not in leave}
    return plan | {
        "engines": info.engines,
        "oracle": info.oracle,
        "candidates": info.candidates,
        "candidate_backend": info.candidate_backend,
    }
