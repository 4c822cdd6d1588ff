"""A step captured once as a CUDA graph: a replay launches all of its kernels at the cost of one."""

from collections.abc import Callable

import torch

from ...networks.cases import Case
from ..base import Unsupported
from .program import Stepped, Values
from .variants import EagerProgram

WARM_UP = 3
"""Steps before the capture, in which libraries allocate their workspaces; as PyTorch's manual has it."""


class GraphProgram(EagerProgram):
    """Autograd's forward and backward pass, captured on the program's own copy of the values.

    What a capture fixes is fixed for good: addresses, hence the copy, and the kernels,
    hence the precision of their products.
    """

    def __init__(self, case: Case, device: str) -> None:
        super().__init__(case, device)
        if self._device.type != "cuda":
            raise Unsupported("torch:cudagraph captures CUDA work: it needs a CUDA device")
        self._inputs = self.put(case.parameters, case.batch)
        self._loaded: Values | None = None
        self._graph = torch.cuda.CUDAGraph()
        self._result = self._in_precision(self._capture, self._inputs)

    def step(self, values: Values) -> Stepped:
        if values is not self._loaded:
            self._load(values)
        self._graph.replay()
        return self._result

    def device_peak(self, call: Callable[[], object]) -> int | None:
        """The same, with the memory that the graph took for itself at its capture: a replay takes none."""
        beside = super().device_peak(call)
        return None if beside is None else beside + self._held

    def _capture(self, inputs: Values) -> Stepped:
        with torch.cuda.device(self._device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self._step(inputs)
            torch.cuda.current_stream().wait_stream(side)
            self.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            failed: Exception | None = None
            try:
                with torch.cuda.graph(self._graph, stream=side):
                    try:
                        loss, gradients = self._step(inputs)
                    except Exception as error:
                        failed = error
                        raise
            except RuntimeError as error:  # of a capture that failed, its end fails too, and hides why
                raise failed or error from None
            self._held = torch.cuda.max_memory_allocated() - before
        return loss.detach(), gradients

    def _load(self, values: Values) -> None:
        with torch.no_grad():
            for mine, theirs in zip(
                (*self._inputs.leaves, *self._inputs[2:]), (*values.leaves, *values[2:]), strict=True
            ):
                mine.copy_(theirs)
        self._loaded = values
