"""The hand-derived engine: backprop written out with NumPy, every formula derived where it stands."""

from .engine import NumpyBackend

__all__ = ["NumpyBackend"]
