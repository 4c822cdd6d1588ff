"""What doctor finds: CUDA through the driver's own tool, and the way to what is missing."""

import os
import stat
from pathlib import Path

import pytest

from crossgrad import doctor
from crossgrad.backends.variables import KERNEL_VARIABLES, THREAD_VARIABLES
from crossgrad.doctor import findings


@pytest.fixture(autouse=True)
def no_driver_files(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/proc/driver/nvidia/gpus").exists():
        pytest.skip("a real NVIDIA driver would answer first")


def tool(folder: Path, script: str) -> None:
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("script", "present", "detail"),
    [
        ("echo NVIDIA H100; echo NVIDIA T4", True, "NVIDIA H100; NVIDIA T4"),
        ("exit 9", False, "failed"),
        ("true", False, "shows no device"),
    ],
    ids=["two-devices", "broken", "none"],
)
def test_cuda_from_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, present: bool, detail: str
) -> None:
    tool(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    cuda = next(finding for finding in findings() if finding.name == "cuda")
    assert cuda.present is present
    assert detail in cuda.detail


def test_missing_packages_come_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    monkeypatch.setattr("crossgrad.backends.registry.find_spec", lambda name: None)
    told = {finding.name: finding for finding in findings()}
    for name in ("torch", "jax", "digits", "bfloat16", "safetensors", "flax", "equinox", "keras", "onnx"):
        assert not told[name].present
        assert told[name].detail.endswith(f'pip install "crossgrad[{name}]"')


def test_variables_that_engines_obey_are_told_where_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *KERNEL_VARIABLES,
        *THREAD_VARIABLES,
        "XLA_FLAGS",
        "NVIDIA_TF32_OVERRIDE",
        "CUDA_VISIBLE_DEVICES",
    ):
        monkeypatch.delenv(name, raising=False)
    assert "variables" not in {finding.name for finding in findings()}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    (told,) = (finding for finding in findings() if finding.name == "variables")
    assert told.detail.startswith("OPENBLAS_CORETYPE=Haswell: ")
