"""JAX: the network as a pure function, differentiated by jax.value_and_grad."""

from .engine import JaxBackend

__all__ = ["JaxBackend"]
