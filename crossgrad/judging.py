"""From what engines delivered to a case's report: oracle, verdicts, blame, and what else is not in order."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .compare import Comparison, blame, compare_runs, with_conventions
from .engines import Selection
from .execution import Began, Executor, Finish
from .networks.cases import Case
from .oracle import Oracle, consult
from .report import CaseReport
from .run import BROKEN, MISSING, OK, Run
from .verdict import AGREE, WRONG


def judge_all(
    cases: Iterable[Case], executor: Executor, oracle: str = "auto", began: Began = lambda engine: None
) -> Iterator[CaseReport]:
    """Run cases and judge them, in their order; a few are under way while one is judged.

    Parameters
    ----------
    began
        Called with each engine of a case before its run is waited for.
    """
    under_way: deque[tuple[Case, Finish]] = deque()
    for case in cases:
        under_way.append((case, executor.start(case)))
        if len(under_way) > executor.ahead:
            yield _finished(*under_way.popleft(), executor, oracle, began)
    while under_way:
        yield _finished(*under_way.popleft(), executor, oracle, began)


def _finished(case: Case, finish: Finish, executor: Executor, oracle: str, began: Began) -> CaseReport:
    started = time.perf_counter()
    judge = consult(case, oracle)  # while the engines are at work
    consulted = time.perf_counter() - started
    runs = finish(began)
    started = time.perf_counter()
    report = judge_case(case, runs, judge, executor.selection)
    return replace(report, judge_seconds=consulted + time.perf_counter() - started)


def judge_case(case: Case, runs: Sequence[Run], judge: Oracle, selection: Selection) -> CaseReport:
    """The report of a case: every run before its judge."""
    judged = compare_runs(case, runs, judge)
    blames = blame(case, runs, judged)
    comparisons = with_conventions(judged, blames)
    return CaseReport(
        name=case.name,
        network=str(case.network),
        loss=case.loss,
        batch_size=case.batch_size,
        learning_rate=case.learning_rate,
        seed=case.seed,
        dtype=case.dtype,
        oracle=judge.name,
        runs=tuple(replace(run, trace=None) for run in runs),
        comparisons=comparisons,
        blames=blames,
        problems=tuple(_problems(runs, selection, comparisons)),
    )


def _problems(runs: Sequence[Run], selection: Selection, comparisons: Sequence[Comparison]) -> list[str]:
    """What keeps a case from being in order although nothing disagrees."""
    broken = {engine.id for engine in selection.engines if engine.problem is not None}
    failed = [
        run
        for run in runs
        if run.status in BROKEN or run.engine in broken or (run.partial and run.status == MISSING)
    ]
    found = [f"{run.engine}: {run.message}" for run in failed]
    answered = [run.engine for run in runs if run.status == OK] + [run.engine for run in failed]
    for wanted, attribute in ((selection.named_backends, "label"), (selection.named_devices, "device")):
        for name in wanted:
            if not any(getattr(engine, attribute) == name for engine in answered):
                reasons = {
                    run.message for run in runs if getattr(run.engine, attribute) == name and run.message
                }
                found.append(f"{name} was asked for: {'; '.join(sorted(reasons)) or 'it did not run'}")
    if not comparisons:
        found.append("nothing was compared: an engine must succeed, and two of them where there is no oracle")
    elif not any(c.verdict == AGREE or c.verdict in WRONG for c in comparisons):
        wider = sorted({c.judgement.decidable_in for c in comparisons if c.judgement.decidable_in})
        way_out = (
            f"rounding noise drowns every quantity; try {' or '.join(wider)}" if wider else "see --details"
        )
        found.append(f"nothing was decidable: {way_out}")
    return list(dict.fromkeys(found))
