"""What an engine's process holds of a case: its products cost neither the engine's rows nor its memory."""

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from crossgrad.backends.base import Backend, Trace
from crossgrad.bench.gate import hold_before
from crossgrad.engines import EngineId
from crossgrad.networks.cases import Case
from crossgrad.oracle import consult
from crossgrad.run import CANDIDATE_KINDS, OK, Run
from crossgrad.workers import held
from crossgrad.workers.held import PRODUCTS, Held

from .conftest import load_or_skip, make_case

ENGINES = [("numpy", "manual"), ("torch", "eager"), ("jax", "jit")]


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What is held is frozen to the garbage collector, in this process too."""
    yield
    gc.unfreeze()


def hold(backend: Backend, variant: str) -> Held:
    engine = EngineId(backend.name, variant, "cpu")
    return Held(backend, engine, products=True, say=lambda phase: None)


def case() -> Case:
    return make_case("3-5-2", batch_size=4)


@pytest.mark.parametrize(("name", "variant"), ENGINES)
def test_memory_is_measured_without_the_products(
    name: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first engine of a backend holds some: what a step takes would depend on the order of -b."""
    backend, happened = load_or_skip(name), list[str]()
    make = backend.products

    def products(*arguments: Any) -> Any:
        made = make(*arguments)
        weakref.finalize(made, happened.append, "products gone")
        return made

    def measure(*arguments: Any) -> int:
        happened.append("measured")
        return 1

    monkeypatch.setattr(backend, "products", products)
    monkeypatch.setattr(backend, "give_back", lambda: happened.append("given back"))
    monkeypatch.setattr(held, "_peak_of", measure)
    holding, ours = hold(backend, variant), case()
    weakref.finalize(ours.parameters[0].W, happened.append, "case gone")
    run, _ = holding.begin(ours)
    assert run.status == OK
    for what in PRODUCTS:
        holding.seconds(what, 1)
    del ours
    assert happened == []
    assert holding.memory()["memory"] == 1
    assert sorted(happened[:2]) == ["case gone", "products gone"]
    assert happened[2:] == ["given back", "measured"]


@pytest.mark.parametrize(("name", "variant"), ENGINES)
def test_what_was_checked_is_not_kept(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only how it may be known again: a copy of the gradients and parameters is no memory of a step's."""
    backend, digested = load_or_skip(name), list[Any]()
    digests = held._digests

    def remembering(quantities: Mapping[str, Any], loss: float | None) -> dict[str, bytes]:
        digested.extend(weakref.ref(np.asarray(quantities[name])) for name in ("dW.1", "W_new.1"))
        return digests(quantities, loss)

    monkeypatch.setattr(held, "_digests", remembering)
    holding = hold(backend, variant)
    run, _ = holding.begin(case())
    del run
    gc.collect()
    assert [kept() for kept in digested] == [None, None]
    assert holding.again() is None


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("CUDA out of memory")])
@pytest.mark.parametrize("when", ["made", "asked"])
def test_products_that_fail_cost_the_engine_no_row(
    error: Exception, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_or_skip("numpy")
    products = type(backend.products(make_case("1-1-1"), "cpu"))

    def fail(*arguments: Any) -> Any:
        raise error

    if when == "made":
        monkeypatch.setattr(backend, "products", fail)
    else:
        monkeypatch.setattr(products, "copied_bytes", property(fail))
    holding = hold(backend, "manual")
    run, found = holding.begin(case())
    assert run.status == OK
    assert found["copied_bytes"] is None
    assert str(error) in found["products_failed"]
    for what in PRODUCTS:
        with pytest.raises(KeyError):
            holding.seconds(what, 1)
    assert holding.seconds("step", 1) >= 0


@pytest.mark.parametrize(("name", "variant"), ENGINES)
def test_what_was_timed_is_to_the_last_bit_what_was_checked(name: str, variant: str) -> None:
    holding = hold(load_or_skip(name), variant)
    holding.begin(case())
    for what in ("step", "forward", "update", "transfer", *PRODUCTS):
        holding.seconds(what, 3)
    assert holding.again() is None


def judged_again(**changed: Any) -> str | None:
    """What is said of a run of what was timed, of which some is no longer what it was."""
    ours = case()
    run, _ = hold(load_or_skip("numpy"), "manual").begin(ours)
    assert run.trace is not None
    timed = (*CANDIDATE_KINDS, "W_new", "b_new")
    found = {name: array for name, array in run.trace.quantities.items() if name.partition(".")[0] in timed}
    again = Run(run.engine, OK, {}, Trace(found | changed), partial=True)
    return hold_before(consult(ours), ours, again, None).wrong


def test_an_update_that_went_wrong_while_it_was_timed_is_found() -> None:
    assert judged_again() is None
    assert (
        judged_again(**{"W_new.1": np.ones((5, 3), np.float32)})
        == "W_new.1 wrong, of gradients that are right"
    )
    assert (
        judged_again(**{"b_new.2": np.ones((1, 2), np.float32)})
        == "b_new.2 wrong, of gradients that are right"
    )
    assert judged_again(**{"W_new.2": np.full((2, 5), np.nan, np.float32)}) is not None


def test_updated_parameters_are_not_in_the_way_of_a_diagnosis() -> None:
    wrong = judged_again(**{"dW.1": np.arange(15, dtype=np.float32).reshape(5, 3)})
    assert wrong is not None
    assert wrong.startswith("dW.1 wrong")
    assert "the diagnosis failed" not in wrong
