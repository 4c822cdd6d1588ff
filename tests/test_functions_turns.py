"""Loops of Python: errors that stay from turn to turn add up, and right code is not called wrong for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.rounding import Rounding
from crossgrad.networks.dtypes import find_dtype

DRAW = np.random.default_rng(0)
ARGS = DRAW.normal(size=5), DRAW.normal(size=5)
TURNS = 200


def fading(w: Any, x: Any) -> Any:
    """The constant is rounded the same way in each turn."""
    y = x * w
    for _ in range(TURNS):
        y = y * 0.9999
    return (y**2).mean()


def faded(w: Any, x: Any) -> Any:
    return ((x * w * 0.9999**TURNS) ** 2).mean()


def averaging(w: Any, x: Any) -> Any:
    """What is added is smaller and smaller beside what it is added to."""
    m = w * 0
    for _ in range(TURNS):
        m = 0.99 * m + 0.01 * (w * x)
    return (m**2).sum()


def averaged(w: Any, x: Any) -> Any:
    return ((w * x * (1 - 0.99**TURNS)) ** 2).sum()


CASES = {"fading": (fading, faded), "averaging": (averaging, averaged)}


def by_hand(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop in NumPy, and the derivative of each turn."""

    def gradient(w: Any, x: Any) -> Any:
        product, made = x * w, loop is averaging
        y = product * 0 if made else product
        for _ in range(TURNS):
            y = 0.99 * y + 0.01 * product if made else y * 0.9999
        dy, dproduct = (2 * y if made else 2 * y / y.size), product * 0
        for _ in range(TURNS):
            dproduct = dproduct + 0.01 * dy
            dy = dy * (0.99 if made else 0.9999)
        dproduct = dproduct if made else dy
        return (y**2).sum() if made else (y**2).mean(), (dproduct * x, dproduct * w)

    return gradient


def function(framework: str, loop: Callable[..., Any]) -> Any:
    if framework == "numpy":
        return crossgrad.gradient(by_hand(loop), "numpy", "loop")
    pytest.importorskip(framework)
    return crossgrad.loss(loop, framework, "loop")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("framework", ["numpy", "torch", pytest.param("jax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_a_loop_is_right_beside_its_closed_form(case: str, framework: str, dtype: str) -> None:
    pytest.importorskip("torch")
    loop, closed = CASES[case]
    functions = function(framework, loop), crossgrad.loss(closed, "torch", "closed")
    report = crossgrad.compare_gradients(*functions, args=ARGS, argnums=(0, 1), dtype=dtype)
    assert report.verdict == "agree", str(report)


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_loop_is_found_beside_its_closed_form(case: str) -> None:
    pytest.importorskip("torch")
    loop, closed = CASES[case]

    def wrong(w: Any, x: Any) -> Any:
        loss, (dw, dx) = by_hand(loop)(w, x)
        return loss, (dw, dx * (1 + 1e-3))

    functions = crossgrad.gradient(wrong, "numpy", "wrong"), crossgrad.loss(closed, "torch", "closed")
    report = crossgrad.compare_gradients(*functions, args=ARGS, argnums=(0, 1), dtype="float32")
    assert [blame.function for blame in report.blames] == ["wrong"], str(report)


def errors(sites: Callable[[int], Any], values: Callable[[int], Any], seed: int) -> Any:
    """The sums of the errors of 50 operations."""
    rounding = Rounding(find_dtype("float32"), seed)
    found = [rounding.of_result(values(turn), 1.0, sites(turn)) - values(turn) for turn in range(50)]
    return np.sum(found, axis=0)


NUMBERS = DRAW.normal(size=4)


@pytest.mark.parametrize(
    ("sites", "values", "factor"),
    [
        pytest.param(lambda turn: "here", lambda turn: NUMBERS * 1.0001**turn, 25**0.5, id="a-loop"),
        pytest.param(lambda turn: "here", lambda turn: -NUMBERS * 1.0001**turn, 25**0.5, id="negative"),
        pytest.param(lambda turn: turn, lambda turn: NUMBERS * 1.0001**turn, 1, id="many-places"),
        pytest.param(lambda turn: None, lambda turn: NUMBERS * 1.0001**turn, 1, id="place-unknown"),
        pytest.param(
            lambda turn: "here", lambda turn: np.random.default_rng(turn).normal(size=40), 1, id="layers"
        ),
    ],
)
def test_what_lasts_is_half_of_the_variance_of_a_loops_errors(
    sites: Callable[[int], Any], values: Callable[[int], Any], factor: float
) -> None:
    """The sum of n errors that have half of their variance in common is sqrt(n / 2) times that of others."""
    anew = np.std([errors(lambda turn: None, values, seed) for seed in range(100)])
    found = np.std([errors(sites, values, seed) for seed in range(100)])
    np.testing.assert_allclose(found / anew, factor, rtol=0.15)


def test_memory_of_earlier_turns_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.functions.rounding.REMEMBERED", 10)
    rounding = Rounding(find_dtype("float32"), 0)
    for turn in range(4):
        rounding.of_result(np.ones(4) + turn, 1.0, turn % 3)
    assert sum(map(len, rounding._turns.values())) == 2
