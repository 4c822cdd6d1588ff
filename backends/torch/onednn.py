"""float32 products by oneDNN, which PyTorch brings with it, in place of the BLAS that it was built with.

PyTorch's wheels for x86 multiply float32 matrices on the CPU by MKL, which has no kernels for AVX-512
on another maker's processors than Intel's. oneDNN looks at the instructions alone, and PyTorch calls it for
convolutions and for what torch.compile has frozen.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...networks.cases import Case
from ..base import BackendUnavailable, Unsupported
from ..variables import FAST_MATH_VARIABLES
from .program import Derivatives, Stepped, Values
from .variants import EagerProgram


def offers_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether `multiply` computes in float32 there; torch.mm may do so by another library."""
    brought: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    callable_there = brought and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return callable_there and device.type == "cpu" and dtype is torch.float32 and _fast_math() is None


def multiply(left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``left @ right + bias`` of float32 matrices by oneDNN.

    It reads a transposed `right` where it lies, and copies a transposed `left`. Of a bias it takes
    neighbours in memory for its elements.
    """
    packed = None if bias is None else bias.contiguous()
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(left, right.t(), packed, "none", [], "")
    return product


class OneDnnProgram(EagerProgram):
    """Autograd as ever: below it, where it has said which product it wants, oneDNN computes that."""

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(case, device)
        if self._device.type != "cpu":
            raise Unsupported("torch:onednn multiplies on the CPU, and on no other device")
        if self._dtype is not torch.float32:
            raise Unsupported(
                f"torch:onednn is for float32 alone (--dtype float32): in {case.dtype} use torch:eager"
            )
        if (mode := _fast_math()) is not None:
            raise Unsupported(f"torch:onednn would not compute in float32: unset {mode}")
        if not offers_onednn(self._dtype, self._device):
            raise BackendUnavailable("torch:onednn needs a PyTorch that was built with oneDNN (MKLDNN)")
        self._by_onednn = _ByOneDnn()  # type: ignore[no-untyped-call]

    def _step(self, values: Values) -> Stepped:
        with self._by_onednn:
            return super()._step(values)

    def _forward(self, values: Values) -> torch.Tensor:
        with self._by_onednn:
            return super()._forward(values)

    def _traced(self, values: Values) -> tuple[Derivatives, list[torch.Tensor], torch.Tensor]:
        with self._by_onednn:
            return super()._traced(values)


def _fast_math() -> str | None:
    """What has oneDNN round float32 operands to a narrower format, whatever PyTorch says of its precision."""
    for name in FAST_MATH_VARIABLES:
        mode = os.environ.get(name, "")
        if mode.upper() not in ("", "STRICT"):
            return f"{name}={mode}"
    return None


def _linear(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    return multiply(x, W.t(), b)


def _addmm(b: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """As linear has it: one bias for each output, and neither of the two factors that addmm knows."""
    return multiply(left, right, b)


_PRODUCTS: Mapping[Any, Callable[..., torch.Tensor]] = {
    # In inference mode linear comes whole; elsewhere autograd has taken it apart.
    torch.ops.aten.linear.default: _linear,
    torch.ops.aten.addmm.default: _addmm,
    torch.ops.aten.mm.default: multiply,
}


class _ByOneDnn(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation below autograd, and computes the matrix products itself."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to keep torch.compile out of the method below, PyTorch would import it: most of a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        return _PRODUCTS.get(func, func)(*args, **(kwargs or {}))
