"""The wide reference: twice the precision of a long double at the price of some BLAS products."""

from .engine import wide_trace
from .results import Wide

__all__ = ["Wide", "wide_trace"]
