"""Loops and branches of JAX: their bodies round at random too, so that right code is not called wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.rounding import Rounding
from crossgrad.networks.dtypes import find_dtype

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
lax, jnp = jax.lax, jax.numpy

DRAW = np.random.default_rng(1)
ARGS = DRAW.normal(size=(5, 5)), DRAW.normal(size=(9, 5))
TURNS = 50


def unrolled(w: Any, x: Any) -> Any:
    a = x @ w
    for _ in range(TURNS):
        a = torch.tanh(1.01 * a)
    return (a**2).mean()


def scanned(w: Any, x: Any) -> Any:
    return (lax.scan(lambda a, _: (jnp.tanh(1.01 * a), None), x @ w, None, length=TURNS)[0] ** 2).mean()


def indexed(w: Any, x: Any) -> Any:
    return (lax.fori_loop(0, TURNS, lambda _, a: jnp.tanh(1.01 * a), x @ w) ** 2).mean()


def nested(w: Any, x: Any) -> Any:
    def some(a: Any, _: Any) -> Any:
        return lax.fori_loop(0, 10, lambda _, b: jnp.tanh(1.01 * b), a), None

    return (lax.scan(some, x @ w, None, length=TURNS // 10)[0] ** 2).mean()


def branching(w: Any, x: Any) -> Any:
    def turn(a: Any, number: Any) -> Any:
        return lax.cond(number >= 0, lambda b: jnp.tanh(1.01 * b), lambda b: b, a), None

    return (lax.scan(turn, x @ w, jnp.arange(TURNS))[0] ** 2).mean()


def compared(f: Callable[..., Any], g: Callable[..., Any], dtype: str = "float32") -> Any:
    both = crossgrad.loss(f, "jax", "jax"), crossgrad.loss(g, "torch", "torch")
    return crossgrad.compare_gradients(*both, args=ARGS, dtype=dtype)


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.slow), "float32"])
@pytest.mark.parametrize("f", [scanned, indexed, nested, pytest.param(branching, marks=pytest.mark.slow)])
def test_a_loop_is_right_beside_the_same_turns_in_python(f: Callable[..., Any], dtype: str) -> None:
    report = compared(f, unrolled, dtype)
    assert report.verdict == "agree", str(report)


def test_errors_of_a_long_sum_do_not_cancel() -> None:
    """As each turn adds the same, the same is rounded off."""

    def added_up(w: Any, x: Any) -> Any:
        term, zero = ((x @ w) ** 2).mean() / 3, jnp.zeros((), x.dtype)
        return lax.scan(lambda a, _: (a + term, None), zero, None, length=4000)[0]

    report = compared(added_up, lambda w, x: ((x @ w) ** 2).mean() / 3 * 4000)
    assert report.verdict == "agree", str(report)


def test_a_loop_until_changes_are_small_ends() -> None:
    """With another error in each turn they never would be: how often it turns is decided without."""

    def root(a: Any) -> Any:
        step = lambda state: (0.5 * (state[0] + a / state[0]), state[0])  # noqa: E731
        return lax.while_loop(lambda state: jnp.abs(state[0] - state[1]) > 1e-12, step, (a, a + 1))[0]

    def by_newton(a: Any) -> Any:
        return root(a), 0.5 / root(a)

    theirs = crossgrad.loss(torch.sqrt, "torch", "torch")
    for dtype in ("float32", "float64"):
        report = crossgrad.compare_gradients(
            crossgrad.gradient(by_newton, "jax", "newton"), theirs, args=(np.array(3.0),), dtype=dtype
        )
        assert report.verdict == "agree", str(report)


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_loops_of_a_batch_end_one_by_one(wrong: bool) -> None:
    """As vmap makes of a loop: each of a batch turns as often as it has to."""

    def root(a: Any) -> Any:
        step = lambda state: (0.5 * (state[0] + a / state[0]), state[0])  # noqa: E731
        goes_on = lambda state: jnp.abs(state[0] - state[1]) > 1e-5 * state[0]  # noqa: E731
        return lax.while_loop(goes_on, step, (a, 2 * a))[0]

    def by_newton(a: Any) -> Any:
        roots = jax.vmap(root)(a)
        return roots.sum(), (0.5 + 1e-3 * wrong) / roots

    report = crossgrad.compare_gradients(
        crossgrad.gradient(by_newton, "jax", "newton"),
        crossgrad.loss(lambda a: torch.sqrt(a).sum(), "torch", "torch"),
        args=(np.array([0.7, 3.0, 90.0]),),
        dtype="float32",
    )
    assert (report.verdict, report.notes) == ("disagree" if wrong else "agree", ())


@pytest.mark.parametrize(
    "f", [pytest.param(f, marks=pytest.mark.slow) for f in (scanned, indexed, nested)] + [branching]
)
def test_a_loop_that_is_wrong_is_found_and_blamed(f: Callable[..., Any]) -> None:
    def wrong(w: Any, x: Any) -> Any:
        loss, gradient = jax.value_and_grad(f)(w, x)
        return loss, gradient * (1 + 1e-2 * (w > 0))

    functions = crossgrad.gradient(wrong, "jax", "wrong"), crossgrad.loss(unrolled, "torch", "torch")
    report = crossgrad.compare_gradients(*functions, args=ARGS, dtype="float32")
    assert [blame.function for blame in report.blames] == ["wrong"]


def test_arithmetic_in_a_loop_that_is_narrower_than_claimed() -> None:
    def narrow(w: Any, x: Any) -> Any:
        turn = lambda a, _: (jnp.tanh(1.01 * a).astype(jnp.float16).astype(a.dtype), None)  # noqa: E731
        return (lax.scan(turn, x @ w, None, length=TURNS)[0] ** 2).mean()

    assert compared(narrow, unrolled).verdict == "disagree"


@pytest.mark.parametrize(
    ("dtype", "shape", "terms"),
    [
        ("float16", (), 1.0),
        pytest.param("bfloat16", (50,), 1.0, marks=pytest.mark.slow),
        pytest.param("bfloat16", (4, 30), 8.0, marks=pytest.mark.slow),
        pytest.param("float32", (50,), 1.0, marks=pytest.mark.slow),
        ("float32", (4, 30), 8.0),
    ],
)
def test_errors_in_a_loop_are_as_large_as_outside(dtype: str, shape: tuple[int, ...], terms: float) -> None:
    from crossgrad.functions.frameworks.jax_loops import TracedRounding

    found = find_dtype(dtype)
    values = np.random.default_rng(0).normal(size=shape)

    traced = jax.jit(lambda salt: TracedRounding(found, salt).of_result(jnp.asarray(values), terms))
    seeds = range(100 if shape else 400)
    with jax.enable_x64(True):
        inside = [np.asarray(traced(np.uint64(Rounding(found, n).salt()))) - values for n in seeds]
    outside = [Rounding(found, n).of_result(values, terms) - values for n in seeds]
    np.testing.assert_allclose(np.std(inside), np.std(outside), rtol=0.15)
    assert abs(np.mean(inside)) < np.std(inside) / 5


def test_a_sum_of_zeros_has_no_error_in_a_loop() -> None:
    from crossgrad.functions.frameworks.jax_loops import TracedRounding

    with jax.enable_x64(True):
        rounding = TracedRounding(find_dtype("float32"), np.uint64(1))
        moved = np.asarray(rounding.of_result(jnp.array([0.0, 1e-9, 1.0]), 100.0))
    assert moved[0] == 0
    assert abs(moved[1] - 1e-9) > 1e-10


def newton_in_torch(a: Any) -> Any:
    import torch

    x, before = torch.ones_like(a), torch.zeros_like(a)
    while (x - before).abs().max() > 10 * torch.finfo(a.dtype).eps * x.abs().max():
        before, x = x, (x + a / x) / 2
    return x.sum()


def newton_in_numpy(a: Any) -> Any:
    x, before = np.ones_like(a), np.zeros_like(a)
    while np.abs(x - before).max() > 10 * np.finfo(a.dtype).eps * np.abs(x).max():
        before, x = x, (x + a / x) / 2
    return x.sum(), 0.5 / x


@pytest.mark.parametrize(
    "newton",
    [
        crossgrad.loss(newton_in_torch, "torch", "newton"),
        crossgrad.gradient(newton_in_numpy, "numpy", "newton"),
    ],
    ids=["torch", "numpy"],
)
def test_what_iterates_until_it_stands_still_does_not_go_on_for_ever(
    newton: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tolerance is float64's in the reruns, and the errors of operations are float32's."""
    pytest.importorskip(newton.framework)
    monkeypatch.setattr("crossgrad.functions.runs.FEW_OPERATIONS", 1000)
    root = crossgrad.gradient(lambda a: (np.sqrt(a).sum(), 0.5 / np.sqrt(a)), "numpy", "root")
    report = crossgrad.compare_gradients(newton, root, args=(np.array([0.3, 0.5, 0.7], np.float32),))
    assert report.verdict == "agree"
    assert any("does it iterate until something stands still?" in note for note in report.notes)


def test_writing_into_an_array_rounds_nothing_of_what_is_there() -> None:
    """Noise of what a loop has written would grow with its turns, and hide what is wrong."""

    def written(w: Any, x: Any) -> Any:
        def turn(n: Any, found: Any) -> Any:
            return found.at[n].set(jnp.tanh(w[n]))

        return (lax.fori_loop(0, len(w), turn, 0 * w) ** 2).sum()

    report = crossgrad.compare_gradients(
        crossgrad.loss(written, "jax", "jax"),
        crossgrad.loss(lambda w, x: w.tanh().square().sum(), "torch", "torch"),
        args=(np.random.default_rng(2).normal(size=TURNS), ARGS[1]),
        dtype="float32",
    )
    floors = [
        c.judgement.floor / abs(c.judgement.expected) for c in report.comparisons if c.quantity == "loss"
    ]
    assert (report.verdict, max(floors) < 5e-6) == ("agree", True), str(floors)
