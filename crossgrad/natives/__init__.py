"""The arrays that a user's function takes and gives: NumPy's, PyTorch's or JAX's."""

from .base import Native, load_native

__all__ = ["Native", "load_native"]
