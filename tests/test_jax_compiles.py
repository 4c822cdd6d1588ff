"""JAX compiles a phase once, when it is prepared or first asked for: what follows is running alone."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from crossgrad.networks.cases import Case

from .conftest import load_or_skip, make_case

COMPILING = "/jax/core/compile/backend_compile_duration"
_compiled: list[str] = []


@pytest.fixture(scope="module")
def count() -> Callable[[], int]:
    """How often XLA compiled so far; JAX's public API cannot take a listener back."""
    load_or_skip("jax")
    import jax.monitoring

    def listen(event: str, seconds: float, **words: Any) -> None:
        if event == COMPILING:
            _compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return lambda: len(_compiled)


@pytest.mark.parametrize("gives_away", [False, True], ids=["fresh", "given-away"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_a_step_compiles_when_it_is_prepared_only(
    dtype: str, gives_away: bool, count: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_or_skip("jax")
    from crossgrad.backends.jax import program

    if gives_away:
        monkeypatch.setattr(program, "GIVEN_AWAY_FROM", 0)
    case = make_case("3-5-2", dtype, batch_size=4)
    at_first = count()
    prepared = backend.prepare(case, "jit", "cpu")
    when_prepared = count()
    values = prepared.put(case.parameters, case.batch)
    for _ in range(3):
        result = prepared.step(values)
    prepared.synchronize()
    assert when_prepared == at_first + 1
    assert count() == when_prepared
    assert prepared.gradients(result)["loss"].dtype == case.format.storage


@pytest.mark.parametrize("output_too", [False, True], ids=["loss", "loss-and-output"])
@pytest.mark.parametrize("variant", ["jit", "nojit"])
def test_a_forward_pass_gives_the_loss_of_the_step(
    variant: str, output_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_or_skip("jax")
    from crossgrad.backends.jax import program

    case = make_case("3-5-2", "float64", batch_size=4)
    monkeypatch.setattr(program, "OUTPUT_TOO_FROM", 200 if output_too else 201)  # 2 * 4 * (15 + 10)
    prepared = backend.prepare(case, variant, "cpu")
    values = prepared.put(case.parameters, case.batch)
    found = prepared.forward(values)
    assert isinstance(found, tuple) == output_too
    if output_too:
        np.testing.assert_allclose(found[1], prepared.trace(values).quantities["a.2"], rtol=1e-15)
    loss = prepared.gradients(prepared.step(values))["loss"]
    np.testing.assert_allclose(prepared.loss(found), loss, rtol=1e-15)


@pytest.fixture
def settled() -> Iterator[Callable[[Case], Any]]:
    """A backend in a process that holds one case alone; the process is others' again afterwards."""
    backend = type(load_or_skip("jax"))()  # not the one that all tests share

    def settle(case: Case) -> Any:
        backend.settle(case)
        return backend

    yield settle
    backend.settle(make_case("1-1-1", "float32"))


@pytest.mark.parametrize("gives_away", [False, True], ids=["fresh", "given-away"])
@pytest.mark.parametrize("phase", ["step", "forward"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_in_a_settled_process_what_is_called_is_the_compiled_function(
    dtype: str,
    phase: str,
    gives_away: bool,
    settled: Callable[[Case], Any],
    count: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the scope that x64 needs elsewhere: a call enters JAX's own C++ at once."""
    from crossgrad.backends.jax import program

    if gives_away:
        monkeypatch.setattr(program, "GIVEN_AWAY_FROM", 0)
    case = make_case("3-5-5", dtype, batch_size=4)
    prepared = settled(case).prepare(case, "jit", "cpu")
    values = prepared.put(case.parameters, case.batch)
    run = getattr(prepared, phase)
    run(values)
    before = count()
    result = run(values)
    assert count() == before
    assert type(prepared._started.call).__name__ == "PjitFunction"
    loss = prepared.gradients(result)["loss"] if phase == "step" else prepared.loss(result)
    assert loss.dtype == case.format.storage


def test_the_listener_hears_a_second_compilation(count: Callable[[], int]) -> None:
    """So that the test above can fail: settings that differ from the prepared ones compile anew."""
    import jax

    backend = load_or_skip("jax")
    case = make_case("3-5-3", "float32", batch_size=4)
    prepared = backend.prepare(case, "jit", "cpu")
    values = prepared.put(case.parameters, case.batch)
    before = count()
    with jax.enable_x64(True):
        prepared.step(values)
    assert count() == before + 1


def test_with_x64_on_float32_runs_what_was_compiled(count: Callable[[], int]) -> None:
    """A user who switched x64 on for the whole process has float32 compiled once as well."""
    import jax

    backend = load_or_skip("jax")
    case = make_case("3-5-4", "float32", batch_size=4)
    with jax.enable_x64(True):
        prepared = backend.prepare(case, "jit", "cpu")
        values = prepared.put(case.parameters, case.batch)
        before = count()
        prepared.step(values)
    assert count() == before
