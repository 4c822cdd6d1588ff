"""JAX's arrays, in the settings that a case's dtype needs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import numpy as np

from ..networks.dtypes import Array, DType
from ..networks.errors import first_line
from .base import Native, wrong_dtype


class JaxNative(Native):
    """Arrays on the CPU, where the function's own begin too; they come back from any device."""

    def __init__(self) -> None:
        self._cpu = jax.devices("cpu")[0]

    @contextmanager
    def scope(self, dtype: str) -> Iterator[None]:
        """x64 for float64, without which JAX makes float32 of it; else as the user has it."""
        with ExitStack() as settings:
            settings.enter_context(jax.default_device(self._cpu))
            if dtype == "float64":
                settings.enter_context(jax.enable_x64(True))
            yield

    def array(self, values: Array) -> jax.Array:
        placed: jax.Array = jax.device_put(values.copy(), self._cpu)
        return placed

    def finished(self, result: Any) -> Any:
        return jax.block_until_ready(result)  # type: ignore[no-untyped-call]

    def read(self, name: str, value: Any, dtype: DType | None) -> Any:
        if not isinstance(value, jax.Array):
            return value
        if dtype is not None and value.dtype != dtype.storage:
            raise wrong_dtype(name, value.dtype, dtype.storage)
        try:
            return np.asarray(value)
        except (RuntimeError, TypeError) as error:
            reason = first_line(error)
            raise TypeError(f"{name} cannot be read: {reason}") from None


NATIVE = JaxNative()
