"""Activations where their units saturate: sums nearly cancel there, also inside of one kernel."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

of_torch, of_jax = torch.nn.functional, jax.nn

SEEN = ("silu", "softplus", "log-sigmoid")
"""Activations in which nothing cancels."""

PAIRS: dict[str, tuple[Any, Any]] = {
    "gelu": (of_torch.gelu, partial(of_jax.gelu, approximate=False)),
    "gelu by tanh": (partial(of_torch.gelu, approximate="tanh"), of_jax.gelu),
    "elu": (of_torch.elu, of_jax.elu),
    "mish": (of_torch.mish, of_jax.mish),
    "silu": (of_torch.silu, of_jax.silu),
    "softplus": (of_torch.softplus, of_jax.softplus),
    "log-sigmoid": (of_torch.logsigmoid, of_jax.log_sigmoid),
}


def compared(
    pair: str, dtype: str, factor: float = 1.0, scale: float = 3.0, shift: float = 0.0
) -> crossgrad.FunctionReport:
    """Both on inputs of so many times the usual size, JAX's loss as it is and its gradient times `factor`."""
    draw = np.random.default_rng(1)
    x, c = scale * draw.normal(size=(64, 128)) + shift, draw.normal(size=(64, 128))
    one, other = PAIRS[pair]

    def times(x: Any, c: Any) -> Any:
        loss, gradient = jax.value_and_grad(lambda x: (other(x) * c).sum())(x)
        return loss, gradient * jax.numpy.asarray(factor, x.dtype)

    return crossgrad.compare_gradients(
        crossgrad.loss(lambda x, c: (one(x) * c).sum(), "torch", "torch"),
        crossgrad.gradient(times, "jax", "jax"),
        args=(x, c),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pair", PAIRS)
def test_kernels_and_their_formulas_agree(pair: str, dtype: str) -> None:
    report = compared(pair, dtype)
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


@pytest.mark.parametrize("pair", PAIRS)
def test_that_hides_no_wrong_factor(pair: str) -> None:
    report = compared(pair, "float32", factor=1 + 2e-5)
    assert [blame.function for blame in report.blames] == ["jax"], str(report)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("pair", SEEN)
def test_nor_one_where_all_units_are_saturated(pair: str, dtype: str) -> None:
    report = compared(pair, dtype, factor=1.01, scale=1.0, shift=-15.0)
    assert [blame.function for blame in report.blames] == ["jax"], str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gelu", "mish", "softplus"])
def test_of_a_single_number_too(name: str, dtype: str) -> None:
    """What NumPy makes of arrays without dimensions is a scalar."""
    one, other = PAIRS[name]
    report = crossgrad.compare_gradients(
        crossgrad.loss(one, "torch", "torch"),
        crossgrad.loss(other, "jax", "jax"),
        args=(np.array(-0.7),),
        dtype=dtype,
    )
    assert (report.verdict, report.notes) == ("agree", ()), str(report)


def cross_entropy(x: Any, y: Any) -> Any:
    return -jax.numpy.mean(jax.numpy.take_along_axis(of_jax.log_softmax(x), y[:, None], 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("margin", [0.0, 3.0, 8.0, 16.0])
def test_cross_entropy_of_confident_classes(margin: float, dtype: str) -> None:
    """Its gradient, p - 1 for the right class, is all but lost to rounding."""
    x = margin * np.eye(5) + 0.3 * np.random.default_rng(0).normal(size=(5, 5))
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x, y: of_torch.cross_entropy(x, y), "torch", "torch"),
        crossgrad.loss(lambda x, y: torch.nn.CrossEntropyLoss()(x, y), "torch", "module"),
        crossgrad.loss(cross_entropy, "jax", "jax"),
        args=(x, np.arange(5)),
        argnums=0,
        dtype=dtype,
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_a_wrong_one_beside_confident_classes_is_the_one_that_is_blamed() -> None:
    x = 10 * np.eye(5) + 0.3 * np.random.default_rng(0).normal(size=(5, 5))
    b = np.zeros(5)

    def doubled(x: Any, b: Any, y: Any) -> Any:
        return of_torch.cross_entropy(x + 2 * b - b.detach(), y)

    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x, b, y: of_torch.cross_entropy(x + b, y), "torch", "right"),
        crossgrad.loss(doubled, "torch", "wrong"),
        args=(x, b, np.arange(5)),
        argnums=(0, 1),
        dtype="float32",
    )
    assert [(blame.function, blame.quantities) for blame in report.blames] == [("wrong", ("args[1]",))]


@pytest.mark.parametrize("scale", [1.0, 4.0, 8.0, 16.0])
def test_gates_that_are_saturated(scale: float) -> None:
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x: of_torch.glu(x).sin().sum(), "torch", "torch"),
        crossgrad.loss(lambda x: torch.nn.GLU()(x).sin().sum(), "torch", "module"),
        crossgrad.loss(lambda x: jax.numpy.sin(of_jax.glu(x)).sum(), "jax", "jax"),
        args=(scale * np.random.default_rng(0).normal(size=(8, 16)),),
        dtype="float32",
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_softmax_of_confident_classes() -> None:
    x, c = 12 * np.eye(6), np.random.default_rng(0).normal(size=(6, 6))
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x, c: (of_torch.softmax(x, -1) * c).sum(), "torch", "torch"),
        crossgrad.loss(lambda x, c: (of_jax.softmax(x) * c).sum(), "jax", "jax"),
        args=(x, c),
        argnums=0,
        dtype="float32",
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)
