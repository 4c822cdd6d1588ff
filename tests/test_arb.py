"""The certified oracle: what it encloses, how tightly, and that nothing else is promised."""

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad.networks.article import article_tables
from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.parameters import DenseParameters
from crossgrad.networks.spec import Dense, Network

from .conftest import HALF, NATIVE, make_case, skip

if find_spec("flint") is None:
    skip("arb", "python-flint is not installed")

from flint import arb, fmpq

from crossgrad.backends.arb import (
    Certified,
    Enclosure,
    TooCostly,
    certificate,
    certify,
    layer,
    predicted_seconds,
)
from crossgrad.backends.arb.certificate import certify_problem
from crossgrad.backends.arb.step import Problem
from crossgrad.networks.batches import Batch

LOSSES = ["mse", "mse-sum", "half-mse"]
DTYPES = [*NATIVE, *HALF]


def random_case(seed: int, scale: float, dtype: str, loss: str = "mse", *, widest: int = 6) -> Case:
    """A small network of random shape, some layers without bias, targets 0 and 1 among others."""
    rng = np.random.default_rng(seed)
    inputs, *widths = (int(width) for width in rng.integers(1, widest + 1, rng.integers(2, 6)))
    network = Network(inputs, tuple(Dense(units, bias=bool(rng.random() < 0.7)) for units in widths))
    params = [
        (scale * rng.standard_normal(shape), scale * rng.standard_normal(shape[0]) if layer.bias else None)
        for shape, layer in zip(network.shapes, network.layers, strict=True)
    ]
    size = int(rng.integers(1, 5))
    targets = np.where(
        rng.random((size, widths[-1])) < 0.5, rng.integers(0, 2, (size, widths[-1])), rng.random()
    )
    batch = (rng.standard_normal((size, inputs)), targets)
    return make_case(network, dtype, params=params, batch=batch, loss=loss, seed=seed)


def exact_step(case: Case) -> dict[str, list]:
    """Every quantity by the chain rule, element by element, at mpmath's precision; flat lists."""

    def exact(array):
        return [mpmath.mpf(float(value)) for value in np.asarray(array, np.float64).reshape(-1)]

    samples, lr = range(case.batch_size), mpmath.mpf(case.learning_rate)
    divisor = {"mse": case.batch.y.size, "mse-sum": 1, "half-mse": 2 * case.batch_size}[case.loss]
    x, y = exact(case.batch.x), exact(case.batch.y)

    def forward(parameters):
        found, a = {}, x
        for n, (W, b) in enumerate(parameters, start=1):
            (outputs, inputs), flat = case.network.shapes[n - 1], W
            z = [
                mpmath.fdot(a[s * inputs : (s + 1) * inputs], flat[o * inputs : (o + 1) * inputs])
                + (b[o] if b else 0)
                for s in samples
                for o in range(outputs)
            ]
            a = [1 / (1 + mpmath.exp(-v)) for v in z]
            found |= {f"z.{n}": z, f"a.{n}": a}
        return found | {"loss": [mpmath.fsum((v - t) ** 2 for v, t in zip(a, y, strict=True)) / divisor]}

    parameters = [(exact(W), None if b is None else exact(b)) for W, b in case.parameters]
    q, updated = forward(parameters), []
    last = len(parameters)
    da = [2 * (v - t) / divisor for v, t in zip(q[f"a.{last}"], y, strict=True)]
    for n in range(last, 0, -1):
        (outputs, inputs), (W, b), below = (
            case.network.shapes[n - 1],
            parameters[n - 1],
            q.get(f"a.{n - 1}", x),
        )
        dz = [d * v * (1 - v) for d, v in zip(da, q[f"a.{n}"], strict=True)]
        dW = [
            mpmath.fsum(dz[s * outputs + o] * below[s * inputs + i] for s in samples)
            for o in range(outputs)
            for i in range(inputs)
        ]
        q |= {f"da.{n}": da, f"dz.{n}": dz, f"dW.{n}": dW, f"W_new.{n}": subtract(W, dW, lr)}
        if b:
            db = [mpmath.fsum(dz[s * outputs + o] for s in samples) for o in range(outputs)]
            q |= {f"db.{n}": db, f"b_new.{n}": subtract(b, db, lr)}
        updated.insert(0, (q[f"W_new.{n}"], q.get(f"b_new.{n}")))
        da = [
            mpmath.fsum(dz[s * outputs + o] * W[o * inputs + i] for o in range(outputs))
            for s in samples
            for i in range(inputs)
        ]
    return q | {"loss_new": forward(updated)["loss"]}


def subtract(values, derivatives, lr):
    return [value - lr * d for value, d in zip(values, derivatives, strict=True)]


def assert_encloses(found: Enclosure, exact: list, slack: float = 0.0) -> None:
    """``|x - (mid + mid_low)| <= radius`` for every element; `slack`: the relative error of `exact`."""
    assert found.mid.size == len(exact)
    for mid, low, radius, value in zip(
        found.mid.reshape(-1), found.mid_low.reshape(-1), found.radius.reshape(-1), exact, strict=True
    ):
        error = abs(mpmath.mpf(float(mid)) + mpmath.mpf(float(low)) - value)
        assert error <= mpmath.mpf(float(radius)) + slack * abs(value)


def assert_sharp(certified: Certified, dtype: str) -> None:
    """Radii are at most 2**-10 ulp, or the smallest float64 and what rounding to it costs."""
    for found in certified.quantities.values():
        bound = np.maximum(find_dtype(dtype).ulp(found.mid) * 2.0**-10, 2.0**-1073)
        assert (found.radius <= bound).all()


@pytest.fixture
def digits() -> Iterator[None]:
    """Mpmath at 400 digits: saturated networks lose hundreds in 1 - a."""
    with mpmath.workdps(400):
        yield


@pytest.mark.parametrize("loss", ["mse", "half-mse"])
def test_the_articles_digits_are_enclosed(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture's numbers are decimal: given as fractions, no rounding to float64 comes between."""
    given = {
        name: fmpq(*Fraction(text).as_integer_ratio()) for name, text in article_tables()["given"].items()
    }

    def exact(*names: str) -> np.ndarray:
        return np.array([given[name] for name in names], object)

    problem = Problem(
        Network.from_widths("1-1-1"),
        loss,
        given["learning_rate"],
        find_dtype("float64"),
        tuple(DenseParameters(exact(f"W.{n}").reshape(1, 1), exact(f"b.{n}")) for n in (1, 2)),
        Batch(exact("x").reshape(1, 1), exact("y").reshape(1, 1)),
    )
    monkeypatch.setattr(certificate, "first_bits", lambda problem: 113)  # it reads weights as floats
    found = certify_problem(problem).quantities
    assert len(found) == 18
    with mpmath.workdps(60):
        for name, enclosure in found.items():
            digits = mpmath.mpf(article_tables()[loss][name])
            assert_encloses(enclosure, [digits], slack=5e-30)
            assert enclosure.radius.item() < 1e-30 * max(1, abs(enclosure.mid.item()))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_a_computation_with_60_digits_is_enclosed(seed: int, loss: str) -> None:
    case = random_case(seed, 1.0, "float64", loss)
    certified = certify(case)
    assert list(certified.quantities) == [quantity.name for quantity in case.quantities]
    with mpmath.workdps(60):
        for name, exact in exact_step(case).items():
            assert_encloses(certified.quantities[name], exact, slack=1e-50)
    assert_sharp(certified, "float64")


@pytest.mark.usefixtures("digits")
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([0.01, 1.0, 12.0, 100.0]),
    dtype=st.sampled_from(DTYPES),
    loss=st.sampled_from(LOSSES),
)
def test_every_case_is_enclosed_sharply(seed: int, scale: float, dtype: str, loss: str) -> None:
    case = random_case(seed, scale, dtype, loss)
    certified = certify(case)
    for name, exact in exact_step(case).items():
        assert_encloses(certified.quantities[name], exact, slack=1e-300)
    assert_sharp(certified, dtype)


def test_a_saturated_network_needs_no_more_bits() -> None:
    """1 - a is computed as sigmoid(-z): at z = 300 nothing is lost although a is 1 to 130 digits."""
    params = [(np.array([[300.0]]), None)]
    network = Network(1, (Dense(1, bias=False),))
    case = make_case(network, "float64", params=params, batch=([[1.0]], [[1.0]]))
    certified = certify(case)
    assert (certified.bits, certified.passes) == (113, 1)
    assert certified.quantities["a.1"].mid.item() == 1.0
    assert certified.quantities["da.1"].mid.item() == pytest.approx(-2 * np.exp(-300.0), rel=1e-15)


CANCELLING = Network(1, (Dense(2, bias=False), Dense(1, bias=False), Dense(1, bias=False)))


def cancelling_case(first: float, second: float, dtype: str = "float64") -> Case:
    """``z.2 = sigmoid(first) - sigmoid(second)``, nearly or exactly 0."""
    params = [([[first], [second]], None), ([[1.0, -1.0]], None), ([[2.0]], None)]
    return make_case(CANCELLING, dtype, params=params, batch=([[1.0]], [[0.25]]))


@pytest.mark.usefixtures("digits")
def test_precision_is_raised_until_it_suffices() -> None:
    case = cancelling_case(1.0, 1.0 + 2.0**-52)
    certified = certify(case)
    assert certified.passes == 2
    assert 113 < certified.bits < 150
    assert_sharp(certified, "float64")
    for name, exact in exact_step(case).items():
        assert_encloses(certified.quantities[name], exact, slack=1e-300)


def test_a_zero_that_no_ball_can_prove_is_bounded_below_the_range() -> None:
    certified = certify(cancelling_case(1.0, 1.0))
    zero = certified.quantities["z.2"]
    assert zero.mid.item() == 0
    assert 0 < zero.radius.item() <= 2.0**-1073
    assert certified.bits > 1000
    assert certify(cancelling_case(1.0, 1.0, "float32")).bits < 400


def test_zeros_and_what_they_leave_alone_are_exact() -> None:
    """A pixel that is black in every sample: its column of dW is 0, its weights stay."""
    rng = np.random.default_rng(0)
    x = rng.random((7, 5))
    x[:, 2] = 0
    case = make_case("5-70-3", "float64", batch=(x, rng.random((7, 3))))
    found = certify(case).quantities
    assert not found["dW.1"].mid[:, 2].any()
    assert not found["dW.1"].radius[:, 2].any()
    np.testing.assert_array_equal(found["W_new.1"].mid[:, 2], case.parameters[0].W[:, 2])
    assert not found["W_new.1"].radius[:, 2].any()
    assert found["dW.1"].radius[:, [0, 1, 3, 4]].all()


def test_values_beyond_float64_are_infinite_with_infinite_radius() -> None:
    network = Network(4, (Dense(2, bias=False), Dense(1)))
    params = [(np.full((2, 4), 1e308) * [[1], [-1]], None), (np.ones((1, 2)), np.zeros(1))]
    case = make_case(network, "float64", params=params, batch=(np.full((1, 4), 1e3), [[0.5]]))
    found = certify(case).quantities
    np.testing.assert_array_equal(found["z.1"].mid, [[np.inf, -np.inf]])
    np.testing.assert_array_equal(found["z.1"].mid_low, 0)
    np.testing.assert_array_equal(found["z.1"].radius, np.inf)
    np.testing.assert_array_equal(found["a.1"].mid, [[1.0, 0.0]])
    assert found["dz.1"].radius.max() <= 2.0**-1073


@settings(max_examples=200)
@given(
    mantissa=st.integers(-(2**130), 2**130),
    exponent=st.integers(-1300, 1000),
    radius=st.tuples(st.integers(0, 2**20), st.integers(-200, 0)),
)
def test_turning_balls_into_doubles_is_rigorous(
    mantissa: int, exponent: int, radius: tuple[int, int]
) -> None:
    """Subnormal and overflowing results among them."""
    ball = arb((mantissa, exponent), (radius[0], exponent + radius[1]))
    found = Enclosure.empty((1,))
    found.fill(..., [ball], find_dtype("float64"))
    mid, low, bound = found.mid.item(), found.mid_low.item(), found.radius.item()
    if np.isfinite(mid) and np.isfinite(bound):
        exact = Fraction(mantissa) * Fraction(2) ** exponent
        reach = Fraction(radius[0]) * Fraction(2) ** (exponent + radius[1])
        assert abs(exact - Fraction(mid) - Fraction(low)) + reach <= Fraction(bound)
        if mantissa.bit_length() <= 53 and radius[0] == 0 and exponent > -1074:
            assert (low, bound) == (0, 0)
    else:
        assert bound == np.inf


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [1.0, -1.5, 3 * 2.0**-30, 0.0])
def test_the_shortfall_counts_bits_from_2_to_the_minus_10_ulp(value: float, dtype: str) -> None:
    """Zero and, in float64, the lower end of the range are judged by balls, not by rounded radii."""
    ulp = int(np.log2(find_dtype(dtype).ulp(value)))

    def shortfall(log2_radius: int) -> float:
        return Enclosure.empty((1,)).fill(..., [arb(value, arb((1, log2_radius)))], find_dtype(dtype))

    assert shortfall(ulp - 10) == pytest.approx(0, abs=1e-6 if ulp > -1000 else 1)
    assert shortfall(ulp - 15) <= -4
    assert shortfall(ulp + 30) == pytest.approx(40, abs=1e-6 if ulp > -1000 else 1)


@pytest.mark.parametrize("batch_size", [32, 150])
def test_blocks_padding_and_association_change_nothing(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case("70-66-64", "float64", batch_size=batch_size)
    usual = certify(case).quantities
    monkeypatch.setattr(layer, "BLOCK", 1000)
    monkeypatch.setattr(layer, "WORTH_PADDING", 64)
    other = certify(case).quantities
    for name, found in usual.items():
        apart = np.abs((found.mid - other[name].mid) + (found.mid_low - other[name].mid_low))
        assert (apart <= found.radius + other[name].radius).all()


def test_a_deep_network_takes_one_pass() -> None:
    certified = certify(make_case("deep", "float64", batch_size=2))
    assert certified.passes == 1
    assert certified.bits > 113
    assert_sharp(certified, "float64")


def test_the_certificate_cannot_be_changed() -> None:
    certified = certify(make_case("article", "float64"))
    with pytest.raises(TypeError):
        certified.quantities["loss"] = None
    with pytest.raises(ValueError, match="read-only"):
        certified.quantities["loss"].mid[()] = 0


def test_too_long_is_said_before_the_start() -> None:
    with pytest.raises(TooCostly, match=r"would take about .* s, 1 s are allowed"):
        certify(make_case("wide", "float64"), max_seconds=1)


def test_too_long_is_noticed_on_the_way() -> None:
    """A second pass that is foreseen to take too long is not begun, whatever the clock says."""
    case = cancelling_case(1.0, 1.0)
    one_pass = predicted_seconds(case.network, case.batch_size)
    assert certify(case).passes > 1
    with pytest.raises(TooCostly, match=r"would take about .* s"):
        certify(case, max_seconds=1.5 * one_pass)


def test_absurd_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "LARGEST_BITS", 500)
    with pytest.raises(TooCostly, match="more than 500 bits"):
        certify(cancelling_case(1.0, 1.0))


def test_predicted_seconds_grow_with_the_case() -> None:
    networks = [Network.from_widths(text) for text in ("1-1-1", "784-30-10", "256-256-256", "1024-1024-1024")]
    seconds = [predicted_seconds(network, 10) for network in networks]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < 0.1 < seconds[-1] < 60
    assert predicted_seconds(networks[-1], 10) < predicted_seconds(networks[-1], 200)
    assert np.isfinite(predicted_seconds(Network(10**12, (Dense(10**12),)), 10**12))


def test_radii_whose_exponents_no_float_holds() -> None:
    """In networks of the largest float64 numbers: two outputs of 1 cancel, and what they lack is left."""
    largest = 1.797e308
    params = [
        ([[9e307]], [2e304]),
        ([[4.6e152], [1.4e153]], [0.0, 1.6e307]),
        ([[largest, -largest]], [8e153]),
    ]
    layers = [(np.array(W), np.array(b)) for W, b in params]
    batch = (np.full((1, 1), largest), np.zeros((1, 1)))
    assert certify(make_case("1-1-2-1", "float64", params=layers, batch=batch)).quantities["a.2"].mid.all()
