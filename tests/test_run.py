"""What becomes of engines that do not keep to the contract of ``backends/base.py``."""

from typing import Any

import numpy as np
import pytest

from crossgrad.backends.base import Backend, Program, Trace
from crossgrad.compare import blame, compare_runs
from crossgrad.engines import Engine, EngineId, Seen, see_here, select_engines
from crossgrad.networks.cases import Case
from crossgrad.oracle import consult
from crossgrad.run import FAILED, OK, OUT_OF_MEMORY, Run, run_engine

from .conftest import load_or_skip, make_case


class Passing(Program):
    """NumPy's program, for others to spoil."""

    def __init__(self, case: Case) -> None:
        self.right = load_or_skip("numpy").prepare(case, "manual", "cpu")

    def put(self, parameters: Any, batch: Any) -> Any:
        return self.right.put(parameters, batch)

    def step(self, values: Any) -> Any:
        return self.right.step(values)

    def gradients(self, result: Any) -> Any:
        return self.right.gradients(result)

    def trace(self, values: Any) -> Any:
        return self.right.trace(values)


class Counting(Passing):
    """Keeps a state: its loss grows with each step."""

    steps = 0

    def gradients(self, result: Any) -> Any:
        self.steps += 1
        found = self.right.gradients(result)
        return found | {"loss": found["loss"] * self.steps}


class Reusing(Passing):
    """Hands out the same arrays each time, as the contract allows, and differs in them."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.kept: dict[str, Any] = {}
        self.steps = 0

    def gradients(self, result: Any) -> Any:
        self.steps += 1
        for name, array in self.right.gradients(result).items():
            self.kept.setdefault(name, np.empty_like(array))[...] = array * self.steps
        return self.kept


class Plain(Passing):
    def trace(self, values: Any) -> Any:
        return dict(self.right.trace(values).quantities)


class Spoilt(Passing):
    """a.1, and all that is made of it, is NaN."""

    def trace(self, values: Any) -> Trace:
        found = dict(self.right.trace(values).quantities)
        wrong = {n: np.full_like(v, np.nan) for n, v in found.items() if n not in ("z.1", "W_new.1")}
        return Trace(found | wrong)


class OfProgram(Backend):
    """Prepares what it is given."""

    name, variants = "mine", ("plain",)

    def __init__(self, program: Any, devices: Any = ("cpu",)) -> None:
        self.program, self.seen = program, devices

    def devices(self) -> Any:
        return self.seen

    def prepare(self, case: Case, variant: str, device: str) -> Any:
        return self.program(case)


def run_of(program: Any, case: Case) -> Run:
    return run_engine(case, Engine(EngineId("mine", "plain", "cpu"), OfProgram(program)))


def test_an_engine_that_keeps_to_it_is_run() -> None:
    assert run_of(Passing, make_case("3-4-2", "float64")).status == OK


@pytest.mark.parametrize("program", [Counting, Reusing])
def test_an_engine_that_answers_otherwise_the_second_time_failed(program: type[Program]) -> None:
    run = run_of(program, make_case("3-4-2", "float64"))
    assert run.status == FAILED
    assert run.message is not None
    assert "two runs on the same numbers differ, first at loss" in run.message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), OUT_OF_MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes"), OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory\nSearch for ..."), OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."),
            OUT_OF_MEMORY,
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), FAILED),
    ],
    ids=["python", "xla", "cuda", "cublas", "another"],
)
def test_memory_that_ran_out_is_told_from_other_failures(error: Exception, status: str) -> None:
    def program(case: Case) -> Program:
        raise error

    assert run_of(program, make_case("1-1")).status == status


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (lambda case: None, "TypeError: prepare returned a NoneType: expected a Program"),
        (Plain, "TypeError: trace returned a dict: expected a Trace"),
    ],
    ids=["no-program", "no-trace"],
)
def test_what_is_none_of_ours_is_said(program: Any, said: str) -> None:
    run = run_of(program, make_case("3-4-2", "float64"))
    assert (run.status, run.message) == (FAILED, said)


def test_an_exception_names_the_line_of_the_engine() -> None:
    def breaks(case: Case) -> Program:
        raise RuntimeError("no memory of my own")

    message = run_of(breaks, make_case("3-4-2", "float64")).message
    assert message is not None
    assert message.startswith("RuntimeError: no memory of my own (at test_run.py:")
    assert message.endswith(" in breaks)")


def test_nan_enters_where_it_is_first_delivered() -> None:
    case = make_case("3-4-2", "float64")
    run = run_of(Spoilt, case)
    (found,) = blame(case, [run], compare_runs(case, [run], consult(case)))
    assert found.enters_at == "a.1"


def test_an_engine_without_a_device_is_missing_and_says_so() -> None:
    selection = select_engines(["numpy"], None, see=lambda name: Seen(("manual",), ()))
    (engine,) = selection.engines
    assert engine.problem == "numpy sees no device here"
    assert selection.named_backends == ("numpy:manual",)


@pytest.mark.parametrize("devices", ["cpu", None, [0]], ids=str)
def test_devices_are_names(devices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.engines.load", lambda name: OfProgram(None, devices))
    seen = see_here("mine")
    assert seen.problem is not None
    assert "expected a tuple of names such as ('cpu',)" in seen.problem
