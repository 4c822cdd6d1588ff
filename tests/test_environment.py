"""Where results were made: devices and variables by which they may differ are told, and compared."""

from types import SimpleNamespace
from typing import Any

import pytest

from crossgrad.bench.compare import compare, comparison_text
from crossgrad.environment import describe, environment, version_differences

from .conftest import load_or_skip
from .test_bench_compare import results, row

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"
CAPABILITIES = {H100: (9, 0), A100: (8, 0)}
TOLD = {
    "torch": [f"{H100}, compute capability 9.0", f"{A100}, compute capability 8.0"],
    "jax": [H100, A100],
}
VARIABLES = {
    "torch": ["NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES"],
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


@in_each
def test_variables_that_change_results_are_told_where_they_are_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_or_skip(name)
    for variable in ("NVIDIA_TF32_OVERRIDE", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES"):
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
