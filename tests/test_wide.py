"""The wide reference against the certified oracle, and its parts against exact arithmetic."""

from decimal import Decimal, localcontext
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossgrad.backends.base import Unsupported
from crossgrad.backends.wide import engine, pairs, splitting, wide_trace
from crossgrad.backends.wide.activations import exp_of_negative
from crossgrad.backends.wide.pairs import DOUBLE, LONG, Pair
from crossgrad.backends.wide.results import Wide
from crossgrad.backends.wide.splitting import Factor, product
from crossgrad.networks.cases import Case
from crossgrad.networks.spec import Dense, Network

from .conftest import make_case, skip

HAS_LONG_DOUBLE = np.finfo(np.longdouble).nmant > 60


def random_case(seed: int, scale: float, loss: str = "mse", *, widest: int = 40) -> Case:
    """Depth 1 to 8, some layers without bias; weights N(0, scale**2 / I), targets mostly 0 and 1."""
    rng = np.random.default_rng(seed)
    inputs, *widths = (int(width) for width in rng.integers(1, widest + 1, rng.integers(2, 10)))
    network = Network(inputs, tuple(Dense(units, bias=bool(rng.random() < 0.7)) for units in widths))
    params = [
        (
            scale * rng.standard_normal((o, i)) / np.sqrt(i),
            scale * rng.standard_normal(o) if layer.bias else None,
        )
        for (o, i), layer in zip(network.shapes, network.layers, strict=True)
    ]
    size = int(rng.integers(1, widest))
    x = rng.choice([0.1, 1, 30]) * rng.standard_normal((size, inputs))
    y = np.where(rng.random((size, widths[-1])) < 0.8, rng.random((size, widths[-1])) < 0.5, 0.3)
    return make_case(network, "float64", params=params, batch=(x, y), loss=loss, learning_rate=0.5)


def scaled_case(network: str, scale: float, batch_size: int) -> Case:
    drawn = make_case(network, "float64", batch_size=batch_size)
    params = [(scale * W, None if b is None else scale * b) for W, b in drawn.parameters]
    return make_case(network, "float64", batch_size=batch_size, params=params)


def assert_near_the_truth(case: Case) -> None:
    """Within 2**-8 ulp of float64, as the certified oracle knows it, and within its own estimate.

    A sum over the samples that cancels by more than pairs are longer than float64 keeps what they err by
    in its terms: there the estimate says that no more is known.
    """
    if find_spec("flint") is None:
        skip("arb", "python-flint is not installed")
    from crossgrad.backends.arb import certify

    found = wide_trace(case)
    assert list(found) == [quantity.name for quantity in case.quantities]
    for name, true in certify(case).quantities.items():
        wide = found[name]
        assert wide.value.shape == true.mid.shape
        error = np.abs((wide.value - true.mid) + (wide.low - true.mid_low))
        assert (error <= wide.error + true.radius).all(), name
        kept = 2.0**-90 * terms_of(name, case, found)
        assert (error <= 2.0**-8 * case.format.ulp(true.mid) + kept + 2.0**-1074).all(), name


def terms_of(name: str, case: Case, found: dict[str, Wide]) -> np.ndarray | float:
    """The absolute values of what dW and db are sums of, added up; 0 of other quantities."""
    kind, _, layer = name.partition(".")
    if kind not in ("dW", "db"):
        return 0.0
    dz = np.abs(found[f"dz.{layer}"].value)
    below = int(layer) - 1
    a_prev = np.abs(found[f"a.{below}"].value if below else case.batch.x)
    return dz.T @ a_prev if kind == "dW" else dz.sum(axis=0)


@pytest.mark.parametrize("loss", ["mse", "mse-sum", "half-mse"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 12.0])
@pytest.mark.parametrize("seed", range(4))
def test_random_networks(seed: int, scale: float, loss: str) -> None:
    assert_near_the_truth(random_case(seed, scale, loss))


@settings(max_examples=60)
@example(seed=1359, scale=60.0)  # an element of dW cancels by 2**48
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([0.01, 1.0, 12.0, 60.0]))
def test_more_random_networks(seed: int, scale: float) -> None:
    assert_near_the_truth(random_case(seed, scale, widest=12))


@pytest.mark.parametrize(
    ("network", "scale", "batch_size"),
    [("article", 1, 1), ("784-30-10", 1, 10), ("200-150-100", 12, 70), ("deep", 12, 3)],
)
def test_larger_networks(network: str, scale: float, batch_size: int) -> None:
    case = (
        make_case("article", "float64") if network == "article" else scaled_case(network, scale, batch_size)
    )
    assert_near_the_truth(case)


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[np.dtype]:
    """The kinds of pairs that steps are tried with."""
    tried = []

    class Recorded(engine._Step):
        def __init__(self, case: Case, kind: np.dtype) -> None:
            tried.append(kind)
            super().__init__(case, kind)

    monkeypatch.setattr(engine, "_Step", Recorded)
    return tried


@pytest.mark.skipif(not HAS_LONG_DOUBLE, reason="long doubles are doubles here")
@pytest.mark.parametrize("network", ["5-6-7-8", "20-20-20"])
def test_numbers_near_the_end_of_the_range_take_long_doubles(network: str, kinds: list[np.dtype]) -> None:
    assert_near_the_truth(scaled_case(network, 500, 5))
    assert kinds == [DOUBLE, LONG]


@pytest.mark.skipif(not HAS_LONG_DOUBLE, reason="long doubles are doubles here")
def test_both_kinds_of_pairs_give_the_same() -> None:
    case = random_case(3, 1.0)
    with np.errstate(under="ignore"):
        doubles, longs = engine._Step(case, DOUBLE).found, engine._Step(case, LONG).found
    for name, one in doubles.items():
        other = longs[name]
        apart = np.abs((one.value - other.value) + (one.low - other.low))
        assert (apart <= one.error + other.error).all()


def test_without_long_doubles_the_usual_cases_work(
    monkeypatch: pytest.MonkeyPatch, kinds: list[np.dtype]
) -> None:
    monkeypatch.setattr(pairs, "_LONG_BITS", 53)
    wide_trace(random_case(0, 1.0))
    with pytest.raises(Unsupported, match="long doubles"):
        wide_trace(scaled_case("5-6-7-8", 500, 3))
    assert kinds == [DOUBLE, DOUBLE]


def test_a_missing_rule_is_said_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.networks.rules import ACTIVATIONS

    monkeypatch.setitem(ACTIVATIONS, "cube", "a = z**3")
    case = make_case("3-4-2", "float64")
    object.__setattr__(case.network.layers[0], "activation", "cube")
    with pytest.raises(Unsupported, match="cube"):
        wide_trace(case)


def test_inputs_of_other_dtypes_are_taken_exactly() -> None:
    case = make_case("7-5-3", "bfloat16", batch_size=4)
    found, widened = wide_trace(case), wide_trace(case.widened())
    for name, wide in found.items():
        np.testing.assert_array_equal(wide.value, widened[name].value)
        np.testing.assert_array_equal(wide.low, widened[name].low)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case("40-50-30", "float64", batch_size=9)
    usual = wide_trace(case)
    monkeypatch.setattr(engine, "BLOCK", 100)
    for name, wide in wide_trace(case).items():
        apart = np.abs((wide.value - usual[name].value) + (wide.low - usual[name].low))
        assert (apart <= wide.error + usual[name].error).all()


def test_the_articles_loss_is_known_to_80_bits() -> None:
    loss = wide_trace(make_case("article", "float64"))["loss"]
    assert loss.error < 2.0**-80 * loss.value


NUMBERS = st.floats(-1e100, 1e100).filter(lambda value: value == 0 or abs(value) > 1e-100)


def exactly(pair: Pair) -> Fraction:
    return Fraction(*pair.high.item().as_integer_ratio()) + Fraction(*pair.low.item().as_integer_ratio())


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from([DOUBLE, LONG]))
def test_pairs_against_fractions(a: float, b: float, c: float, d: float, kind: np.dtype) -> None:
    x = Pair.exactly(np.array([a]), kind) + Pair.exactly(np.array([b * 1e-17]), kind)
    y = Pair.exactly(np.array([c]), kind) + Pair.exactly(np.array([d * 1e-17]), kind)
    exact_x, exact_y = exactly(x), exactly(y)
    bound = Fraction(pairs.ROUNDING)
    with np.errstate(under="ignore"):
        assert abs(exactly(x + y) - (exact_x + exact_y)) <= bound * abs(exact_x + exact_y)
        assert abs(exactly(x - y) - (exact_x - exact_y)) <= bound * abs(exact_x - exact_y)
        assert abs(exactly(x * y) - exact_x * exact_y) <= bound * abs(exact_x * exact_y)
        if exact_y:
            assert abs(exactly(x / y) - exact_x / exact_y) <= bound * abs(exact_x / exact_y)


@settings(max_examples=100)
@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_sums_of_pairs(values: list[float]) -> None:
    total = exactly(Pair.exactly(np.array(values).reshape(-1, 1), DOUBLE).sum()[0:1])
    exact = sum(map(Fraction, values))
    assert abs(total - exact) <= Fraction(pairs.ROUNDING) * sum(abs(Fraction(value)) for value in values)


@settings(max_examples=200)
@given(st.floats(-740, 0), st.floats(-1e-16, 1e-16))
def test_exp_to_98_bits(high: float, low: float) -> None:
    x = Pair.exactly(np.array([high]), DOUBLE) + Pair.exactly(np.array([min(low, -high * 1e-16)]), DOUBLE)
    if x.high.item() > 0:
        return
    significand, exponent = exp_of_negative(x)
    with localcontext(prec=60):
        found = (Decimal(significand.high.item()) + Decimal(significand.low.item())) * Decimal(2) ** int(
            exponent[0]
        )
        exact = (Decimal(x.high.item()) + Decimal(x.low.item())).exp()
        assert abs(found / exact - 1) <= Decimal(pairs.ROUNDING) / 2


def test_exp_far_below_the_range() -> None:
    significand, exponent = exp_of_negative(Pair.exactly(np.array([-1e300, -12001.0, 0.0]), DOUBLE))
    assert (exponent[:2] < -17000).all()
    assert (significand.high[2], significand.low[2], exponent[2]) == (1, 0, 0)


def random_factor(rng: np.random.Generator, rows: int, n: int, spread: int, low: bool) -> Factor:
    high = rng.standard_normal((rows, n)) * 2.0 ** rng.integers(-spread, spread + 1, (rows, n))
    high[rng.random((rows, n)) < 0.1] = 0
    return Factor(DOUBLE, high, high * rng.uniform(-1, 1, (rows, n)) * 2.0**-54 if low else None)


def exact_product(left: Factor, right: Factor) -> list[list[Fraction]]:
    def numbers(factor: Factor) -> list[list[Fraction]]:
        low = np.zeros_like(factor.high) if factor.low is None else factor.low
        return [
            [Fraction(h) + Fraction(v) for h, v in zip(*row, strict=True)]
            for row in zip(factor.high.tolist(), low.tolist(), strict=True)
        ]

    return [
        [sum((p * q for p, q in zip(row, column, strict=True)), Fraction(0)) for column in numbers(right)]
        for row in numbers(left)
    ]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 40),
    spread=st.sampled_from([0, 3, 20, 60]),
    orders=st.sampled_from([3, 4, 5, 7]),
)
def test_products_are_within_their_own_estimate(seed: int, n: int, spread: int, orders: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = (random_factor(rng, 6, n, spread, bool(rng.random() < 0.5)) for _ in range(2))
    found, exact = product(left, right, orders), exact_product(left, right)
    for i, row in enumerate(exact):
        for j, value in enumerate(row):
            error = abs(exactly(found.values[i : i + 1, j : j + 1]) - value)
            assert error <= Fraction(found.error[i, j])
            if value:  # inputs are exact: every element is computed until it is good
                sizes = zip(left.high[i].tolist(), right.high[j].tolist(), strict=True)
                largest = sum(abs(Fraction(p) * Fraction(q)) for p, q in sizes)
                assert error <= Fraction(2.0**-64) * abs(value) + Fraction(2.0**-95) * largest


def test_products_of_integers_are_exact() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.integers(-(2**20), 2**20, (30, 50)), rng.integers(-(2**20), 2**20, (40, 50))
    found = product(Factor(DOUBLE, A.astype(float)), Factor(DOUBLE, B.astype(float))).unscaled(DOUBLE)
    np.testing.assert_array_equal(found.values.high, (A @ B.T).astype(float))
    assert not found.values.low.any()


def test_errors_of_factors_are_passed_on() -> None:
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((5, 8)), rng.standard_normal((6, 8))
    of_A, of_B = rng.random((5, 8)) * 1e-20, rng.random((6, 8)) * 1e-20
    for left, right in ((of_A, None), (None, of_B), (of_A, of_B)):
        found = product(Factor(DOUBLE, A, None, left), Factor(DOUBLE, B, None, right)).unscaled(DOUBLE)
        caused = 0 if left is None else left @ np.abs(B).T
        caused += 0 if right is None else np.abs(A) @ right.T
        np.testing.assert_allclose(found.error, caused, rtol=1e-5)


def test_products_of_slices_are_integers_below_2_53() -> None:
    """What makes them exact, at the largest inner dimensions: bits are chosen for the sum of all slices."""
    for n in (1, 10, 1024, 100_000):
        for orders in (splitting.ORDERS, splitting.UPSTREAM_ORDERS, splitting.MORE_ORDERS):
            row = Factor(DOUBLE, np.full((1, n), 1 - 2.0**-53), np.full((1, n), 2.0**-55))
            bits = splitting.slice_bits(n, orders)
            slices = row.slices(orders, bits, reverse=False).table
            assert (slices == np.rint(slices)).all()
            assert orders * n * np.abs(slices).max() ** 2 <= 2**53
