"""A limit on a CUDA device's memory, as engines tell it their frameworks."""

import os
from pathlib import Path

import pytest

import crossgrad
from crossgrad.workers.limits import Limits

from .conftest import load_or_skip, skip

GIB = 2**30


def plant_driver(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """An ``nvidia-smi`` that answers `says`, the only program on PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's own variables as they were, afterwards."""
    load_or_skip("jax")
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.5")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize(
    ("says", "expected"),
    [("81920\\n", "0.100000"), ("81920\\n16384\\n", "0.500000"), ("4096\\n", "1.000000")],
    ids=["one", "the-smallest-counts", "more-than-there-is"],
)
def test_jax_takes_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, expected: str) -> None:
    from crossgrad.backends.jax import memory

    plant_driver(tmp_path, monkeypatch, says)
    memory.limit_device_memory(8 * GIB)
    assert os.environ["XLA_CLIENT_MEM_FRACTION"] == expected
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ  # JAX refuses both


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize("says", ["", "no devices were found\\n"], ids=["nothing", "words"])
def test_without_a_driver_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    from crossgrad.backends.jax import memory

    plant_driver(tmp_path, monkeypatch, says)
    memory.limit_device_memory(8 * GIB)
    assert os.environ["XLA_CLIENT_MEM_FRACTION"] == "0.5"


@pytest.mark.parametrize("size", [0, -1])
def test_a_limit_that_makes_no_sense_is_refused(size: int) -> None:
    with pytest.raises(crossgrad.InvalidInput, match="memory limit"):
        Limits(device_memory=size)


def test_torch_keeps_to_it() -> None:
    import torch

    backend = load_or_skip("torch")
    if "cuda" not in backend.devices():
        skip("cuda", "torch sees no cuda here")
    try:
        backend.limit_device_memory(GIB)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
