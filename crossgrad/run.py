"""One engine on one case: prepare, put, step, trace; a fault costs this run and no other."""

import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import escape
from .backends.base import Backend, BackendUnavailable, Program, Trace, Unsupported
from .candidates import BACKENDS, CandidateFunction, NotLoaded
from .engines import Engine, EngineId, candidate_id
from .natives import Native, load_native
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.parameters import numeric_array
from .repeated import first_difference

OK, FAILED, MISSING, UNSUPPORTED = "ok", "failed", "missing", "unsupported"
OUT_OF_MEMORY, TIMEOUT, CRASHED, PROTOCOL_ERROR = "out-of-memory", "timeout", "crashed", "protocol-error"

STATUSES = (OK, FAILED, MISSING, UNSUPPORTED, OUT_OF_MEMORY, TIMEOUT, CRASHED, PROTOCOL_ERROR)
BROKEN = frozenset((FAILED, OUT_OF_MEMORY, TIMEOUT, CRASHED, PROTOCOL_ERROR))
"""Statuses of engines that were to run the case and did not come through it."""

PHASES = ("prepare", "put", "step", "trace")
"""What an engine does with a case, in this order; `prepare` is where it compiles."""

Announce = Callable[[str], None]
"""Called with the name of each phase as it begins."""

CANDIDATE_KINDS = ("loss", "dW", "db")
"""What a candidate delivers; engines deliver every quantity."""

TYPES = {"numpy": "ndarray", "torch": "Tensor", "jax": "ArrayImpl"}
"""What exceptions call the arrays of each framework that a candidate may take."""

NOT_MINE = ("must be Tensor, not", "call numpy() on Tensor", "as an abstract array")
"""How torch says that what it got is no tensor, or not for NumPy; and JAX, that it is no array."""


EXHAUSTED = ("RESOURCE_EXHAUSTED", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How XLA says that memory has run out; and CUDA and its BLAS, where PyTorch's own allocator is not asked."""


@dataclass(frozen=True)
class Run:
    """What came of one engine on one case: a trace, or the reason why there is none."""

    engine: EngineId
    status: str
    seconds: Mapping[str, float]
    trace: Trace | None = None
    message: str | None = None
    partial: bool = False
    """Whether only the quantities of `CANDIDATE_KINDS` are expected."""

    stderr: str | None = None
    """The last that the engine's process wrote before it ended, where it had one."""

    apart: frozenset[str] = frozenset()
    """What the timed core found otherwise than the trace: a compiler may order the sums of both unlike."""


def run_engine(
    case: Case,
    engine: Engine,
    announce: Announce = lambda phase: None,
    prepare: Callable[[Backend, Case, str, str], Program] | None = None,
) -> Run:
    """Run `case` on `engine`.

    The trace holds the loss and gradients of the timed core, `Program.step`,
    and everything else from `Program.trace`: what is checked is what is timed. A second
    step must find the same, or what is checked would not be what is run.

    Parameters
    ----------
    prepare
        Called in place of ``backend.prepare(case, variant, device)``, to keep programs.
    """
    seconds: dict[str, float] = {}
    if engine.backend is None:
        return Run(engine.id, MISSING, seconds, message=engine.problem)
    try:
        with _timed(seconds, "prepare", announce):
            prepare = prepare or type(engine.backend).prepare
            program = prepare(engine.backend, case, engine.id.variant, engine.id.device)
            _require(program, Program, "prepare")
        with _timed(seconds, "put", announce):
            values = program.put(case.parameters, case.batch)
            program.synchronize()
        with _timed(seconds, "step", announce):
            result = program.step(values)
            program.synchronize()
        stepped = _stepped(program, result)
        with _timed(seconds, "trace", announce):
            traced = program.trace(values)
            _require(traced, Trace, "trace")
            trace = _engine_trace(traced.quantities, stepped)
            apart = _apart(traced.quantities, stepped)
        with _timed({}, "step", announce):  # a limit is of one call
            again = _stepped(program, program.step(values))
        told = first_difference(stepped, again, case.format.eps)
        if told is not None:
            return Run(engine.id, FAILED, seconds, message=told)
    except Unsupported as error:
        return Run(engine.id, UNSUPPORTED, seconds, message=str(error))
    except BackendUnavailable as error:
        return Run(engine.id, MISSING, seconds, message=str(error))
    except (Exception, SystemExit) as error:
        message = summary_of(error) + _place_in_plugin(engine.backend, error)
        return Run(engine.id, status_of(error), seconds, message=message)
    return Run(engine.id, OK, seconds, trace, apart=apart)


def _require(value: object, kind: type, method: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{method} returned a {type(value).__name__}: expected a {kind.__name__}")


def _stepped(program: Program, result: Any) -> dict[str, Array]:
    """The loss and gradients of a step; copies, as the next may write into the same arrays."""
    return {name: np.array(numeric_array(name, value)) for name, value in program.gradients(result).items()}


def _place_in_plugin(backend: Backend, error: BaseException) -> str:
    """Where in an engine of another package an exception came from."""
    built_in = type(backend).__module__.startswith(f"{__package__}.")
    return "" if built_in else place_in(inspect.getfile(type(backend)), error)


def run_candidate(
    case: Case, name: str, candidate: CandidateFunction, announce: Announce = lambda phase: None
) -> Run:
    """Run a user's gradient function on copies of the case's arrays, in its own framework's.

    Twice, as nothing can be said of a function that answers differently each time.
    """
    engine, seconds = candidate_id(name), dict[str, float]()
    try:
        native = load_native(candidate.backend)
        with native.scope(case.dtype):
            trace = _called(candidate, case, native, _timed(seconds, "step", announce))
            again = _called(candidate, case, native, _timed({}, "step", announce))  # a limit is of one call
            told = first_difference(trace.quantities, again.quantities, case.format.eps)
        if told is not None:
            return Run(engine, FAILED, seconds, message=told, partial=True)
    except BackendUnavailable as error:
        return Run(engine, MISSING, seconds, message=str(error), partial=True)
    except NotLoaded as error:
        return Run(engine, FAILED, seconds, message=str(error), partial=True)
    except (Exception, SystemExit) as error:
        code = getattr(inspect.unwrap(candidate.function), "__code__", None)
        place = place_in(code.co_filename, error) if code is not None else ""
        message = summary_of(error) + place + _hint(error, candidate)
        return Run(engine, status_of(error), seconds, message=message, partial=True)
    return Run(engine, OK, seconds, trace, partial=True)


def _called(
    candidate: CandidateFunction, case: Case, native: Native, watch: AbstractContextManager[None]
) -> Trace:
    """What a candidate gives for new copies of the case's arrays, which it may write into."""
    params = [(native.parameter(W), None if b is None else native.parameter(b)) for W, b in case.parameters]
    x, y = map(native.array, case.batch)
    with watch:
        result = native.finished(candidate.function(params, x, y))
    return _candidate_trace(result, case, native)


def _hint(error: BaseException, candidate: CandidateFunction) -> str:
    """The way out where a function seems to expect another framework's arrays than it got."""
    got, said = candidate.backend, str(error)
    if isinstance(error, AttributeError):
        foreign = got == "numpy" or hasattr(np.ndarray, error.name or "")
    else:
        foreign = any(words in said for words in NOT_MINE)
    if not foreign or TYPES[got] not in said:
        return ""
    others = " or ".join(name for name in BACKENDS if name != got)
    return f"; it got arrays of {got}: give it others by --candidate-backend {others}"


def _engine_trace(traced: Mapping[str, Any], stepped: Mapping[str, Array]) -> Trace:
    """What the timed core found, and of the trace only what the core does not deliver.

    A gradient that the core leaves out stays missing, whatever the trace says of it.
    """
    kept = {name: value for name, value in traced.items() if name.partition(".")[0] not in CANDIDATE_KINDS}
    return Trace({**{name: numeric_array(name, value) for name, value in kept.items()}, **stepped})


def _apart(traced: Mapping[str, Any], stepped: Mapping[str, Array]) -> frozenset[str]:
    """What the timed core found, and the trace does not have, or not to the bit."""
    return frozenset(
        name
        for name, value in stepped.items()
        if name not in traced or not np.array_equal(np.asarray(traced[name]), value, equal_nan=True)
    )


def _candidate_trace(result: Any, case: Case, native: Native) -> Trace:
    layers = len(case.parameters)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"returned {_counted(result)}: expected a pair (loss, grads)")
    loss, gradients = result
    if loss is None or isinstance(loss, (tuple, list)):
        raise TypeError(f"the first of what it returned is {_counted(loss)}: expected (loss, grads)")
    if not isinstance(gradients, Sequence) or len(gradients) != layers:
        raise TypeError(f"grads: expected a list of {layers} pairs (dW, db), got {_counted(gradients)}")
    quantities: dict[str, Array] = {"loss": numeric_array("loss", native.read("loss", loss, None))}
    for number, pair in enumerate(gradients, start=1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"grads[{number - 1}] is a {type(pair).__name__}: expected a pair (dW, db)")
        for place, (kind, gradient) in enumerate(zip(("dW", "db"), pair, strict=True)):
            if gradient is not None:
                where = f"grads[{number - 1}][{place}]: {kind}.{number}"
                array = numeric_array(where, native.read(where, gradient, case.format))
                if array.dtype.kind in "iub":
                    raise TypeError(f"{where} has dtype {array.dtype}: expected floating-point numbers")
                quantities[f"{kind}.{number}"] = array.copy()  # it may be a workspace
    return Trace(quantities)


def _counted(value: object) -> str:
    """What something is, in words, with its length where it is a tuple or a list."""
    length = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"a {type(value).__name__}{length}"


@contextmanager
def _timed(seconds: dict[str, float], phase: str, announce: Announce) -> Iterator[None]:
    announce(phase)
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start


def status_of(error: BaseException) -> str:
    """Whether an engine broke, or ran out of memory: each framework has words of its own for that."""
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return OUT_OF_MEMORY if exhausted or any(words in str(error) for words in EXHAUSTED) else FAILED


def place_in(file: str | Path, error: BaseException) -> str:
    """Where in a user's file an exception came from, in words; nothing if no frame of it is there."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in frames if frame.filename == str(file)]
    return f" (at {Path(file).name}:{found[-1].lineno} in {found[-1].name})" if found else ""


def summary_of(error: BaseException) -> str:
    """The error in one line, for frameworks put pages into theirs, and fit for UTF-8."""
    lines = str(error).strip().splitlines()
    return escape.utf8(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)
