"""JAX: arrays and grad.

A function is traced once for each dtype, and in that of the comparison it is compiled, as its
users' is. In float64 it is run operation by operation, most of them by NumPy: XLA would take a
second or more for the whole. One that cannot be traced, because Python decides on its values, is
run as it is, and rounds at random in its inputs alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax.errors import JAXIndexError, JAXTypeError

from ...networks.dtypes import Array
from ...networks.errors import InvalidInput
from ..arguments import Call, Key
from ..rounding import Rounding
from .jax_arrays import keep_constants_apart
from .jax_interpreter import Interpreter
from .jax_programs import has_results_in, primitives, program_of
from .jax_stops import unstopped as unstopped
from .jax_widened import Widening

DRAWING = {"random_bits", "threefry2x32", "rng_uniform", "rng_bit_generator", "random_gamma"}
"""Operations that make random numbers."""

AS_WRITTEN: dict[str, Any] = {"xla_allow_excess_precision": False}
"""Casts to a narrower dtype that the code asks for are done; XLA leaves some out, and others in float64.

What is in a narrow dtype from the beginning is computed as its user's, in wider numbers if XLA likes to.
"""

keep_constants_apart()


class Runnable:
    """A function of leaves, made to run.

    Parameters
    ----------
    call
        The function; it takes leaves by key.
    differentiates
        Whether it is a loss, of which the gradients by the leaves `wanted` are asked for.
    """

    is_seen = True

    def __init__(self, call: Call, differentiates: bool, wanted: Sequence[Key], device: str) -> None:
        kind, _, index = device.partition(":")
        self._differentiates, self._wanted = differentiates, wanted
        self._place = jax.devices(kind)[int(index or 0)]
        self._function = _differentiating(call, wanted) if differentiates else call
        self._traced: dict[tuple[str, ...], _Traced | None] = {}
        self.is_watched = True

    def run(self, values: Mapping[Key, Array], noise: Rounding | None, instead_of: str | None) -> Any:
        """What the function returns, or the loss and its gradients by key."""
        with self._settings(values):
            given = {key: jax.device_put(value, self._place) for key, value in values.items()}
            traced = self._trace(given, instead_of)
            self.is_watched = traced is not None
            if traced is None:
                result = self._function(given)
            elif noise is None:
                result = traced.run(given)
            else:
                result = traced.disturbed(given, noise)
            jax.block_until_ready(result)  # type: ignore[no-untyped-call]
        if not self._differentiates:
            return result
        loss, gradients = result
        return loss, dict(zip(self._wanted, gradients, strict=True))

    @property
    def draws(self) -> str | None:
        programs = [traced.program for traced in self._traced.values() if traced is not None]
        return next((name for p in programs for name in primitives(p) if name in DRAWING), None)

    @contextmanager
    def _settings(self, values: Mapping[Key, Array]) -> Iterator[None]:
        x64 = jax.config.jax_enable_x64 or any(map(_is_wide, values.values()))  # type: ignore[attr-defined]
        precision = jax.default_matmul_precision("highest")
        with jax.enable_x64(x64), precision, jax.default_device(self._place):
            yield

    def _trace(self, given: Mapping[Key, Any], instead_of: str | None) -> "_Traced | None":
        """The function's program for these dtypes; None if it has none that holds for all values."""
        kinds = tuple(str(leaf.dtype) for leaf in given.values())
        if kinds not in self._traced:
            try:
                # The first run is in the comparison's dtype, unless its stops are left out.
                found = _Traced(*self._program(given), given, compiles=not self._traced)
                if instead_of is not None and has_results_in(found.program, instead_of):
                    found = self._widened(given, instead_of) or found
                self._traced[kinds] = found
            except (JAXTypeError, JAXIndexError):
                self._traced[kinds] = None
            except (TypeError, ValueError):  # it may have refused to mix dtypes
                widened = self._widened(given, instead_of)
                if widened is None:
                    raise
                self._traced[kinds] = widened
        return self._traced[kinds]

    def _program(self, given: Mapping[Key, Any]) -> tuple[Any, Any]:
        def of_leaves(*leaves: Any) -> Any:
            return self._function(dict(zip(given, leaves, strict=True)))

        return program_of(of_leaves, list(given.values()))

    def _widened(self, given: Mapping[Key, Any], instead_of: str | None) -> "_Traced | None":
        """The function's program in the comparison's dtype, as one in float64; None if it cannot be that."""
        narrow = next(iter(self._traced.values()), None)
        if instead_of is None or narrow is None:
            return None
        with suppress(Exception):
            program = Widening(jax.numpy.dtype(instead_of)).traced(narrow.program, list(given.values()))
            return _Traced(program, narrow.structure, given, compiles=False)
        return None


def to_numpy(value: Any) -> Array | None:
    return np.asarray(value) if isinstance(value, jax.Array | np.ndarray | np.generic | float | int) else None


def _is_wide(values: Array) -> bool:
    """Whether JAX has x64 on for such an argument; integers of NumPy's have 64 bits without needing them."""
    if values.dtype not in (np.int64, np.uint64) or not values.size:
        return bool(values.dtype == np.float64)
    narrow = np.iinfo(np.int32 if values.dtype == np.int64 else np.uint32)
    return bool(values.min() < narrow.min or values.max() > narrow.max)


def _differentiating(call: Call, wanted: Sequence[Key]) -> Call:
    def differentiating(given: Mapping[Key, Any]) -> Any:
        def loss_of(leaves: Sequence[Any]) -> Any:
            loss = call({**given, **dict(zip(wanted, leaves, strict=True))})
            if not isinstance(loss, jax.Array) or loss.size != 1:
                what = f"an array of shape {loss.shape}" if isinstance(loss, jax.Array) else repr(loss)
                raise InvalidInput(f"it returned {what}: expected a scalar loss")
            return loss.reshape(())

        return jax.value_and_grad(loss_of)([given[key] for key in wanted])

    return differentiating


class _Traced:
    """A function's program.

    Parameters
    ----------
    structure
        Of what the function returns.
    given
        The leaves that it was traced for.
    compiles
        Whether XLA compiles it as a whole, for runs without errors.
    """

    def __init__(self, program: Any, structure: Any, given: Mapping[Key, Any], compiles: bool) -> None:
        self.program, self.structure = program, structure
        self._compiled: dict[tuple[int, str], Any] = {}
        narrow = any(leaf.dtype in (jax.numpy.float16, jax.numpy.bfloat16) for leaf in given.values())
        whole = jax.jit(
            lambda *leaves: self._evaluated(leaves, None, is_traced=True),
            compiler_options=None if narrow else AS_WRITTEN,
        )
        self._plainly = whole if compiles else lambda *leaves: self._evaluated(leaves, None)

    def run(self, given: Mapping[Key, Any]) -> Any:
        return self._built(self._plainly(*given.values()))

    def disturbed(self, given: Mapping[Key, Any], rounding: Rounding) -> Any:
        return self._built(self._evaluated(list(given.values()), rounding))

    def _evaluated(
        self, leaves: Sequence[Any], rounding: Rounding | None, is_traced: bool = False
    ) -> list[Any]:
        return Interpreter(rounding, self._compiled, is_traced).evaluate(self.program, leaves)

    def _built(self, found: Sequence[Any]) -> Any:
        return jax.tree_util.tree_unflatten(self.structure, found)
