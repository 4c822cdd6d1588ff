"""How long work takes on a CUDA device, and how much of its memory, as the device itself tells."""

from collections.abc import Callable

import torch

from ..base import Timed


class DeviceTimed(Timed):
    """Timed by the host's clock on the CPU, by events between the kernels on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def seconds(self, call: Callable[[], object], calls: int) -> float:
        if self._device.type != "cuda":
            return super().seconds(call, calls)
        with torch.cuda.device(self._device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            self.synchronize()
            start.record()
            for _ in range(calls):
                call()
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end)) / 1e3

    def device_peak(self, call: Callable[[], object]) -> int | None:
        if self._device.type != "cuda":
            return None
        self.synchronize()
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        call()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self._device) - before
