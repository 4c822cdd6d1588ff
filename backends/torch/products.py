"""The matrix products of a step and nothing else: torch.mm into prepared outputs, or oneDNN's, if faster."""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch

from ...networks.cases import Case
from ..base import Products, bytes_to_copy
from .onednn import multiply, offers_onednn
from .precision import Caller, InPrecision, plainly
from .program import DTYPES
from .timing import DeviceTimed

Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Both factors and the output."""

Product = Callable[[], torch.Tensor]

TRIALS = 5
"""Calls by which the faster of two ways to multiply is found, after one that warms it up."""

CLEARLY = 0.9
"""Of torch.mm's time, which another way must not exceed to be the faster one: not by chance."""

TWO_WAYS_FROM = 10**6
"""Multiplications of a product from which there is a choice: smaller ones mostly take what calls do."""


class TorchProducts(DeviceTimed, Products):
    """Operands of a case's shapes and dtype, drawn on the device, and of both signs as an engine's are.

    A device at the limit of its power is faster with numbers of fewer different bits (Horace He 2024,
    Strangely, matrix multiplications on GPUs run faster when given "predictable" data).
    """

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(torch.device(device))
        self._in_precision: Caller = InPrecision(case.dtype, self._device)
        B, widths, dtype = case.batch_size, case.network.widths, DTYPES[case.dtype]

        def drawn(*shape: int) -> torch.Tensor:
            # A generator of its own: the user's random numbers stay as they are.
            return torch.rand(shape, generator=random, device=self._device).mul_(2).sub_(1).to(dtype)

        random = torch.Generator(self._device).manual_seed(0)
        a = [drawn(B, width) for width in widths]
        W = [drawn(o, i) for i, o in pairwise(widths)]
        dz = [drawn(B, width) for width in widths[1:]]
        step = [(a[n], W[n].t(), torch.empty_like(dz[n])) for n in range(len(W))]
        for n in reversed(range(len(W))):
            step.append((dz[n].t(), a[n], torch.empty_like(W[n])))
            if n:
                step.append((dz[n], W[n], torch.empty_like(a[n])))
        two_ways = offers_onednn(dtype, self._device)
        self._step = self._in_precision(_as_fast_as_can_be if two_ways else _as_is, step)
        self._forward = self._step[: len(W)]
        size = bytes_to_copy(_touched(step), self._device.type == "cpu")
        self._source = torch.zeros(size, dtype=torch.uint8, device=self._device)
        self._target = torch.zeros_like(self._source)

    def trust_precision(self) -> None:
        """As a program's: the look at it is no part of a product."""
        self._in_precision = plainly

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


def _multiplied(products: list[Product]) -> list[torch.Tensor]:
    return [product() for product in products]


def _as_is(step: list[Operands]) -> list[Product]:
    return [partial(torch.mm, left, right, out=out) for left, right, out in step]


def _as_fast_as_can_be(step: list[Operands]) -> list[Product]:
    """Each product by the library that is the faster one at it: which one, is a matter of the processor."""
    return [
        faster(plain, partial(multiply, left, right))
        if left.numel() * right.shape[1] >= TWO_WAYS_FROM
        else plain
        for plain, (left, right, _) in zip(_as_is(step), step, strict=True)
    ]


def faster(plain: Product, other: Product) -> Product:
    """The other way if it is clearly the faster one, in calls that take turns."""
    plain(), other()
    trials = [(_seconds(plain), _seconds(other)) for _ in range(TRIALS)]
    least_plain, least_other = map(min, zip(*trials, strict=True))
    return other if least_other < CLEARLY * least_plain else plain


def _seconds(product: Product) -> float:
    start = time.perf_counter()
    product()
    return time.perf_counter() - start


def _touched(step: list[Operands]) -> int:
    return sum({t.data_ptr(): t.nbytes for product in step for t in product}.values())
