"""The matrix products of a step and nothing else, compiled into one call.

XLA gives no way to write into outputs that are there; what it may do is take
the memory of arguments that are given away. So each call gives away the
outputs of the last.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...networks.cases import Case
from ..base import Products, bytes_to_copy
from .layout import as_it_is, laid_out
from .scope import OnDevice


class JaxProducts(OnDevice, Products):
    """Operands of a case's shapes and dtype, drawn on the device, and of both signs as an engine's are.

    On a CPU ``dz.T`` lies in rows, and few samples are multiplied from W's side, which is faster in XLA
    (``layout.py``); CUDA's libraries take either.

    A device at the limit of its power is faster with numbers of fewer different bits (Horace He 2024,
    Strangely, matrix multiplications on GPUs run faster when given "predictable" data).
    """

    def __init__(self, case: Case, device: str, x64_for_good: bool = False) -> None:
        super().__init__(case, device, x64_for_good)
        B, widths = case.batch_size, case.network.widths
        with self._scope(), jax.default_device(self._device):
            keys = iter(jax.random.split(jax.random.key(0), 4 * len(widths)))

            def drawn(*shape: int) -> jax.Array:
                numbers = jax.random.uniform(next(keys), shape, minval=-1.0).astype(self._storage)
                placed: jax.Array = jax.device_put(numbers, self._device)
                return placed

            a = [drawn(B, width) for width in widths[:-1]]
            W = [drawn(o, i) for i, o in pairwise(widths)]
            dz = [drawn(B, width) for width in widths[2:]]
            by_rows = self._device.platform == "cpu"
            left = [drawn(*((width, B) if by_rows else (B, width))) for width in widths[1:]]
        self._operands = (a, W, dz, left)
        lay_out = laid_out if by_rows else as_it_is
        self._products = lay_out(partial(_stepped, by_rows))
        size = bytes_to_copy(self._touched(), self._device.platform == "cpu")
        self._source = (jax.device_put(np.zeros(size, np.uint8), self._device),)
        self._calls = {
            "forward": self._into_outputs(lay_out(_multiplied), *self._operands[:2]),
            "step": self._into_outputs(self._products, *self._operands),
            "copy": self._into_outputs(_copied, *self._source),
        }

    def forward(self) -> Any:
        return self._run("forward", *self._operands[:2])

    def step(self) -> Any:
        return self._run("step", *self._operands)

    def copy(self) -> Any:
        return self._run("copy", *self._source)

    @property
    def copied_bytes(self) -> int:
        return int(self._source[0].nbytes)

    def _run(self, name: str, *operands: Any) -> Any:
        compiled, outputs = self._calls[name]
        self._last = outputs = compiled(outputs, *operands)
        self._calls[name] = compiled, outputs
        return outputs

    def _touched(self) -> int:
        arrays = jax.tree.leaves((self._operands, self._shapes(self._products, *self._operands)))
        return sum(array.size * array.dtype.itemsize for array in arrays)

    def _shapes(self, function: Callable[..., Any], *operands: Any) -> list[jax.ShapeDtypeStruct]:
        with self._scope():
            shapes: list[jax.ShapeDtypeStruct] = jax.eval_shape(function, None, *operands)
        return shapes

    def _into_outputs(self, function: Callable[..., Any], *operands: Any) -> tuple[Any, Any]:
        """Compile a function whose first argument is not read but written; and the first outputs."""
        with self._scope():
            empty = [np.zeros(shape.shape, shape.dtype) for shape in self._shapes(function, *operands)]
            outputs = jax.device_put(empty, self._device)
        options = {"donate_argnums": 0, "keep_unused": True}
        return self._compile(function, outputs, *operands, **options).call, outputs


def _multiplied(outputs: Any, a: list[jax.Array], W: list[jax.Array]) -> list[jax.Array]:
    inputs = (((1,), (1,)), ((), ()))
    return [jax.lax.dot_general(left, right, inputs) for left, right in zip(a, W, strict=True)]


def _stepped(
    by_rows: bool,
    outputs: Any,
    a: list[jax.Array],
    W: list[jax.Array],
    dz: list[jax.Array],
    left: list[jax.Array],
) -> list[jax.Array]:
    dW = [(dz_T if by_rows else dz_T.T) @ right for dz_T, right in zip(left, a, strict=True)]
    da = [above @ right for above, right in zip(dz, W[1:], strict=True)]
    return _multiplied(outputs, a, W) + dW + da


def _copied(outputs: Any, source: jax.Array) -> list[jax.Array]:
    return [jnp.copy(source)]
