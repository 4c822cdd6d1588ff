"""How much of a CUDA device JAX may take: it reads a share from the environment when it looks for devices."""

import os
import shutil
import subprocess
from contextlib import suppress

SHARE = "XLA_CLIENT_MEM_FRACTION"
OLD_SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"
"""Its name before 2025; JAX refuses to start where both are set."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The devices that a process sees, by numbers or names: the driver takes them as they are."""


def limit_device_memory(size: int) -> None:
    """Let JAX take at most so many bytes of a device, if the driver says how many it has.

    The share is one for all devices: that of the smallest counts.
    """
    sizes = device_sizes()
    if not sizes:
        return
    os.environ.pop(OLD_SHARE, None)
    os.environ[SHARE] = f"{min(1.0, size / min(sizes)):.6f}"


def device_sizes() -> list[int]:
    """Bytes of memory of each CUDA device, from NVIDIA's driver; JAX itself tells only once it holds some."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    visible = os.environ.get(VISIBLE)
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    query += ["--id", visible] if visible else []
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        return [int(line) * 2**20 for line in told.split()]
    return []
