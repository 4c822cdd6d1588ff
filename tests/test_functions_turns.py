"""Loops of Python: errors that stay from turn to turn add up, and right code is not called wrong for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.rounding import Rounding
from crossgrad.functions.turns import Loops
from crossgrad.networks.dtypes import find_dtype

DRAW = np.random.default_rng(0)
ARGS = DRAW.normal(size=5), DRAW.normal(size=5)
AVERAGED, FADED = 100, 100
"""Turns."""


def averaging(w: Any, x: Any) -> Any:
    """What is added is smaller and smaller beside what it is added to."""
    m = w * 0
    for _ in range(AVERAGED):
        m = 0.99 * m + 0.01 * (w * x)
    return (m**2).sum()


def averaged(w: Any, x: Any) -> Any:
    return ((w * x * (1 - 0.99**AVERAGED)) ** 2).sum()


def averaging_by_hand(w: Any, x: Any) -> Any:
    m, product = w * 0, w * x
    for _ in range(AVERAGED):
        m = 0.99 * m + 0.01 * product
    dm, dproduct = 2 * m, w * 0
    for _ in range(AVERAGED):
        dproduct = dproduct + 0.01 * dm
        dm = 0.99 * dm
    return (m**2).sum(), (dproduct * x, dproduct * w)


def fading(w: Any, x: Any) -> Any:
    """The constant is rounded the same way in each turn, however the numbers change."""
    y = x * w
    for _ in range(FADED):
        y = y * 0.7
    return (y**2).sum()


def faded(w: Any, x: Any) -> Any:
    return ((x * w * 0.7**FADED) ** 2).sum()


def fading_by_hand(w: Any, x: Any) -> Any:
    y = x * w
    for _ in range(FADED):
        y = y * 0.7
    dy = 2 * y
    for _ in range(FADED):
        dy = dy * 0.7
    return (y**2).sum(), (dy * x, dy * w)


CASES = {
    "averaging": (averaging, averaged, averaging_by_hand),
    "fading": (fading, faded, fading_by_hand),
}


def beside_its_closed_form(function: Any, case: str, dtype: str) -> Any:
    pytest.importorskip("torch")
    closed = crossgrad.loss(CASES[case][1], "torch", "closed")
    return crossgrad.compare_gradients(function, closed, args=ARGS, argnums=(0, 1), dtype=dtype)


@pytest.mark.parametrize("framework", ["numpy", "torch", pytest.param("jax", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        ("averaging", "float32"),
        pytest.param("averaging", "float16", marks=pytest.mark.slow),
        ("fading", "float32"),
    ],
)
def test_a_loop_is_right_beside_its_closed_form(case: str, dtype: str, framework: str) -> None:
    loop, _, by_hand = CASES[case]
    if framework == "numpy":
        function = crossgrad.gradient(by_hand, "numpy", "loop")
    else:
        pytest.importorskip(framework)
        function = crossgrad.loss(loop, framework, "loop")
    report = beside_its_closed_form(function, case, dtype)
    assert report.verdict == "agree", str(report)


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_loop_is_found_beside_its_closed_form(case: str) -> None:
    def wrong(w: Any, x: Any) -> Any:
        loss, (dw, dx) = CASES[case][2](w, x)
        return loss, (dw, dx * (1 + 1e-3))

    report = beside_its_closed_form(crossgrad.gradient(wrong, "numpy", "wrong"), case, "float32")
    assert [blame.function for blame in report.blames] == ["wrong"], str(report)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_constants_err_where_the_format_does_not_hold_them(dtype: str) -> None:
    found = find_dtype(dtype)
    rounding, again = Rounding(found, 1), Rounding(found, 2)
    held = [0.0, 1.0, -0.5, 3.0, float("inf")]
    assert [rounding.of_constant(number) for number in held] == held
    errors = np.array([rounding.of_constant(number) / number - 1 for number in (0.1, 0.7, -1e-3)])
    assert (np.abs(errors) <= found.unit_roundoff).all()
    if dtype == "float64":
        assert not errors.any()
    else:
        assert errors.all()
        assert rounding.of_constant(0.7) == rounding.of_constant(0.7) != again.of_constant(0.7)


def test_constants_of_torch_and_numpy_err_wherever_they_are_made() -> None:
    """`1 - 0.999` keeps but few digits of 0.999 rounded."""
    torch = pytest.importorskip("torch")

    def averaged_once(x: Any) -> Any:
        rate = torch.tensor(0.999, dtype=x.dtype)
        return (((1 - rate) * x) ** 2).sum()

    def by_hand(x: Any) -> Any:
        a = (1 - 0.999) * x
        return (a**2).sum(), 2 * (1 - 0.999) * a

    functions = crossgrad.loss(averaged_once, "torch", "f"), crossgrad.gradient(by_hand, "numpy", "g")
    report = crossgrad.compare_gradients(*functions, args=ARGS[:1], dtype="float32")
    assert report.verdict == "agree", str(report)


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


def test_a_loop_that_settles_is_known_by_what_it_did_last() -> None:
    """However many other numbers it had before."""

    def settling(turn: int) -> Any:
        return NUMBERS * 2.0 ** min(turn, 10)

    anew = np.std([errors(lambda turn: None, settling, seed) for seed in range(50)])
    found = np.std([errors(lambda turn: "here", settling, seed) for seed in range(50)])
    assert found > 3 * anew


def test_memory_of_earlier_turns_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossgrad.functions.turns.REMEMBERED", 10)
    loops = Loops()
    for site in ("first", "second", "third"):
        assert loops.turns(site, np.ones((1, 4)), lambda: 0.5) is None
    found = [loops.turns(site, np.ones((1, 4)), lambda: 0.5) for site in ("first", "second", "third")]
    assert [turns is not None for turns in found] == [True, True, False]
