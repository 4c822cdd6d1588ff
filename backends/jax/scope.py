"""JAX's settings for a dtype, and what runs in them."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import jax
import numpy as np

from ...networks.cases import Case
from ...networks.dtypes import Array, find_dtype
from ..base import Timed


@dataclass(frozen=True)
class Ready:
    """A function that is ready to be called, outside of any scope.

    Attributes
    ----------
    call
        What runs it.
    executable
        What was compiled, None where nothing was.
    seconds
        What ``trace`` and ``compile`` took.
    """

    call: Callable[..., Any]
    executable: Any = None
    seconds: Mapping[str, float] = field(default_factory=dict)


class OnDevice(Timed):
    """A device, a dtype and the settings that the dtype needs; knows what was started last.

    Parameters
    ----------
    x64_for_good
        Whether x64 is on for the whole process and stays so.
    """

    def __init__(self, case: Case, device: str, x64_for_good: bool = False) -> None:
        kind, _, index = device.partition(":")
        self._device = jax.devices(kind)[int(index or 0)]
        self._storage = find_dtype(case.dtype).storage
        self._x64 = case.dtype == "float64"
        self._x64_for_good = x64_for_good
        self._precision = "tensorfloat32" if case.dtype == "tf32" else "highest"
        self._last: Any = None
        """Arrays of which the last is there when all is that was started."""

    def synchronize(self) -> None:
        jax.block_until_ready(self._last)  # type: ignore[no-untyped-call]

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """JAX's settings for this dtype, in this thread, for as long as the scope lasts.

        Without x64 JAX turns float64 into float32 without a word; on CUDA its
        float32 matrix products are TF32 unless told otherwise.
        """
        with jax.enable_x64(self._x64), jax.default_matmul_precision(self._precision):
            yield

    def _compile(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Ready:
        """Compile ahead of time, for these shapes; say how long its two parts took.

        What is compiled has its types and precision in it. It can be called in two ways:
        what `jax.jit` returns finds it again, if all settings are as they were, and is the faster
        one by a microsecond or two, being C++; but it would compile anew for other settings,
        and float64 would turn to float32 where x64 is off. So it is taken for float64 where x64 is on
        for good, and for the others where it is off.
        """

        @wraps(function)
        def precise(*arguments: Any) -> Any:
            with jax.default_matmul_precision(self._precision):
                return function(*arguments)

        settings: Any = jax.config
        jitted = jax.jit(precise, **options)
        with jax.enable_x64(self._x64):
            start = time.perf_counter()
            lowered = jitted.lower(*arguments)
            traced = time.perf_counter()
            executable = lowered.compile()
        seconds = {"trace": traced - start, "compile": time.perf_counter() - traced}
        as_now = self._x64_for_good if self._x64 else not settings.jax_enable_x64
        return Ready(jitted if as_now else executable, executable, seconds)

    def _stored(self, array: Array) -> Array:
        """In the format that it is kept in; a copy for the CPU, where JAX may take NumPy's own memory."""
        return array.astype(self._storage, copy=self._device.platform == "cpu")

    def _place(self, array: Array) -> jax.Array:
        placed: jax.Array = jax.device_put(self._stored(array), self._device)
        return placed

    def _shape(self, array: Array) -> Any:
        place = jax.sharding.SingleDeviceSharding(self._device)
        return jax.ShapeDtypeStruct(array.shape, self._storage, sharding=place)  # type: ignore[no-untyped-call]

    def _array(self, value: jax.Array) -> Array:
        return np.asarray(value).astype(self._storage)
