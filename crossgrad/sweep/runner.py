"""Runs what a run lacks, case by case, and puts each result on the disk before it counts."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..networks.cases import Case
from ..networks.errors import InvalidInput
from ..networks.memory import require_memory
from ..report import CaseReport
from ..run import summary_of
from ..workers.pool import PoolClosed
from .ids import CaseId
from .records import Record, record_of, record_of_refusal
from .store import RunWriter

Execute = Callable[[Iterable[Case]], Iterator[CaseReport]]
"""Runs cases, which it takes as it has room for them, and gives their reports in the same order."""

Progress = Callable[[int, int, int], None]
"""Called with cases done, cases planned, and failures of this session."""


@dataclass(frozen=True)
class Session:
    """What one call of `sweep` did.

    Parameters
    ----------
    ran, failures
        Cases run, and those among them that are not in order.
    stopped
        Whether it ended early, as there were as many failures as it was to bear.
    """

    ran: int
    failures: int
    stopped: bool


def sweep(
    run: RunWriter,
    execute: Execute,
    traces: int,
    *,
    max_failures: int | None = None,
    progress: Progress = lambda done, planned, failures: None,
) -> Session:
    """Run every case of the run's shard that has no record yet.

    Parameters
    ----------
    traces
        Engines that run a case, for the estimate of its memory.
    max_failures
        Stop at so many cases that are not in order.

    Raises
    ------
    InvalidInput
        If a record cannot be written, or the oracle asked for cannot judge; what was
        finished is in the run.
    """
    return _Sweep(run, execute, traces, max_failures, progress).run()


class _Sweep:
    def __init__(
        self, run: RunWriter, execute: Execute, traces: int, max_failures: int | None, progress: Progress
    ) -> None:
        self._store, self._execute, self._traces = run, execute, traces
        self._most, self._progress = max_failures, progress
        self._again: deque[CaseId] = deque()
        self._missing = _missing(run)
        self._under_way: dict[str, tuple[CaseId, float]] = {}
        self._ran = self._failures = 0

    def run(self) -> Session:
        self._tell()
        reports = self._execute(self._cases())
        while not self._enough:
            try:
                report = next(reports, None)
            except (InvalidInput, PoolClosed):
                raise
            except Exception as error:
                self._give_up_first(error)
                reports = self._execute(self._cases())
                continue
            if report is None:
                break
            _, draw_seconds = self._under_way.pop(report.name)
            self._finish(record_of(report, draw_seconds))
        return Session(self._ran, self._failures, self._enough)

    @property
    def _enough(self) -> bool:
        return self._most is not None and self._failures >= self._most

    def _cases(self) -> Iterator[Case]:
        """The cases that are missing, drawn as they are asked for; one that cannot be made is recorded so."""
        while not self._enough:
            case_id = self._again.popleft() if self._again else next(self._missing, None)
            if case_id is None:
                return
            started = time.perf_counter()
            try:
                require_memory(case_id.network, case_id.batch, case_id.dtype, self._traces)
                case = case_id.case()
            except InvalidInput as error:
                self._finish(record_of_refusal(case_id, str(error)))
                continue
            except Exception as error:
                self._finish(record_of_refusal(case_id, f"it cannot be made: {summary_of(error)}"))
                continue
            self._under_way[case.name] = case_id, time.perf_counter() - started
            yield case

    def _finish(self, record: Record) -> None:
        self._store.append(record)
        self._ran += 1
        self._failures += not record.in_order
        self._tell()

    def _tell(self) -> None:
        self._progress(len(self._store.done), self._store.info.planned, self._failures)

    def _give_up_first(self, error: Exception) -> None:
        """Judging broke, of the case that was next: the others under way are begun again."""
        if not self._under_way:
            raise error
        first, *others = (case_id for case_id, _ in self._under_way.values())
        self._under_way.clear()
        self._again.extendleft(reversed(others))
        self._finish(record_of_refusal(first, f"judging it failed: {summary_of(error)}"))


def _missing(run: RunWriter) -> Iterator[CaseId]:
    plan = run.info.plan
    for number in run.info.shard.numbers(plan):
        case_id = plan.case(number)
        if str(case_id) not in run.done:
            yield case_id
