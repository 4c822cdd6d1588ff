"""NumPy's arrays: what a case has already."""

from typing import Any

from ..networks.dtypes import Array, DType
from .base import Native


class NumpyNative(Native):
    """Arrays that the function may write to; it may give anything that NumPy can read."""

    def array(self, values: Array) -> Array:
        return values.copy()

    def read(self, name: str, value: Any, dtype: DType | None) -> Any:
        return value


NATIVE = NumpyNative()
