"""Losses as a JAX user writes them, ``(a (B, O), y (B, O)) -> scalar``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def mse(a: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((a - y) ** 2)


def mse_sum(a: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((a - y) ** 2)


def half_mse(a: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(jnp.sum((a - y) ** 2, axis=1)) / 2


LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "mse": mse,
    "mse-sum": mse_sum,
    "half-mse": half_mse,
}
