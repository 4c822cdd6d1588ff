"""PyTorch autograd on the network of a case.

Variants: ``eager``, autograd on leaf tensors; ``func``, torch.func's
transformation of a pure function; ``compile``, the loss through torch.compile;
``cudagraph``, the eager step captured once and replayed, on CUDA; ``onednn``, the eager
step with oneDNN's float32 products, on the CPU.
"""

import re
from typing import Any

import torch

from ...networks.cases import Case
from ...networks.errors import first_line
from ..allocation import give_back_memory, keep_freed_memory
from ..base import (
    Backend,
    Products,
    Program,
    Unsupported,
    cuda_names,
    require_dtype,
    require_rules,
    settings_in_variables,
)
from ..variables import KERNEL_VARIABLES
from .activations import ACTIVATIONS
from .graph import GraphProgram
from .losses import LOSSES
from .onednn import OneDnnProgram
from .precision import matmul_settings, settle_precision
from .products import TorchProducts
from .program import DTYPES, TorchProgram
from .variants import CompiledProgram, EagerProgram, FuncProgram

PROGRAMS: dict[str, type[TorchProgram]] = {
    "eager": EagerProgram,
    "func": FuncProgram,
    "compile": CompiledProgram,
    "cudagraph": GraphProgram,
    "onednn": OneDnnProgram,
}

KEEPS_FROM = 2**22
"""Bytes of the largest gradient or output of a layer, from which a process keeps what is freed.

glibc maps what is larger than 32 MiB anew each time, and gives the end of its heap back as soon as that
is twice the largest array that it has mapped. What a step then takes longer for its fresh
pages, most of all with oneDNN's products, is worth the memory that a heap with
holes holds on to (to align an array, glibc 2.36 looks for a hole larger than it, and passes by the
one that its like has left). Below, glibc keeps nearly all by itself, and a kept heap is only the larger one.
"""


class TorchBackend(Backend):
    """PyTorch on the CPU and on every CUDA device that it sees."""

    name = "torch"
    variants = tuple(PROGRAMS)

    def __init__(self) -> None:
        self._settled_for: str | None = None

    def devices(self) -> tuple[str, ...]:
        return ("cpu", *cuda_names(torch.cuda.device_count() if torch.cuda.is_available() else 0))

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self._require(case, device)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        program = PROGRAMS[variant](case, device)
        if case.dtype == self._settled_for:
            program.trust_precision()
        return program

    def products(self, case: Case, device: str) -> Products:
        self._require(case, device)
        products = TorchProducts(case, device)
        if case.dtype == self._settled_for:
            products.trust_precision()
        return products

    def settle(self, case: Case) -> None:
        if _largest_bytes(case) >= KEEPS_FROM:
            keep_freed_memory()  # for the process's later cases too: it cannot be undone
        settle_precision(case.dtype)
        self._settled_for = case.dtype

    def give_back(self) -> None:
        give_back_memory()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # what PyTorch keeps of a device no other process could have

    def limit_device_memory(self, size: int) -> None:
        for index in range(len(self.devices()) - 1):
            total = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), index)

    def why_no_cuda(self) -> str | None:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (AssertionError, RuntimeError) as error:  # the former of a build without CUDA
            return first_line(error)
        return None

    def environment(self) -> dict[str, Any]:
        cuda, cpu = (settings.fp32_precision for settings in matmul_settings())
        return {
            "threads": torch.get_num_threads(),
            "blas": _matrix_library(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "fp32_precision": {"cuda": cuda, "cpu": cpu},
            "cuda": torch.version.cuda,
            **_cuda_devices(len(self.devices()) - 1),
            **settings_in_variables("NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", *KERNEL_VARIABLES),
        }

    def _require(self, case: Case, device: str) -> None:
        self.require_device(device)
        require_dtype(self.name, case.dtype, DTYPES)
        if case.dtype == "tf32" and device == "cpu":
            raise Unsupported("tf32 is a mode of CUDA devices: torch on cpu has none")


def _matrix_library() -> str:
    """The one that this build multiplies by on the CPU, as its configuration names it: ``mkl``, ``open``."""
    found = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return found[1] if found else "unknown"


def _cuda_devices(count: int) -> dict[str, list[str]]:
    """What they are, so that results of unlike ones are told apart; nothing if there are none."""
    capabilities = (torch.cuda.get_device_capability(index) for index in range(count))
    names = [
        f"{torch.cuda.get_device_name(index)}, compute capability {major}.{minor}"
        for index, (major, minor) in enumerate(capabilities)
    ]
    return {"device_names": names} if names else {}


def _largest_bytes(case: Case) -> int:
    """Of the arrays that a step makes: a layer's dW, or its z, a and their derivatives."""
    sizes = [o * max(i, case.batch_size) for o, i in case.network.shapes]
    return max(sizes) * int(case.format.storage.itemsize)
