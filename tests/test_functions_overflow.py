"""What overflows is judged, and no warning of NumPy's about it escapes: pytest makes errors of them here."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.rounding import Rounding
from crossgrad.networks.dtypes import find_dtype

torch = pytest.importorskip("torch")


def squares(x: Any) -> Any:
    return (x**2).sum()


def softmax_by_hand(z: Any) -> Any:
    exponentials = np.exp(z)
    p = exponentials / exponentials.sum()
    return -np.log(p[0]), p - (np.arange(3) == 0).astype(z.dtype)


def verdict(function: Any, loss: Any, numbers: Any, dtype: str) -> str:
    functions = crossgrad.gradient(function, "numpy", "by hand"), crossgrad.loss(loss, "torch", "torch")
    return str(crossgrad.compare_gradients(*functions, args=(np.asarray(numbers),), dtype=dtype).verdict)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float16", 1e5), ("bfloat16", 1e20), ("float32", 1e20), ("float32", 1e40), ("float64", 1e160)],
)
def test_squares_that_overflow(dtype: str, size: float) -> None:
    numbers = size * np.linspace(-2, 2, 9)
    # x + x, for 2 * x of bfloat16 is float32 to older NumPy.
    assert verdict(lambda x: (squares(x), x + x), squares, numbers, dtype) == "nonfinite-agree"
    assert verdict(lambda x: (squares(x), x + x + x), squares, numbers, dtype) not in ("agree", "undecidable")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_softmax_that_overflows(dtype: str) -> None:
    """Infinity by infinity is NaN, in gradients that differences and closer looks are taken of."""
    logits = np.array([0.95, 0.94, 0.93]) * (100 if dtype == "float32" else 1e200)
    assert verdict(softmax_by_hand, lambda z: -torch.log_softmax(z, 0)[0], logits, dtype) != "agree"


def test_functions_are_run_as_their_caller_has_numpy_set() -> None:
    seen = []

    def loss(x: Any) -> Any:
        seen.append(np.geterr()["over"])
        return squares(x)

    with np.errstate(over="raise"):
        both = crossgrad.loss(loss, "torch", "one"), crossgrad.loss(squares, "torch", "other")
        crossgrad.compare_gradients(*both, args=(np.ones(3),))
    assert set(seen) == {"raise"}


TINY = np.array([[1e-60, -1e-60, 1e-39, -1e-39]])
"""Below the smallest normal number of float32."""


def test_what_underflows_keeps_its_sign() -> None:
    """Its logarithm is no NaN then, which noise would be."""
    for seed in range(20):
        rounded = Rounding(find_dtype("float32"), seed).of_result(TINY, 1.0)
        assert np.array_equal(np.sign(rounded), np.sign(TINY))


def test_what_underflows_in_a_loop_of_jax_keeps_its_sign() -> None:
    jax = pytest.importorskip("jax")
    from crossgrad.functions.frameworks.jax_loops import TracedRounding

    with jax.enable_x64(True):
        rounding = TracedRounding(find_dtype("float32"), jax.numpy.uint64(1))
        for _ in range(20):
            rounded = rounding.of_result(jax.numpy.asarray(TINY), 1.0)
            assert np.array_equal(np.sign(rounded), np.sign(TINY))


def test_a_logarithm_of_what_underflows_in_the_dtype() -> None:
    """JAX takes the series for the tail from -10 on in float32, and from -20 on in float64."""
    jax = pytest.importorskip("jax")
    functions = (
        crossgrad.loss(lambda x: torch.special.log_ndtr(x).sum(), "torch", "torch"),
        crossgrad.loss(lambda x: jax.scipy.special.log_ndtr(x).sum(), "jax", "jax"),
    )
    numbers = np.array([-18.0, -16.6, -12.0, -3.0, 2.0], np.float32)
    crossgrad.assert_gradients_agree(*functions, args=(numbers,))
