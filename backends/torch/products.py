"""The matrix products of a step and nothing else, with torch.mm into outputs that are there already."""

from itertools import pairwise

import torch

from ...networks.cases import Case
from ..base import Products, bytes_to_copy
from .precision import InPrecision
from .program import DTYPES
from .timing import DeviceTimed

Product = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Two operands and the output."""


class TorchProducts(DeviceTimed, Products):
    """Operands of a case's shapes and dtype, drawn on the device, and of both signs as an engine's are.

    A device at the limit of its power is faster with numbers of fewer different bits (Horace He 2024,
    Strangely, matrix multiplications on GPUs run faster when given "predictable" data).
    """

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(torch.device(device))
        self._in_precision = InPrecision(case.dtype, self._device)
        B, widths, dtype = case.batch_size, case.network.widths, DTYPES[case.dtype]

        def drawn(*shape: int) -> torch.Tensor:
            # A generator of its own: the user's random numbers stay as they are.
            return torch.rand(shape, generator=random, device=self._device).mul_(2).sub_(1).to(dtype)

        random = torch.Generator(self._device).manual_seed(0)
        a = [drawn(B, width) for width in widths]
        W = [drawn(o, i) for i, o in pairwise(widths)]
        dz = [drawn(B, width) for width in widths[1:]]
        self._forward = [(a[n], W[n].t(), torch.empty_like(dz[n])) for n in range(len(W))]
        self._step = list(self._forward)
        for n in reversed(range(len(W))):
            self._step.append((dz[n].t(), a[n], torch.empty_like(W[n])))
            if n:
                self._step.append((dz[n], W[n], torch.empty_like(a[n])))
        size = bytes_to_copy(self._touched(), self._device.type == "cpu")
        self._source = torch.zeros(size, dtype=torch.uint8, device=self._device)
        self._target = torch.zeros_like(self._source)

    def forward(self) -> list[torch.Tensor]:
        return self._run(self._forward)

    def step(self) -> list[torch.Tensor]:
        return self._run(self._step)

    def copy(self) -> torch.Tensor:
        return self._target.copy_(self._source)

    @property
    def copied_bytes(self) -> int:
        return self._source.nbytes

    def _run(self, products: list[Product]) -> list[torch.Tensor]:
        return self._in_precision(_multiplied, products)

    def _touched(self) -> int:
        return sum({t.data_ptr(): t.nbytes for product in self._step for t in product}.values())


def _multiplied(products: list[Product]) -> list[torch.Tensor]:
    return [torch.mm(left, right, out=out) for left, right, out in products]
