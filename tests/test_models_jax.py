"""Specifications as JAX functions: every bit, and JAX's own gradients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import Dense, DenseParameters, InvalidInput, Network
from crossgrad.networks.parameters import draw_parameters

from .conftest import skip
from .ported import DTYPES, NETWORKS, SMALL, bits, mse, parameters_of, require_agreement

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    skip("jax", "jax is not installed")


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=10)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_parameters_for_jax_have_every_bit(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    with jax.enable_x64(dtype == "float64"):
        apply, params = crossgrad.to_jax(network, parameters)
        out = jax.eval_shape(apply, params, jnp.zeros((2, network.inputs), dtype))
    assert bits(params) == bits(parameters)
    assert (out.shape, out.dtype.name) == ((2, network.layers[-1].units), dtype)


def test_jax_grad_of_the_function_agrees() -> None:
    with jax.enable_x64(True):
        apply, params = crossgrad.to_jax(SMALL, draw_parameters(SMALL, 1))

        @jax.jit
        def step(params: Any, x: Any, y: Any) -> Any:
            return jax.value_and_grad(lambda params: mse(lambda x: apply(params, x), x, y))(params)

        model = crossgrad.Model(SMALL, params)
        require_agreement(model, lambda x, y: step(params, x, y))


def test_the_function_takes_one_sample_too() -> None:
    apply, params = crossgrad.to_jax(SMALL, draw_parameters(SMALL, 1), "float32")
    x = jnp.arange(6.0).reshape(2, 3)
    assert isinstance(params[0], DenseParameters)
    np.testing.assert_allclose(apply(params, x)[1], apply(params, x[1]), rtol=1e-6)
    np.testing.assert_allclose(apply(params, x), jax.vmap(apply, (None, 0))(params, x), rtol=1e-6)


def test_float64_is_not_rounded_in_silence() -> None:
    parameters = draw_parameters(SMALL, 1)
    with jax.enable_x64(False):
        with pytest.raises(
            InvalidInput, match=r"would be rounded to float32.*jax_enable_x64.*dtype='float32'"
        ):
            crossgrad.to_jax(SMALL, parameters)
        _, params = crossgrad.to_jax(SMALL, parameters, jnp.float32)
    assert params[0].W.dtype == jnp.float32


def test_another_activation_than_the_network_has_is_not_in_the_way() -> None:
    network = Network(1, (Dense(1),))
    apply, params = crossgrad.to_jax(network, [(np.ones((1, 1), "float32"), np.zeros(1, "float32"))])
    assert apply(params, jnp.zeros((1, 1))) == 0.5
