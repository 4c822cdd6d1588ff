"""A CUDA device's memory: its limit, as engines tell it their frameworks, and what a step takes of it."""

import gc
import os
from functools import partial
from pathlib import Path

import pytest

import crossgrad
from crossgrad.workers.limits import Limits

from .conftest import load_or_skip, make_case, skip

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
def test_devices_that_are_hidden_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.backends.jax import memory

    plant_driver(tmp_path, monkeypatch, "")
    (tmp_path / "nvidia-smi").write_text('#!/bin/sh\ntest "$3 $4" = "--id 1" && echo 81920\n')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert memory.device_sizes() == [81920 * 2**20]


def test_torch_gives_back_what_it_keeps_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    torch, backend, emptied = pytest.importorskip("torch"), load_or_skip("torch"), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    backend.give_back()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    backend.give_back()
    assert emptied[-1:] == [True]


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


class FakeDevice:
    """A device that holds what JAX holds here, and remembers the most that it held."""

    platform = "cuda"

    def __init__(self) -> None:
        self.most = 0

    def hold(self, more: int = 0) -> int:
        import jax

        held = sum(array.nbytes for array in jax.live_arrays("cpu"))
        self.most = max(self.most, held + more)
        return held

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_in_use": self.hold(), "peak_bytes_in_use": self.most}


@pytest.mark.parametrize("gives_away", [False, True], ids=["fresh", "given-away"])
@pytest.mark.parametrize("raised", [False, True], ids=["planned", "raised"])
def test_jax_counts_the_outputs_of_a_step_and_what_lies_between(
    raised: bool, gives_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is held of the step before, and whether or not more was held once."""
    backend = load_or_skip("jax")
    import jax

    from crossgrad.backends.jax import program

    monkeypatch.setattr(program, "GIVEN_AWAY_FROM", 0 if gives_away else 2**40)
    case = make_case("300-200-100", batch_size=8)
    prepared = backend.prepare(case, "jit", "cpu")
    values = prepared.put(case.parameters, case.batch)
    for _ in range(2):
        prepared.step(values)
    monkeypatch.setattr(prepared, "_empty", partial(jax.tree.map, jax.numpy.zeros_like))
    monkeypatch.setattr(prepared, "_device", device := FakeDevice())
    device.most = 0 if raised else 2**50
    plan = prepared._stepping.executable.memory_analysis()

    def step() -> None:
        prepared.step(values)
        prepared.synchronize()
        device.hold(more=plan.temp_size_in_bytes)

    outputs = 4 + sum(p.nbytes for pair in case.parameters for p in pair if p is not None)
    table = 64  # bytes, of pointers to the outputs, that XLA plans too
    gc.collect()  # of what other tests left, nothing goes meanwhile
    told = prepared.device_peak(step)
    assert told == pytest.approx(outputs + plan.temp_size_in_bytes, abs=table)
