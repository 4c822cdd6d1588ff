"""A batch in a safetensors file: the tensors ``x`` (B, I) and ``y`` (B, O)."""

from pathlib import Path
from typing import Any

from .batches import Batch, as_batch
from .memory import available_bytes
from .pickles import BATCH
from .tensor_files import load_tensors, save_tensors

SHARE_OF_MEMORY = 4
"""A file may have one in so many bytes of what is available: it is held as it is, and in float64 too."""


def save_batch(path: str | Path, batch: Batch | tuple[Any, Any]) -> None:
    """Write a batch, or a pair ``(x, y)``, to a safetensors file, bit for bit.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, this is no batch, or the file cannot be written.
    """
    save_tensors(path, as_batch(batch)._asdict())


def load_batch(path: str | Path) -> Batch:
    """Read a batch from a safetensors file; whether it fits is seen where a network is run on it.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, or the file is of a kind that may run code, missing,
        too large for this machine's memory, truncated, corrupted, or holds other tensors.
    """
    limit = (available_bytes() or 2**40) // SHARE_OF_MEMORY
    return Batch(**load_tensors(path, Batch._fields, limit, "a batch, x (B, I) and y (B, O),", BATCH))
