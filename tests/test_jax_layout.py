"""JAX's products along rows: the gradient is still the one that JAX derives, of the same terms."""

from typing import Any

import numpy as np
import pytest

from crossgrad.checking import check_cases

from .conftest import NATIVE, load_or_skip, make_case

jax = pytest.importorskip("jax")
layout = pytest.importorskip("crossgrad.backends.jax.layout")


@pytest.mark.parametrize("dtype", [*NATIVE, "bfloat16"])
@pytest.mark.parametrize("network", ["100-300-400", "300-100-7"], ids=["widening", "narrowing"])
def test_it_is_right(network: str, dtype: str) -> None:
    case = make_case(network, dtype, batch_size=40)
    load_or_skip("jax")
    check_cases([case], backends=["jax", "numpy"]).raise_if_disagree()


@pytest.mark.parametrize(
    ("network", "dtype", "copies"),
    [
        ("300-400-500", "float32", 2),
        ("300-400-500", "float64", 2),
        ("400-300-7", "float32", 0),
        ("300-400-7", "float64", 1),
        ("100-100-100", "float64", 0),
        ("2-8000", "float64", 0),
    ],
)
def test_left_operands_are_copied_where_that_gains(network: str, dtype: str, copies: int) -> None:
    case = make_case(network, dtype, batch_size=40)
    program = load_or_skip("jax").prepare(case, "jit", "cpu")
    with jax.enable_x64(dtype == "float64"):
        arguments = program._shapes(case)  # type: ignore[attr-defined]
        found = jax.make_jaxpr(program._network_step)(*arguments)  # type: ignore[attr-defined]
    assert str(found).count("optimization_barrier") == copies


@pytest.mark.parametrize(
    ("network", "batch_size", "dtype", "turned"),
    [
        ("300-400-500", 8, "float32", 2),
        ("300-400-500", 8, "float64", 2),
        ("300-400-500", 2, "float32", 2),
        ("300-400-500", 3, "float64", 0),
        ("300-400-500", 4, "float64", 2),
        ("300-400-7", 16, "float32", 1),
        ("300-400-500", 10, "float32", 0),
        ("300-400-500", 1, "float32", 0),
        ("300-400-500", 8, "bfloat16", 0),
    ],
)
def test_few_samples_are_multiplied_from_the_side_of_w(
    network: str, batch_size: int, dtype: str, turned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the forward pass as in the step."""
    monkeypatch.setattr(layout, "gains_by_copy", lambda *_: False)
    case = make_case(network, dtype, batch_size=batch_size)
    program: Any = load_or_skip("jax").prepare(case, "jit", "cpu")
    with jax.enable_x64(dtype == "float64"):
        for function in (program._forward, program._network_step):
            found = str(jax.make_jaxpr(function)(*program._shapes(case)))
            assert found.count("optimization_barrier") == turned
            assert found.count(f"[{batch_size},400] = transpose") == (turned > 0)


@pytest.mark.parametrize("batch_size", [1, 2, 8, 16])
@pytest.mark.parametrize("dtype", NATIVE)
def test_few_samples_give_the_right_gradients(batch_size: int, dtype: str) -> None:
    load_or_skip("jax")
    turned = layout.gains_by_turning(batch_size, 400, 300, dtype)
    assert turned == (batch_size >= (4 if dtype == "float64" else 2))
    case = make_case("300-400-500", dtype, batch_size=batch_size)
    check_cases([case], backends=["jax", "numpy"]).raise_if_disagree()


def test_no_product_is_of_a_transposed_w() -> None:
    """Of which XLA makes loops over columns where there is one sample."""
    case = make_case("30-20-10", "float32", batch_size=1)
    program: Any = load_or_skip("jax").prepare(case, "jit", "cpu")
    found = str(jax.make_jaxpr(program._network_step)(*program._shapes(case)))
    assert found.count("dot_general") == 5
    assert "transpose" not in found


def test_a_program_with_other_operations_and_constants_gives_the_same(monkeypatch: Any) -> None:
    """A loop, a branch, a jit within, a custom derivative, constants, and results that are arguments."""
    monkeypatch.setattr(layout, "gains_by_copy", lambda *_: True)
    constant = np.arange(6, dtype=np.float32).reshape(2, 3)

    def function(x: Any, pair: Any) -> Any:
        y = jax.nn.relu(jax.jit(jax.numpy.sin)(x)) + constant
        y = jax.lax.fori_loop(0, 3, lambda n, v: v * x, y)
        y = jax.lax.cond(y.sum() > 0, lambda v: v, lambda v: -v, y)
        columns = jax.lax.dot_general(pair[0], y, (((0,), (0,)), ((), ())))
        return {"product": columns, "both": (x, 3)}

    arguments = (jax.numpy.ones((2, 3)) * 0.5, (jax.numpy.ones((2, 5)), None))
    rearranged = layout.laid_out(function)
    assert str(jax.make_jaxpr(rearranged)(*arguments)).count("optimization_barrier") == 1
    expected, found = (jax.jit(f)(*arguments) for f in (function, rearranged))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
