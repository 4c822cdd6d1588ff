"""Gradients that code stops on purpose: what is said of them, and that asking changes nothing."""

from contextlib import nullcontext
from functools import cache
from importlib import import_module
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

import crossgrad

pytest.importorskip("torch")


def _with_a_target(way: str) -> crossgrad.Function:
    """A loss whose target comes from the parameters, by a way that stops gradients; or that does not."""
    import torch

    def of_torch(w, x):
        h = torch.tanh(x @ w)
        if way in ("detach", "data"):
            return ((0.9 * h - ((1.1 * h).detach() if way == "detach" else (1.1 * h).data)) ** 2).mean()
        with torch.no_grad() if way == "no_grad" else nullcontext():
            target = 1.1 * h
        return ((0.9 * h - target) ** 2).mean()

    def of_jax(w, x):
        import jax

        h = jax.numpy.tanh(x @ w)
        return ((0.9 * h - jax.lax.stop_gradient(1.1 * h)) ** 2).mean()

    if not way.startswith("stop_gradient"):
        return crossgrad.loss(of_torch, "torch", way)
    jax = pytest.importorskip("jax")
    return crossgrad.loss(jax.jit(of_jax) if way.endswith("jit") else of_jax, "jax", way)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", ["detach", "data", "no_grad", "stop_gradient", "stop_gradient in jit"])
def test_what_stops_gradients_is_asked_about(way: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    args = rng.normal(size=(5, 3)), rng.normal(size=(20, 5))
    stopping, flowing = _with_a_target(way), _with_a_target("flowing")
    (blame,) = crossgrad.compare_gradients(stopping, flowing, args=args, dtype=dtype).blames
    assert (blame.function, "stops gradients" in blame.evidence) == (way, True)
    another = _with_a_target("detach" if way == "no_grad" else "no_grad")
    (blame,) = crossgrad.compare_gradients(stopping, another, flowing, args=args, dtype=dtype).blames
    assert (blame.function, blame.evidence) == ("flowing", "2 of 3 functions agree on another")


def test_asking_leaves_no_gradient_in_what_a_function_keeps() -> None:
    """A running mean is nobody's argument, and would hold the graph of the run that was asked for it."""
    import torch

    mean = torch.zeros(3, dtype=torch.float64)

    def stopping(w, x):
        h = torch.tanh(x @ w)
        with torch.no_grad():
            mean.mul_(0.9).add_(0.1 * h.double().mean(0))
        mean[0] += h.detach()[0, 0]
        return ((0.9 * h - (1.1 * h).detach()) ** 2).mean()

    rng = np.random.default_rng(0)
    args = rng.normal(size=(5, 3)), rng.normal(size=(20, 5))
    both = crossgrad.loss(stopping, "torch"), _with_a_target("flowing")
    (blame,) = crossgrad.compare_gradients(*both, args=args, dtype="float64").blames
    assert "stops gradients" in blame.evidence
    assert not mean.requires_grad


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_gradients_are_stopped_in_other_threads_and_afterwards(framework: str) -> None:
    """Of two threads that ask at a time too, the first to come being the first to leave."""
    pytest.importorskip(framework)
    unstopped = import_module(f"crossgrad.functions.frameworks.{framework}").unstopped
    first, left = Event(), Event()
    inside: list[bool] = []

    def leaves_first() -> None:
        with unstopped():
            inside.append(not _stops(framework))
            first.set()
            left.wait(0.2)  # in vain, where the other has to wait for this one

    def leaves_last() -> None:
        first.wait()
        inside.append(_stops(framework))
        with unstopped():
            left.set()
            one.join()

    one, other = Thread(target=leaves_first), Thread(target=leaves_last)
    one.start()
    other.start()
    other.join()
    assert inside == [True, True]
    assert _stops(framework)


def _stops(framework: str) -> bool:
    """Whether what stops gradients does, in what was compiled before too."""
    if framework == "jax":
        import jax

        return bool(jax.grad(_squared_by_jax())(1.0) == 0)
    import torch

    with torch.no_grad():
        product = torch.ones(1, requires_grad=True) * 2
    return not product.requires_grad and not torch.ones(1, requires_grad=True).detach().requires_grad


@cache
def _squared_by_jax() -> Any:
    import jax

    return jax.jit(lambda x: jax.lax.stop_gradient(x) ** 2)
