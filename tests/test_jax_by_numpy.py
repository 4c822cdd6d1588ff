"""What NumPy does in JAX's place is what JAX does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .conftest import load_or_skip

load_or_skip("jax")

import jax  # noqa: E402
from jax import lax  # noqa: E402
from jax import numpy as jnp  # noqa: E402

from crossgrad.functions.frameworks.jax_by_numpy import ELEMENTWISE, SHAPING, TOLD, by_numpy  # noqa: E402

DRAW = np.random.default_rng(0)
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-300, -1e308, 0.5, -2.0, 700.0, -750.0, 3.0])
ORDINARY = DRAW.normal(size=12)
BOXES = DRAW.normal(size=(2, 3, 4)), DRAW.normal(size=(3, 5, 4, 2))

FLUSHED = np.finfo(np.float64).tiny
"""XLA takes smaller numbers for zero."""

ONE = ("neg", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "square", "sin", "cos", "tanh", "rsqrt")
TWO = ("add", "sub", "mul", "div", "max", "min", "pow", "eq", "ne", "lt", "le", "gt", "ge")

OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "add_any": (lambda x: jax.vjp(lambda y: (y * 2, y * 3), x)[1]((x, x))[0], (ORDINARY,)),
    "logistic": (lax.logistic, (SPECIAL,)),
    "is_finite": (lax.is_finite, (SPECIAL,)),
    "and": (lambda x: lax.bitwise_and(x > 0, x < 1), (SPECIAL,)),
    "or": (lambda x: lax.bitwise_or(x > 0, x < -1), (SPECIAL,)),
    "not": (lambda x: lax.bitwise_not(x > 0), (SPECIAL,)),
    "integer_pow": (lambda x: (lax.integer_pow(x, 3), lax.integer_pow(x, -2)), (SPECIAL,)),
    "reduce_sum": (lambda x: (jnp.sum(x), jnp.sum(x, (0, 2)), jnp.sum(x[:0])), (BOXES[0],)),
    "reduce_max": (lambda x: (jnp.max(x, 0), jnp.max(jnp.asarray(SPECIAL))), (BOXES[0],)),
    "reduce_min": (lambda x: (jnp.min(x, -1), jnp.min(x)), (BOXES[0],)),
    "dot_general": (
        lambda x, y: (
            lax.dot_general(x, y, (((2,), (2,)), ((1, 0), (0, 3)))),
            lax.dot_general(x, y, (((2, 1), (2, 0)), ((), ()))),
            lax.dot_general(x, y, (((), ()), ((1,), (0,)))),
            lax.dot_general(x[:, :0], y[:0], (((1,), (0,)), ((), ()))),
            jnp.dot(x[0, 0], x[1, 1]),
        ),
        BOXES,
    ),
    "select_n": (lambda x: lax.select(x > 0, x, 2 * x), (SPECIAL,)),
    "convert_element_type": (lambda x: (x > 0).astype(x.dtype) + jnp.arange(12).astype(x.dtype), (SPECIAL,)),
    "copy": (lambda x: lax.copy_p.bind(x), (SPECIAL,)),
    "broadcast_in_dim": (lambda x: (lax.broadcast_in_dim(x, (2, 3, 5, 4), (0, 1, 3)), x[:, None]), BOXES[:1]),
    "reshape": (lambda x: (lax.reshape(x, (6, 4)), lax.reshape(x, (24,), (2, 0, 1))), BOXES[:1]),
    "squeeze": (lambda x: lax.squeeze(x[:1, :, 1:2], (0, 2)), BOXES[:1]),
    "transpose": (lambda x: lax.transpose(x, (2, 0, 1)), BOXES[:1]),
    "slice": (lambda x: (lax.slice(x, (0, 1, 0), (2, 3, 4), (1, 1, 2)), x[1:, :, 1:]), BOXES[:1]),
    "concatenate": (lambda x: lax.concatenate([x, x[:, :1], -x], 1), BOXES[:1]),
    "rev": (lambda x: lax.rev(x, (0, 2)), BOXES[:1]),
}
CASES = (
    {name: (getattr(lax, name), (SPECIAL,)) for name in ONE}
    | {name: (getattr(lax, name), (SPECIAL[:, None], SPECIAL)) for name in TWO}
    | OTHERS
)


def test_all_are_shown() -> None:
    assert set(CASES) == {*ELEMENTWISE, *TOLD, *SHAPING}


def test_products_of_booleans_are_jaxs() -> None:
    """They count; NumPy's do not."""
    with jax.enable_x64(True):
        program = jax.make_jaxpr(lambda x: jnp.matmul(x > 0, x > 0, preferred_element_type=x.dtype))(
            np.eye(3)
        )
    (product,) = [e for e in program.jaxpr.eqns if e.primitive.name == "dot_general"]
    assert by_numpy(product) is None


@pytest.mark.parametrize("name", CASES)
def test_as_jax_does_it(name: str) -> None:
    function, given = CASES[name]
    done = 0
    with jax.enable_x64(True):
        arrays = np.broadcast_arrays(*given) if name in TWO else given
        program = jax.make_jaxpr(function)(*arrays)
        known = dict(zip(program.jaxpr.invars, arrays, strict=True))
        known |= dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        for equation in program.jaxpr.eqns:
            inputs = [
                getattr(atom, "val", None) if hasattr(atom, "val") else known[atom]
                for atom in equation.invars
            ]
            found = equation.primitive.bind(*map(jnp.asarray, inputs), **equation.params)
            results = found if equation.primitive.multiple_results else [found]
            known |= dict(zip(equation.outvars, results, strict=True))
            ours = by_numpy(equation)
            if ours is None or equation.primitive.name != name:
                continue
            done += 1
            made = ours(*inputs)
            assert (made.shape, made.dtype) == (results[0].shape, results[0].dtype)
            np.testing.assert_allclose(made, results[0], rtol=1e-14, atol=FLUSHED, err_msg=str(equation))
            if name not in ("max", "min"):  # of two zeros each is the largest
                signs = [np.copysign(1.0, array)[~np.isnan(made)] for array in (made * 1.0, results[0] * 1.0)]
                np.testing.assert_array_equal(*signs, err_msg=str(equation))
    assert done
