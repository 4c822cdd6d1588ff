"""A specification as a pure function for JAX, and its parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..backends.jax.activations import ACTIVATIONS
from ..networks.errors import InvalidInput
from ..networks.parameters import DenseParameters
from ..networks.spec import Network
from .leaving import in_dtype

Apply = Callable[[Any, jax.Array], jax.Array]


def write_function(
    network: Network, parameters: Sequence[Any], dtype: object
) -> tuple[Apply, tuple[DenseParameters, ...]]:
    """``apply(params, x)`` and `params`; see `crossgrad.to_jax`."""
    given, name = in_dtype(network, parameters, dtype)
    if name == "float64" and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise InvalidInput(
            "float64 parameters would be rounded to float32, for JAX's x64 mode is off: "
            "call jax.config.update('jax_enable_x64', True) first, or give dtype='float32'"
        )
    functions = [ACTIVATIONS[layer.activation] for layer in network.layers]

    def apply(params: Any, x: jax.Array) -> jax.Array:
        a = x
        for (W, b), function in zip(params, functions, strict=True):
            z = a @ W.T
            a = function(z if b is None else z + b)
        return a

    return apply, tuple(DenseParameters(_placed(W), None if b is None else _placed(b)) for W, b in given)


def _placed(array: np.ndarray[Any, Any]) -> Any:
    return jnp.array(array)  # a copy, where asarray may take the memory itself
