"""The main job: cases and engines in, a report out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .compare import Comparison, blame, compare_runs, with_conventions
from .engines import EngineId, Selection, installed_backends, select_engines
from .environment import environment
from .networks.cases import Case
from .networks.catalogue import Entry, build_case, find_entry
from .networks.dtypes import find_dtype
from .networks.errors import InvalidInput
from .networks.memory import require_memory
from .networks.spec import Network
from .oracle import consult, require_oracle
from .report import CaseReport, Report
from .run import FAILED, OK, Candidate, Run, run_candidate, run_engine
from .verdict import AGREE, WRONG

DEFAULT_DTYPES = ("float32", "float64")

Progress = Callable[[str, int, int], None]
"""Called with what happens next, runs done, and runs in all."""


def check(
    network: str | Path | Network | Sequence[str | Path | Network] = ("article", "digits"),
    *,
    params: Sequence[Any] | None = None,
    batch: tuple[Any, Any] | None = None,
    loss: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[str] = DEFAULT_DTYPES,
    candidates: Mapping[str, Candidate] | None = None,
    oracle: str = "auto",
    mnist: Path | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Run every case on every engine and compare every quantity.

    Parameters
    ----------
    network
        A catalogue name, widths such as ``"784-30-10"``, a ``.toml`` file, a `Network`, or several.
    params
        Parameters to use: a list of pairs ``(W (O, I), b (O,))``, b None without bias. Default: drawn.
    batch
        Data to use: a pair ``(x (B, I), y (B, O))``. Default: the network's own.
    loss, batch_size, learning_rate
        ``mse``, ``mse-sum`` or ``half-mse``; samples a batch; of the SGD step. Default: the network's own.
    seed
        Of the drawn parameters and data.
    backends
        Engines as ``"torch"`` or ``"torch:func"``. Default: all that are installed.
    devices
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``. Default: all that each engine sees.
    dtypes
        Of ``float16 bfloat16 tf32 float32 float64``.
    candidates
        Functions ``fn(params, x, y) -> (loss, grads)`` on NumPy arrays, compared
        like engines on loss, dW and db, under the names given.
    oracle
        Who judges: ``auto``, ``arb`` (certified), ``wide``, ``float64``, or ``none``,
        which compares engines with each other.
    mnist
        A folder with the original MNIST files, used as data.
    notes
        Remarks that the report should carry.
    progress
        Called before each run.

    Raises
    ------
    InvalidInput
        If anything given is unknown, out of range or does not fit; nothing has run then.

    Examples
    --------
    >>> import crossgrad
    >>> crossgrad.check("article", backends=["numpy"], dtypes=["float32"]).verdict
    'agree'
    """
    started = time.perf_counter()
    networks = [network] if isinstance(network, str | Path | Network) else list(_sequence("network", network))
    dtypes = _sequence("dtypes", dtypes)
    entries = list(dict.fromkeys(find_entry(item, mnist) for item in networks))
    if not entries or not dtypes:
        raise InvalidInput("nothing to check: name at least one network and one dtype")
    options = {
        "loss": loss,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "params": params,
        "batch": batch,
    }
    names = list(dict.fromkeys(find_dtype(dtype).name for dtype in dtypes))
    for name in names:
        require_oracle(oracle, name)
    wanted = None if backends is None else _sequence("backends", backends)
    places = None if devices is None else _sequence("devices", devices)
    traces = len(wanted or installed_backends()) + len(candidates or {})
    cases = [_case(entry, dtype, options, traces) for entry in entries for dtype in names]
    selection = select_engines(wanted, places)
    functions = _checked_candidates(candidates or {}, selection)
    reports = []
    for number, case in enumerate(cases):
        announce = _announcer(progress, number, len(cases), len(selection.engines) + len(functions))
        reports.append(_check_case(case, selection, functions, oracle, announce))
    loaded = {engine.backend.name: engine.backend for engine in selection.engines if engine.backend}
    return Report(
        tuple(reports),
        environment(loaded.values()),
        {f"import {name}": spent for name, spent in selection.import_seconds.items()}
        | {"total": time.perf_counter() - started},
        tuple(notes),
    )


def plan_case(network: str | Path | Network, dtype: str, mnist: Path | None = None, **options: Any) -> Case:
    """The case that `network` and the options of `check` describe; refused if it cannot fit into memory."""
    return _case(find_entry(network, mnist), find_dtype(dtype).name, options, traces=1)


def _sequence(what: str, value: Any) -> Sequence[Any]:
    """`value`, one name in a list, or an error: a string is a sequence too, of letters."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence):
        raise InvalidInput(f"{what} is {value!r}: expected a list of names")
    return value


def _case(entry: Entry, dtype: str, options: Mapping[str, Any], traces: int) -> Case:
    size = options.get("batch_size") or entry.batch_size
    require_memory(entry.network, size, dtype, traces)
    return build_case(entry, dtype=dtype, **options)


def _check_case(
    case: Case,
    selection: Selection,
    candidates: Mapping[str, Candidate],
    oracle: str,
    announce: Callable[[EngineId], None],
) -> CaseReport:
    runs: list[Run] = []
    for engine in selection.engines:
        announce(engine.id)
        runs.append(run_engine(case, engine))
    for name, function in candidates.items():
        announce(EngineId(name, "candidate", "cpu"))
        runs.append(run_candidate(case, name, function))
    judge = consult(case, oracle)
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
    broken = {engine.id for engine in selection.engines if engine.backend is None}
    found = [f"{run.engine}: {run.message}" for run in runs if run.status == FAILED or run.engine in broken]
    succeeded = [run.engine for run in runs if run.status == OK]
    for wanted, attribute in ((selection.named_backends, "label"), (selection.named_devices, "device")):
        for name in wanted:
            if not any(getattr(engine, attribute) == name for engine in succeeded):
                reasons = {
                    run.message for run in runs if getattr(run.engine, attribute) == name and run.message
                }
                found.append(f"{name} was asked for: {'; '.join(sorted(reasons)) or 'it did not run'}")
    if not comparisons:
        found.append("nothing was compared: an engine must succeed, and two of them where there is no oracle")
    elif not any(c.verdict == AGREE or c.verdict in WRONG for c in comparisons):
        wider = sorted({c.judgement.decidable_in for c in comparisons if c.judgement.decidable_in})
        found.append(f"nothing was decidable: rounding noise drowns every quantity; try {' or '.join(wider)}")
    return list(dict.fromkeys(found))


def _checked_candidates(candidates: Mapping[str, Candidate], selection: Selection) -> Mapping[str, Candidate]:
    taken = {engine.id.backend for engine in selection.engines}
    for name, function in candidates.items():
        if name in taken:
            raise InvalidInput(f"candidate {name!r}: an engine has this name, choose another")
        if not callable(function):
            raise InvalidInput(f"candidate {name!r} is a {type(function).__name__}: expected a function")
    return candidates


def _announcer(
    progress: Progress | None, case_number: int, cases: int, runs_a_case: int
) -> Callable[[EngineId], None]:
    done = case_number * runs_a_case

    def announce(engine: EngineId) -> None:
        nonlocal done
        if progress is not None:
            progress(str(engine), done, cases * runs_a_case)
        done += 1

    return announce
