"""What an engine's process holds of a case: its products cost neither the engine's rows nor its memory."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from crossgrad.backends.base import Backend
from crossgrad.bench import held
from crossgrad.bench.held import PRODUCTS, Held
from crossgrad.engines import EngineId
from crossgrad.run import OK

from .conftest import load_or_skip, make_case

ENGINES = [("numpy", "manual"), ("torch", "eager"), ("jax", "jit")]


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What is held is frozen to the garbage collector, in this process too."""
    yield
    gc.unfreeze()


def hold(backend: Backend, variant: str) -> Held:
    engine = EngineId(backend.name, variant, "cpu")
    return Held(backend, engine, make_case("3-5-2", batch_size=4), products=True, say=lambda phase: None)


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
    holding = hold(backend, variant)
    run, _ = holding.begin()
    assert run.status == OK
    for what in PRODUCTS:
        holding.seconds(what, 1)
    assert happened == []
    assert holding.memory()["memory"] == 1
    assert happened == ["products gone", "given back", "measured"]


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
    run, found = holding.begin()
    assert run.status == OK
    assert found["copied_bytes"] is None
    assert list(found["lacks"]) == ["products"]
    assert str(error) in found["lacks"]["products"]
    for what in PRODUCTS:
        with pytest.raises(KeyError):
            holding.seconds(what, 1)
    assert holding.seconds("step", 1) >= 0


@pytest.mark.parametrize(("name", "variant"), ENGINES)
def test_what_was_timed_is_to_the_last_bit_what_was_checked(name: str, variant: str) -> None:
    holding = hold(load_or_skip(name), variant)
    holding.begin()
    for what in ("step", "forward", "update", "transfer", *PRODUCTS):
        holding.seconds(what, 3)
    assert holding.again() is None
