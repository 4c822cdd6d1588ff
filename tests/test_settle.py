"""A process that holds one case alone is set up for it once, not at each call."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from crossgrad.bench.lanes import Lanes
from crossgrad.compare import compare_runs
from crossgrad.oracle import consult
from crossgrad.run import UNSUPPORTED
from crossgrad.verdict import WRONG
from crossgrad.workers.limits import Limits

from .conftest import load_or_skip, make_case


@pytest.fixture
def torch_settings() -> Iterator[list[Any]]:
    """What governs float32 products; that and how others are added up is afterwards as it was before."""
    load_or_skip("torch")
    from crossgrad.backends.torch.precision import REDUCTIONS, matmul_settings

    before = [settings.fp32_precision for settings in matmul_settings()]
    yield matmul_settings()
    for switch in REDUCTIONS.values():
        setattr(matmul_settings()[0], switch, True)
    matmul_settings()[0].allow_tf32 = False
    for settings, value in zip(matmul_settings(), before, strict=True):
        settings.fp32_precision = value


def test_torch_takes_the_precision_of_the_dtype_for_good(torch_settings: list[Any]) -> None:
    for settings in torch_settings:
        settings.fp32_precision = "tf32"
    type(load_or_skip("torch"))().settle(make_case("3-5-2", "float32"))
    assert [settings.fp32_precision for settings in torch_settings] == ["ieee", "ieee"]


def older_switches() -> tuple[bool, str]:
    """What torch.compile reads of PyTorch's older switches, which raise if the newer says otherwise."""
    import torch

    return torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.filterwarnings("ignore:Please use the new API")
def test_torch_compile_can_read_the_precision_that_is_settled() -> None:
    backend = type(load_or_skip("torch"))()
    for dtype, expected in [
        ("tf32", (True, "high")),
        ("bfloat16", (False, "highest")),
        ("tf32", (True, "high")),
        ("float32", (False, "highest")),
    ]:
        backend.settle(make_case("3-5-2", dtype))
        assert older_switches() == expected


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.filterwarnings("ignore:Please use the new API")
def test_torch_compile_can_read_the_precision_of_a_call(torch_settings: list[Any]) -> None:
    from crossgrad.backends.torch.precision import matmul_precision

    before = [settings.fp32_precision for settings in torch_settings], older_switches()
    with matmul_precision("tf32"):
        assert [settings.fp32_precision for settings in torch_settings] == ["tf32", "tf32"]
        assert older_switches() == (True, "high")
    assert ([settings.fp32_precision for settings in torch_settings], older_switches()) == before


@pytest.mark.filterwarnings("ignore:Please use the new API")
@pytest.mark.parametrize("older", ["high", "medium"])
def test_a_users_older_switch_is_off_in_a_float32_call_and_then_as_it_was(
    older: str, torch_settings: list[Any]
) -> None:
    import torch

    from crossgrad.backends.torch.precision import matmul_precision

    try:
        torch.set_float32_matmul_precision(older)
        before = [settings.fp32_precision for settings in torch_settings]
        with matmul_precision("ieee"):
            assert older_switches() == (False, "highest")  # torch.compile for CUDA fails where they differ
        assert older_switches() == (True, older)
        assert [settings.fp32_precision for settings in torch_settings] == before
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.filterwarnings("ignore:Please use the new API")
def test_a_users_newer_switch_is_off_in_a_float32_call_and_then_as_it_was(torch_settings: list[Any]) -> None:
    from crossgrad.backends.torch.precision import matmul_precision

    torch_settings[0].fp32_precision = "tf32"
    before = [settings.fp32_precision for settings in torch_settings]
    with matmul_precision("ieee"):
        assert older_switches() == (False, "highest")
    assert [settings.fp32_precision for settings in torch_settings] == before


@pytest.mark.filterwarnings("ignore:Please use the new API")
def test_what_follows_a_users_setting_for_all_follows_it_after_a_float32_call(
    torch_settings: list[Any],
) -> None:
    import torch

    from crossgrad.backends.torch.precision import matmul_precision

    try:
        torch.backends.fp32_precision = "tf32"
        with matmul_precision("ieee"):
            assert [settings.fp32_precision for settings in torch_settings] == ["ieee", "ieee"]
        assert [settings.fp32_precision for settings in torch_settings] == ["tf32", "tf32"]
    finally:
        torch.backends.fp32_precision = "none"
    assert [settings.fp32_precision for settings in torch_settings] == ["none", "none"]


def test_torch_looks_at_the_precision_unless_it_is_settled_for_the_dtype(torch_settings: list[Any]) -> None:
    from crossgrad.backends.torch.precision import InPrecision, plainly

    backend = type(load_or_skip("torch"))()  # not the one that all tests share
    case, other = make_case("3-5-2", "float32", batch_size=4), make_case("3-5-2", "bfloat16")
    before = backend.prepare(case, "eager", "cpu")
    backend.settle(case)
    after = backend.prepare(case, "eager", "cpu")
    assert after._in_precision is plainly
    assert backend.products(case, "cpu")._in_precision is plainly
    for program in (before, backend.prepare(other, "eager", "cpu")):
        assert isinstance(program._in_precision, InPrecision)
    ours, theirs = (
        program.gradients(program.step(program.put(case.parameters, case.batch)))
        for program in (before, after)
    )
    for name, gradient in ours.items():
        np.testing.assert_array_equal(gradient, theirs[name])


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_on_cuda_are_added_up_in_float32(dtype: str) -> None:
    """Whether they are is one of PyTorch's switches, which are there without a device."""
    import torch

    from crossgrad.backends.torch.precision import REDUCTIONS, InPrecision, settle_precision

    def switched_on(_: None) -> bool:
        return bool(getattr(torch.backends.cuda.matmul, REDUCTIONS[dtype]))

    assert switched_on(None)
    assert not InPrecision(dtype, torch.device("cuda"))(switched_on, None)
    assert InPrecision(dtype, torch.device("cpu"))(switched_on, None)
    settle_precision(dtype)
    assert not switched_on(None)


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.parametrize(
    ("network", "dtype", "batch_size", "keeps"),
    [
        ("1024-1024", "float32", 1, True),
        ("1024-1023", "float32", 1, False),
        ("1024-512", "float64", 1, True),
        ("8-1024", "float32", 1024, True),
        ("8-1024", "float32", 1023, False),
    ],
)
def test_torch_keeps_what_large_arrays_free(
    monkeypatch: pytest.MonkeyPatch, network: str, dtype: str, batch_size: int, keeps: bool
) -> None:
    """From 4 MiB on: of smaller ones the heap would only be larger."""
    backend = type(load_or_skip("torch"))()
    from crossgrad.backends.torch import engine

    kept: list[bool] = []
    monkeypatch.setattr(engine, "keep_freed_memory", lambda: kept.append(True))
    backend.settle(make_case(network, dtype, batch_size=batch_size))
    assert bool(kept) == keeps


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_held_process_changes_from_dtype_to_dtype(backend: str) -> None:
    """JAX's x64 is switched for the process: what float64 was held in must not narrow, nor widen float32."""
    load_or_skip(backend)
    with Lanes([backend], ["cpu"], Limits()) as lanes:
        engine = lanes.engines[0]
        for dtype in ("float64", "float32", "float64", "bfloat16"):
            case = make_case("3-5-2", dtype, batch_size=4)
            run, _ = lanes.hold(engine, case, products=False)
            if run.status == UNSUPPORTED:
                continue
            assert run.trace is not None
            assert {str(array.dtype) for array in run.trace.quantities.values()} == {dtype}
            comparisons = compare_runs(case, [run], consult(case))
            assert [c.quantity for c in comparisons if c.verdict in WRONG] == []
