"""Matrices that lie transposed in memory: the same numbers, and nobody outside sees it."""

from typing import Any

import numpy as np
import pytest

from crossgrad.backends.numpy import memory
from crossgrad.backends.numpy.memory import Order
from crossgrad.backends.numpy.multiply import layout_of, order_of_weights, product_into
from crossgrad.checking import check_cases
from crossgrad.networks.spec import Network

from .conftest import load_or_skip, make_case

ORDERS = {"float64": ["C", "C"], "float32": ["F", "C"], "bfloat16": ["F", "C"]}


@pytest.mark.parametrize("dtype", ORDERS)
def test_a_layer_with_fewer_outputs_lies_transposed_and_is_right(dtype: str) -> None:
    case = make_case("300-50-7", dtype, batch_size=100)
    program = load_or_skip("numpy").prepare(case, "manual", "cpu")
    values = program.put(case.parameters, case.batch)
    result = program.step(values)
    assert [_order(dense.W) for dense in values.parameters] == ORDERS[dtype]  # type: ignore[attr-defined]
    assert [_order(dW) for dW in result[0].dW] == ORDERS[dtype]  # type: ignore[index]
    assert [_order(W) for W, _ in program.update(values, result)] == ORDERS[dtype]  # type: ignore[attr-defined]
    outside = program.gradients(result) | program.trace(values).quantities
    assert {name for name, array in outside.items() if not array.flags.c_contiguous} == set()
    check_cases([case], backends=["numpy"]).raise_if_disagree()


@pytest.mark.parametrize(
    ("shape", "batch", "order"),
    [
        ((100, 784), 1024, "F"),
        ((100, 784), 10, "C"),
        ((784, 100), 1024, "C"),
        ((1024, 1024), 512, "C"),
        ((1000, 1001), 1, "C"),
    ],
    ids=["narrowing", "small", "widening", "square", "one-sample"],
)
def test_what_gains_nothing_lies_by_rows(shape: tuple[int, int], batch: int, order: str) -> None:
    assert order_of_weights(shape, batch, np.float32) == order


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("widths", ["300-256-300-7", "9-257-1", "1-256-3", "256-256-1"])
@pytest.mark.parametrize("loss", ["mse", "half-mse"])
def test_few_samples_of_wide_layers_lie_unit_after_unit_and_are_right(
    dtype: str, widths: str, loss: str
) -> None:
    case = make_case(widths, dtype, batch_size=24, loss=loss)
    program: Any = load_or_skip("numpy").prepare(case, "manual", "cpu")
    values = program.put(case.parameters, case.batch)
    work, _ = program.step(values)
    samples = [values.x, values.y, *(target.product for target in (*work._kept, *work._passing))]
    transposed = {array.T.flags.c_contiguous for array in samples if 1 not in array.shape}
    assert transposed == {dtype != "float64"}
    assert not [array for array in program.trace(values).quantities.values() if not array.flags.c_contiguous]
    check_cases([case], backends=["numpy"]).raise_if_disagree()


@pytest.mark.parametrize(
    ("widths", "batch", "order"),
    [
        ("300-300-10", 8, "F"),
        ("300-300-10", 128, "F"),
        ("2-256-10", 64, "F"),
        ("300-300-10", 7, "C"),
        ("300-300-10", 129, "C"),
        ("300-300-255-300", 64, "C"),
        ("300-300", 64, "C"),
    ],
    ids=["few", "many", "narrow-ends", "fewer", "more", "narrow-inside", "one-layer"],
)
def test_where_it_gains_samples_are_transposed(widths: str, batch: int, order: str) -> None:
    shapes = Network.from_widths(widths).shapes
    found = layout_of(shapes, batch, np.dtype(np.float32))
    assert (found.samples, len(found.weights)) == (order, len(shapes))
    assert order == "C" or set(found.weights) == {"C"}
    assert layout_of(shapes, batch, np.dtype(np.float64)) == ("C", ("C",) * len(shapes))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("left", "right"), [((30, 1), (1, 400)), ((30, 5), (5, 40)), ((300, 5), (5, 400))], ids=str
)
def test_every_product_is_right_in_both_orders(
    left: tuple[int, int], right: tuple[int, int], order: Order
) -> None:
    random = np.random.default_rng(0)
    out = memory.empty((left[0], right[1]), np.float64, order)
    a, b = (np.array(random.normal(size=shape), order=order) for shape in (left, right))
    multiply = product_into(out, left[1])
    assert multiply(a, b, out) is out
    assert np.allclose(out, np.einsum("ik,kj->ij", a, b), rtol=1e-12, atol=1e-12)
    assert (multiply is np.matmul) == (out.nbytes >= 2**17)


def _order(array: np.ndarray) -> str:
    return "C" if array.flags.c_contiguous else "F"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [7, (5, 3), (1, 1)], ids=str)
def test_arrays_begin_where_a_cache_line_does(shape: int | tuple[int, ...], order: Order) -> None:
    for _ in range(5):
        array = memory.empty(shape, np.float32, order)
        assert array.ctypes.data % memory.LINE == 0
        assert array.shape == np.empty(shape).shape
        assert array.flags[f"{order}_CONTIGUOUS"]
        assert array.flags.writeable
        copied = memory.copy(np.ones(shape), np.float32, order)
        assert (copied.dtype, copied.tolist()) == (np.float32, np.ones(shape).tolist())


def test_all_that_a_step_works_on_begins_so() -> None:
    case = make_case("30-20-10", "float32", batch_size=7)
    program = load_or_skip("numpy").prepare(case, "manual", "cpu")
    values = program.put(case.parameters, case.batch)
    work, _ = program.step(values)  # type: ignore[misc]
    arrays = [values.x, values.y, *work.dW, *work.db]  # type: ignore[attr-defined]
    arrays += [array for dense in values.parameters for array in (dense.W, dense.b)]  # type: ignore[attr-defined]
    arrays += [target.product for target in (*work._kept, *work._passing)]
    assert [array.ctypes.data % memory.LINE for array in arrays] == [0] * len(arrays)
