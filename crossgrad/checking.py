"""The main job: cases and engines in, a report out."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .candidates import Candidate, CandidateFile, candidates_on
from .engines import EngineId, installed_backends
from .execution import Executor, open_executor
from .networks.batches import as_batch
from .networks.cases import Case
from .networks.catalogue import Entry, build_case, find_entry
from .networks.cost import require_affordable
from .networks.dtypes import find_dtype
from .networks.errors import InvalidInput, shortened
from .networks.memory import require_memory
from .networks.spec import Network
from .pythons import as_pythons, told
from .workers.limits import Limits

if TYPE_CHECKING:
    from .report import CaseReport, Report

DEFAULT_DTYPES = ("float32", "float64")

Progress = Callable[[str, int, int], None]
"""Called with what happens next, runs done, and runs in all."""


def check(
    network: str | Path | Network | Sequence[str | Path | Network] | None = None,
    *,
    params: Sequence[Any] | None = None,
    batch: tuple[Any, Any] | None = None,
    loss: str | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[Any] = DEFAULT_DTYPES,
    candidates: Mapping[str, Candidate | CandidateFile] | None = None,
    candidate_backend: str | None = None,
    oracle: str = "auto",
    mnist: Path | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
    limits: Limits | None = None,
    pythons: Mapping[str, str | Path] | None = None,
    allow_large: bool = False,
) -> "Report":
    """Run every case on every engine and compare every quantity.

    Parameters
    ----------
    network
        A catalogue name, widths such as ``"784-30-10"``, a ``.toml`` file, a `Network`, or several.
        Default: article and digits; with `mnist`, mnist-shape.
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
        Of ``float16 bfloat16 tf32 float32 float64``, by name or as NumPy, torch or JAX have them.
    candidates
        Functions ``fn(params, x, y) -> (loss, grads)`` on NumPy arrays, compared
        like engines on loss, dW and db, under the names given; or files that hold them,
        as ``{"mine": crossgrad.CandidateFile.parse("mine.py")}``.
    candidate_backend
        Give all of them arrays of ``numpy``, ``torch`` or ``jax``, in the case's dtype on the CPU.
        Torch's parameters are leaves that require grad, and share memory with nothing.
    oracle
        Who judges: ``auto``, ``arb`` (certified), ``wide``, ``float64``, or ``none``,
        which compares engines with each other.
    mnist
        A folder with the original MNIST files, used as data.
    notes
        Remarks that the report should carry.
    progress
        Called before each run.
    isolate
        Run each engine in a process of its own, which `limits` ends if it is late
        or takes too much memory: an engine that crashes costs its own rows only.
        Candidates that are functions run in this process all the same.
    limits
        Seconds for import, compilation and run, and memory, of an isolated engine:
        ``crossgrad.Limits(running=10, memory=2**30)``.
    pythons
        Other Pythons by name, as paths of interpreters or virtual environments: with ``{"old": path}``
        the backend ``"old/torch"`` is the torch that is installed there. Needs `isolate`.
    allow_large
        Take networks and batches that would run for hours too; what does not fit into memory is refused.

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
    remarks = [*_texts("notes", notes)]
    if network is None:
        network, more = default_networks(mnist)
        remarks += more
    if mnist is not None and batch is not None:
        raise InvalidInput(f"mnist {shortened(mnist)} and batch are both data: leave one out")
    networks = [network] if isinstance(network, str | Path | Network) else list(_sequence("network", network))
    dtypes = _sequence("dtypes", dtypes if isinstance(dtypes, Sequence) else [dtypes])
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
    wanted = None if backends is None else _texts("backends", backends)
    mine = candidates_on(candidate_backend, candidates)
    places = None if devices is None else _texts("devices", devices)
    if progress is not None and not callable(progress):
        raise InvalidInput(f"progress is {progress!r}: expected a function(engine, done, in_all)")
    traces = len(wanted or installed_backends()) + len(mine)
    with open_executor(wanted, places, mine, isolate, limits, pythons=as_pythons(pythons)) as executor:
        from .oracle import require_oracle  # heavy, like the numbers below: meanwhile engines start

        for name in names:
            require_oracle(oracle, name)
        cases = [_case(entry, dtype, options, traces, allow_large) for entry in entries for dtype in names]
        return _report(cases, executor, oracle, remarks, progress, started)


def default_networks(mnist: Path | None) -> tuple[list[str], tuple[str, ...]]:
    """The networks of a check that names none, and a note if one of them is left out."""
    if mnist is not None:
        return ["mnist-shape"], ()
    if find_spec("sklearn") is None:
        return ["article"], ('digits left out: its data come with pip install "crossgrad[digits]"',)
    return ["article", "digits"], ()


def check_cases(
    cases: Sequence[Case],
    *,
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    candidates: Mapping[str, Candidate | CandidateFile] | None = None,
    candidate_backend: str | None = None,
    oracle: str = "auto",
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
    limits: Limits | None = None,
    pythons: Mapping[str, str | Path] | None = None,
) -> "Report":
    """As `check`, of cases that are there already."""
    from .oracle import require_oracle

    started = time.perf_counter()
    for case in cases:
        require_oracle(oracle, case.dtype)
    mine = candidates_on(candidate_backend, candidates)
    with open_executor(backends, devices, mine, isolate, limits, pythons=as_pythons(pythons)) as executor:
        return _report(cases, executor, oracle, notes, progress, started)


def _report(
    cases: Sequence[Case],
    executor: Executor,
    oracle: str,
    notes: Sequence[str],
    progress: Progress | None,
    started: float,
) -> "Report":
    from .environment import environment
    from .judging import judge_all
    from .report import Report

    done = 0

    def announce(engine: EngineId) -> None:
        nonlocal done
        if progress is not None:
            progress(str(engine), done, len(cases) * executor.runs_a_case)
        done += 1

    reports = tuple(judge_all(cases, executor, oracle, announce))
    imports = {f"import {name}": spent for name, spent in executor.selection.import_seconds.items()}
    surroundings = environment(executor.environment())
    remarks = (*notes, *told(surroundings["backends"]), *_judged_by_themselves(reports))
    return Report(reports, surroundings, imports | {"total": time.perf_counter() - started}, remarks)


def _judged_by_themselves(reports: "Iterable[CaseReport]") -> list[str]:
    """A note of each engine that is the oracle too."""
    engines = {
        str(run.engine): None for case in reports for run in case.runs if run.engine.backend == case.oracle
    }
    return [
        f"{engine} is the oracle itself: that it agrees shows nothing; --oracle wide judges it"
        for engine in engines
    ]


def plan_case(
    network: str | Path | Network,
    dtype: str,
    mnist: Path | None = None,
    *,
    allow_large: bool = False,
    **options: Any,
) -> Case:
    """The case that `network` and the options of `check` describe; refused if it is too large."""
    return _case(find_entry(network, mnist), find_dtype(dtype).name, options, 1, allow_large)


def _sequence(what: str, value: Any) -> Sequence[Any]:
    """`value`, one name in a list, or an error: a string is a sequence too, of letters."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence):
        raise InvalidInput(f"{what} is {shortened(repr(value))}: expected a list of names")
    return value


def _texts(what: str, value: Any) -> Sequence[str]:
    found = _sequence(what, value)
    for text in found:
        if not isinstance(text, str):
            raise InvalidInput(f"{what} has {shortened(repr(text))} in it: expected some text")
    return found


def _case(entry: Entry, dtype: str, options: Mapping[str, Any], traces: int, allow_large: bool) -> Case:
    size = _samples(entry, options)
    require_memory(entry.network, size, dtype, traces)
    require_affordable(entry.network, size, allow_large=allow_large)
    return build_case(entry, dtype=dtype, **options)


def _samples(entry: Entry, options: Mapping[str, Any]) -> int:
    """Samples in the batch, for estimates: what was given is checked when the case is made of it."""
    if options.get("batch") is not None and options.get("batch_size") is None:
        return max(1, as_batch(options["batch"]).x.size // entry.network.inputs)
    return options.get("batch_size") or entry.batch_size
