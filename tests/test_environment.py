"""Where results were made: devices and variables by which they may differ are told, and compared."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossgrad.backends.variables import KERNEL_VARIABLES
from crossgrad.bench.compare import compare, comparison_text
from crossgrad.bench.session import steered
from crossgrad.environment import cpu_name, describe, environment, version_differences

from .conftest import load_or_skip
from .test_bench_compare import results, row

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"
CAPABILITIES = {H100: (9, 0), A100: (8, 0)}
TOLD = {
    "torch": [f"{H100}, compute capability 9.0", f"{A100}, compute capability 8.0"],
    "jax": [H100, A100],
}
VARIABLES = {
    "numpy": [*KERNEL_VARIABLES],
    "torch": ["NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", *KERNEL_VARIABLES],
    "jax": ["NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", "XLA_FLAGS"],
}
in_each = pytest.mark.parametrize("name", ["torch", "jax"])


def pretend_devices(monkeypatch: pytest.MonkeyPatch, name: str, kinds: list[str]) -> None:
    if name == "jax":
        import jax

        devices = [SimpleNamespace(device_kind=kind) for kind in kinds]
        monkeypatch.setattr(jax, "devices", lambda platform: devices)
        return
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(kinds))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(kinds))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: kinds[index])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: CAPABILITIES[kinds[index]])


@in_each
def test_an_engine_names_the_devices_that_it_sees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_or_skip(name)
    pretend_devices(monkeypatch, name, [H100, A100])
    told = describe(backend)
    assert told["devices"] == ["cpu", "cuda", "cuda:1"]
    assert told["device_names"] == TOLD[name]


@in_each
def test_an_engine_without_devices_names_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_or_skip(name)
    pretend_devices(monkeypatch, name, [])
    assert "device_names" not in backend.environment()


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_that_change_results_are_told_where_they_are_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_or_skip(name)
    for variable in set().union(*VARIABLES.values()):
        monkeypatch.delenv(variable, raising=False)
    assert "variables" not in backend.environment()
    for variable in VARIABLES[name]:
        monkeypatch.setenv(variable, "0")
    assert backend.environment()["variables"] == dict.fromkeys(VARIABLES[name], "0")


def surroundings(**told: Any) -> dict[str, Any]:
    return environment({"torch": {"version": "2.13.0", **told}})


def test_benchmarks_of_unlike_devices_are_not_alike() -> None:
    a, b = (
        results(row(device="cuda"), environment=surroundings(device_names=[kind])) for kind in (H100, A100)
    )
    told = f"  backends.torch.device_names: ['{H100}'] in A, ['{A100}'] in B"
    assert told in comparison_text(compare(a, b)).splitlines()


def test_sweeps_on_unlike_devices_differ_and_on_one_or_none_do_not() -> None:
    one, other, none = surroundings(device_names=[H100]), surroundings(device_names=[A100]), surroundings()
    assert version_differences(one, other) == [f"torch devices ['{H100}'] and ['{A100}']"]
    assert version_differences(one, one) == version_differences(one, none) == []
    assert version_differences(none, other) == []


KERNELS = "from crossgrad.environment import described; print(described('numpy')['numpy']['kernels'])"


def test_the_kernels_of_numpy_are_told_as_the_library_has_them() -> None:
    """OpenBLAS reads the variable as it is loaded, so each in a process of its own."""
    pytest.importorskip("threadpoolctl")
    if "openblas" not in describe(load_or_skip("numpy"))["blas"] or platform.machine() != "x86_64":
        pytest.skip("this NumPy has no OpenBLAS for x86")
    for chosen in ("Haswell", "Sandybridge"):
        done = subprocess.run(
            [sys.executable, "-c", KERNELS],
            env=os.environ | {"OPENBLAS_CORETYPE": chosen},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [chosen]


def test_a_benchmark_says_who_chose_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KERNEL_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    engines = {name: describe(load_or_skip(name)) for name in ("numpy", "torch")}
    (note,) = steered(engines)
    assert note.startswith("OPENBLAS_CORETYPE=Nehalem, which numpy and torch may obey")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    assert not [*steered({name: describe(load_or_skip(name)) for name in engines})]


CPUINFO = "cpu family\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel\t\t: 0\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CPUINFO.format(26, 2), "AMD EPYC (family 26, model 2)"),
        (CPUINFO.format(25, 1), "AMD EPYC (family 25, model 1)"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n\nmodel name\t: of no processor\n", "aarch64"),
    ],
    ids=["zen-5", "zen-3", "arm"],
)
def test_processors_of_one_name_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, content: str, name: str
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: content)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert cpu_name() == name
