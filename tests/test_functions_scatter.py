"""Random rounding, and the noise that is estimated from it."""

import math
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.arguments import read_arguments
from crossgrad.functions.measuring import Measured, measure
from crossgrad.functions.points import Nearby
from crossgrad.functions.rounding import BLOCK, Rounding
from crossgrad.functions.runs import Runner
from crossgrad.functions.scatter import SELDOM, hypot, most_seldom
from crossgrad.networks.dtypes import Array, find_dtype


def measured(gradient: Any, size: int, repeats: int) -> Measured:
    """A gradient by numbers that are all 3."""
    arguments = read_arguments((np.full(size, 3.0),), 0)
    function = crossgrad.gradient(gradient, "numpy")
    (found,) = measure([Runner(function, arguments, None, (), None)], arguments, repeats, seed=0)
    return found


def noise_of(factors: Array, repeats: int) -> Array:
    """That of a gradient, 3 times some factors."""
    return np.asarray(measured(lambda w: w * factors, factors.size, repeats).sigma["args[0]"])


@pytest.mark.parametrize("size", [1e-290, 1e-170, 1e-140, 1.0])
def test_noise_of_any_size(size: float) -> None:
    """Also of a number whose square is none of float64, beside one of 1."""
    noise, one = noise_of(np.array([size, 1.0]), repeats=64)
    assert 2.0**-54 < one < 2.0**-50
    assert noise > size * one / 10


@pytest.mark.parametrize("size", [0.0, 1e-89, 1e-40])
def test_an_element_has_not_the_noise_of_much_larger_ones_beside_it(size: float) -> None:
    noise, one = noise_of(np.array([size, 1.0]), repeats=8)
    assert noise <= max(50 * size * one, 5e-324)


def test_points_that_are_drawn_again_are_the_same() -> None:
    arguments = read_arguments((np.full(3, 3.0, np.float32),), 0)
    nearby = Nearby(arguments, seed=0, dtype=find_dtype("float16"))
    again = nearby.undrawn()
    assert again is not nearby
    for key, moved in nearby.inputs_rounded.values.items():
        assert np.all(abs(moved - 3) > 2.0**-20)  # of float16's roundings: float32's are smaller
        np.testing.assert_array_equal(again.inputs_rounded.values[key], moved)


@pytest.mark.parametrize("reruns", [2, 3, 8])
def test_so_little_scatter_is_seldom(reruns: int) -> None:
    """The bound's formula, where it can be tried: for two draws the distribution is exponential."""
    chi_squared = reruns / most_seldom(reruns) ** 2
    half = reruns / 2
    assert (chi_squared / 2) ** half / math.gamma(half + 1) == pytest.approx(SELDOM)
    if reruns == 2:
        assert -math.expm1(-chi_squared / 2) == pytest.approx(SELDOM, rel=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (3, BLOCK)])
def test_the_root_of_squares_of_any_size(shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    for size in (0.0, 5e-324, 1e-170, 1e-45, 1.0, 1e170, np.inf, np.nan):
        one, other = size * draw.uniform(1, 2, shape), draw.uniform(0, 1e-40, shape)
        np.testing.assert_allclose(hypot(one, other), np.hypot(one, other), rtol=1e-15)
        np.testing.assert_allclose(hypot(one, one), np.hypot(one, one), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_errors_are_uniform_and_independent(dtype: str) -> None:
    found = find_dtype(dtype)
    numbers = np.unique(np.random.default_rng(0).normal(size=1 << 16).astype(found.storage))
    values = numbers.astype(np.float64)
    first, then = (Rounding(found, seed).of_input(values) / values - 1 for seed in (0, 1))
    for draw in (first / found.unit_roundoff, then / found.unit_roundoff):
        assert abs(np.mean(draw)) < 4 / math.sqrt(3 * draw.size)
        assert np.std(draw) == pytest.approx(1 / math.sqrt(3), rel=5 / math.sqrt(draw.size))
    for one, other in ((first, then), (first[1:], first[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(values.size)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (BLOCK + 1,), (3, BLOCK), (BLOCK, 3), (2, 3, 5)])
def test_equal_numbers_are_rounded_alike_wherever_they_stand(shape: tuple[int, ...]) -> None:
    rounding = Rounding(find_dtype("float32"), 0)
    for moved in (rounding.of_input(np.ones(shape)), rounding.of_result(np.ones(shape), 3.0)):
        assert moved.shape == shape
        assert np.unique(moved).size == min(1, moved.size)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_sum_of_zeros_has_no_error(dtype: str) -> None:
    """Where terms cancel there is one as large as beside it, but no random error leaves exactly nothing."""
    rounding = Rounding(find_dtype(dtype), 0)
    moved = rounding.of_result(np.array([[0.0, 1e-9, 1.0], [0.0, -0.0, 0.0]]), 100.0)
    np.testing.assert_array_equal(moved == 0, [[True, False, False], [True, True, True]])
    assert abs(moved[0, 1] - 1e-9) > find_dtype(dtype).unit_roundoff / 100


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [1, 3])
def test_blank_regions_of_an_image_do_not_hide_a_bias(factor: int, dtype: str) -> None:
    """A bias of zero and a border of zeros, relu's kink at them: nothing moves these off it."""
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    image = np.zeros((2, 1, 8, 8))
    image[:, :, 3:6, 3:6] = draw.random((2, 1, 3, 3))
    params = {"w": draw.normal(size=(2, 1, 3, 3)), "b": np.zeros(2)}

    def in_torch(p: Any, x: Any) -> Any:
        z = torch.nn.functional.conv2d(x, p["w"], p["b"], padding=1)
        return ((torch.relu(z) - 1) ** 2).mean()

    def by_hand(p: Any, x: Any) -> Any:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        z = np.einsum("nchwij,ocij->nohw", patches, p["w"]) + p["b"][:, None, None]
        a = np.maximum(z, 0)
        dz = 2 * (a - 1) / x.dtype.type(a.size) * (a > 0)
        gradients = {"w": np.einsum("nchwij,nohw->ocij", patches, dz), "b": factor * dz.sum((0, 2, 3))}
        return ((a - 1) ** 2).mean(), gradients

    report = crossgrad.compare_gradients(
        crossgrad.gradient(by_hand, "numpy", "by hand"),
        crossgrad.loss(in_torch, "torch"),
        args=(params, image),
        dtype=dtype,
    )
    assert report.verdict == ("agree" if factor == 1 else "disagree"), str(report)
    assert [b.function for b in report.blames] == ["by hand"] * (factor != 1)


@pytest.mark.parametrize("refused", [1, 3, 7])
def test_the_noise_of_inputs_is_that_of_inputs_alone_wherever_operations_are_refused(refused: int) -> None:
    """Earlier reruns, in which operations had errors, were counted in."""

    def refusing(after: int) -> Any:
        watched = 0

        def gradient(w: Any) -> Any:
            nonlocal watched
            is_watched = type(w) is not np.ndarray
            watched += is_watched
            if is_watched and watched > after:
                raise TypeError("no arrays that are watched")
            return (w + 1e6) - 1e6

        return gradient

    first, then = (measured(refusing(after), size=2, repeats=8) for after in (0, refused))
    np.testing.assert_allclose(then.sigma["args[0]"], first.sigma["args[0]"], rtol=1e-12)
    for one in (first, then):
        assert one.note is not None
        assert one.note.startswith("operations not seen, noise is that of the inputs")


def test_a_gradient_of_1e_285_has_the_noise_of_its_own_size() -> None:
    """Of a saturated unit: what scatters by 1e-298 has no square, nor in units of 4e-121."""
    factors = np.array([3e-285, 1.0])
    noise = np.asarray(measured(lambda w: np.sin(w) * factors, 2, repeats=16).sigma["args[0]"])
    assert noise[0] / 3e-285 == pytest.approx(noise[1], rel=3)
