"""The engines' forward pass, step and update with pytest-benchmark: ``pytest benchmarks -k torch``.

Name one engine: thread pools of two frameworks in one process slow each other
by up to two on two cores. ``make bench`` runs pytest once for each.

A row is an engine on a network in a dtype in one phase, its id in that order:
``-k "torch-eager-cpu-float32 and -step"``. ``forward`` is the loss alone,
``step`` the loss and every gradient, ``update`` the descent. There is no
backward pass alone: autograd's begins at what its own forward pass kept, so
that a framework has none to be called without the other, and the difference of
``step`` and ``forward`` would not be its time: `forward` keeps nothing.

Nothing is timed that was not checked: each engine's gradients, loss and updated
parameters go before the judge first, as in ``crossgrad bench``. What an engine
lacks is skipped by name; a wrong one fails.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from typing import Any

import pytest

from crossgrad.backends.base import Program, Trace, Unsupported
from crossgrad.bench.gate import Passed, hold_before, oracle_for
from crossgrad.engines import Engine, EngineId
from crossgrad.networks.cases import Case
from crossgrad.oracle import Oracle
from crossgrad.run import OK, run_engine
from tests.conftest import NATIVE, engine_grid, load_or_skip, make_case, prepare_or_skip

NETWORKS = {
    "article": ("article", 1),
    "mnist-shape-10": ("mnist-shape", 10),
    "mnist-shape-1024": ("mnist-shape", 1024),
    "wide-512": ("wide", 512),
}
"""Networks with their batch sizes: overhead, a small and a large batch, and matrix products."""

DTYPES = [*NATIVE, "bfloat16", "tf32"]
PHASES = ["forward", "step", "update"]


@dataclass(frozen=True)
class Checked:
    """An engine's program with a case on its device, and what the judge said of it."""

    program: Program
    values: Any
    passed: Passed
    lacks: Mapping[str, str] = field(default_factory=dict)

    def call(self, phase: str) -> Callable[[], Any]:
        """The call to be timed; an update gets the result of a step that is the program's last."""
        if phase == "update":
            return partial(self.program.update, self.values, self.program.step(self.values))
        return partial(getattr(self.program, phase), self.values)


@engine_grid(dtype=DTYPES, network=list(NETWORKS), phase=PHASES)
def test_phase(
    benchmark: Any, backend: str, variant: str, device: str, dtype: str, network: str, phase: str
) -> None:
    found = checked(backend, variant, device, dtype, network)
    if found.passed.wrong is not None:
        pytest.fail(f"not timed: {found.passed.wrong}", pytrace=False)
    if phase in found.lacks:
        pytest.skip(f"unsupported, as it should say: {found.lacks[phase]}")
    name, batch_size = NETWORKS[network]
    benchmark.group = f"{name} batch {batch_size} {dtype} {phase}"
    benchmark.extra_info |= {"engine": f"{backend}:{variant}@{device}", "verdict": found.passed.verdict}
    benchmark(finished, found.program, found.call(phase))


def finished(program: Program, call: Callable[[], Any]) -> Any:
    """One call up to the end of its work: what was only dispatched has not been done."""
    result = call()
    program.synchronize()
    return result


@cache
def judged(dtype: str, network: str) -> tuple[Case, Oracle]:
    """The case and its judge, the same for every engine."""
    name, batch_size = NETWORKS[network]
    case = make_case(name, dtype, batch_size=batch_size)
    return case, oracle_for(case)


@lru_cache(maxsize=1)  # the phases of an engine's case follow each other, and it may hold much memory
def checked(backend: str, variant: str, device: str, dtype: str, network: str) -> Checked:
    """Run every phase of an engine once, and hold what it delivers before the judge."""
    name, batch_size = NETWORKS[network]
    engine = Engine(EngineId(backend, variant, device), load_or_skip(backend, device))
    program = prepare_or_skip(make_case(name, dtype, batch_size=batch_size), backend, variant, device)
    case, oracle = judged(dtype, network)
    values = program.put(case.parameters, case.batch)
    run = run_engine(case, engine, prepare=lambda *_: program)
    if run.status != OK or run.trace is None:
        return Checked(program, values, Passed(run.status, f"{run.status}: {run.message}"))
    lacks: dict[str, str] = {}
    loss = attempt("forward", lambda: float(program.loss(program.forward(values))), lacks)
    updated = attempt("update", lambda: program.updated(program.update(values, program.step(values))), lacks)
    whole = replace(run, trace=Trace({**run.trace.quantities, **(updated or {})}))
    return Checked(program, values, hold_before(oracle, case, whole, loss), lacks)


def attempt(phase: str, make: Callable[[], Any], lacks: dict[str, str]) -> Any:
    """What `make` gives, or None with the reason noted: an engine may leave a phase out."""
    try:
        return make()
    except Unsupported as error:
        lacks[phase] = str(error)
        return None
