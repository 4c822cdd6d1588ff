"""The variant ``torch:onednn``, and the choice of a library for PyTorch's bare products."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from crossgrad.backends.base import Program, Unsupported
from crossgrad.networks.spec import Dense, Network

from .conftest import load_or_skip, make_case

torch = pytest.importorskip("torch")
TorchDispatchMode = pytest.importorskip("torch.utils._python_dispatch").TorchDispatchMode
ONEDNN = "mkldnn._linear_pointwise"
BATCH = 6
NETWORKS = {"bias": Network(5, (Dense(7), Dense(4))), "no-bias": Network(5, (Dense(7, bias=False), Dense(4)))}


def operations(call: Callable[[], object]) -> Counter[str]:
    """How often each operation reached PyTorch's kernels, by name."""
    found: Counter[str] = Counter()

    class Watching(TorchDispatchMode):  # type: ignore[misc, valid-type]
        """Entered first, so that it sees what another mode has made of an operation."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found[str(func.overloadpacket)] += 1
            return func(*args, **(kwargs or {}))

    with Watching():
        call()
    return found


def program_of(variant: str, network: Network, dtype: str = "float32") -> Program:
    return load_or_skip("torch").prepare(make_case(network, dtype, batch_size=BATCH), variant, "cpu")


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(("phase", "expected"), [("step", 5), ("forward", 2), ("trace", 7)])
def test_every_product_is_onednn_s(network: Network, phase: str, expected: int) -> None:
    """In a step two z, two dW and one da; a trace has the forward pass with new parameters, too."""
    case = make_case(network, "float32", batch_size=BATCH)
    program = program_of("onednn", network)
    values = program.put(case.parameters, case.batch)
    ran = operations(lambda: getattr(program, phase)(values))
    assert ran[ONEDNN] == expected
    assert not {"aten.mm", "aten.addmm", "aten.linear"} & ran.keys()


def test_eager_has_none_of_them() -> None:
    case = make_case(NETWORKS["bias"], "float32", batch_size=BATCH)
    program = program_of("eager", NETWORKS["bias"])
    values = program.put(case.parameters, case.batch)
    ran = operations(lambda: program.step(values))
    assert ran["aten.mm"] == 3
    assert ran["aten.addmm"] == 2
    assert ONEDNN not in ran


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes_are_refused_with_the_way_out(dtype: str) -> None:
    with pytest.raises(
        Unsupported, match=rf"for float32 alone \(--dtype float32\): in {dtype} use torch:eager"
    ):
        program_of("onednn", NETWORKS["bias"], dtype)


@pytest.mark.parametrize("mode", ["BF16", "any"])
def test_fast_math_is_refused(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN obeys it where the processor can, although PyTorch says that its precision is IEEE's."""
    from crossgrad.backends.torch.onednn import offers_onednn

    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", mode)
    with pytest.raises(Unsupported, match=f"unset ONEDNN_DEFAULT_FPMATH_MODE={mode}"):
        program_of("onednn", NETWORKS["bias"])
    assert not offers_onednn(torch.float32, torch.device("cpu"))  # nor is it a yardstick of float32
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "strict")
    program_of("onednn", NETWORKS["bias"])


def test_products_are_in_float32_whatever_precision_the_process_has() -> None:
    """oneDNN says of each of its calls whether it may round the operands."""
    code = (
        "import torch, crossgrad; torch.set_float32_matmul_precision('medium');"
        "a = torch.ones(64, 64); a @ a;"
        "print('=', flush=True);"
        "crossgrad.check('64-32', backends=['torch:onednn'], dtypes=['float32'])"
    )
    told = {"ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | told
    )
    before, _, ours = done.stdout.partition("=\n")
    if "fpmath:bf16" not in before:
        pytest.skip("this PyTorch has no narrower products for float32 here")
    assert "inner_product" in ours
    assert "fpmath:bf16" not in ours


def test_a_bias_may_lie_in_steps() -> None:
    from crossgrad.backends.torch.onednn import multiply

    steps = torch.arange(6.0)[::2]
    torch.testing.assert_close(multiply(torch.zeros(1, 2), torch.zeros(2, 3), steps), steps[None])


def test_a_step_does_not_import_torch_compile() -> None:
    """sympy comes with it, and most of a second."""
    code = (
        "import sys, crossgrad;"
        "crossgrad.check('article', backends=['torch:onednn'], dtypes=['float32'], isolate=False);"
        "print('torch' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("slower", ["mm", "onednn"])
def test_bare_products_are_the_faster_library_s(slower: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two is made slow, the other multiplies; the products are the same."""
    from crossgrad.backends.torch import products as module

    seconds = {
        "mm": lambda product: product.func is torch.mm,
        "onednn": lambda product: product.func is not torch.mm,
    }
    monkeypatch.setattr(module, "_seconds", seconds[slower])
    monkeypatch.setattr(module, "TWO_WAYS_FROM", 0)
    case = make_case(NETWORKS["bias"], "float32", batch_size=BATCH)
    products = load_or_skip("torch").products(case, "cpu")
    ran = operations(products.step)
    assert ran[ONEDNN] == (5 if slower == "mm" else 0)
    assert ran["aten.mm"] == (0 if slower == "mm" else 5)
    monkeypatch.setattr(module, "offers_onednn", lambda *_: False)
    plain = load_or_skip("torch").products(case, "cpu")
    for found, expected in zip(products.step(), plain.step(), strict=True):
        torch.testing.assert_close(found, expected)


def test_small_products_are_no_matter_of_chance() -> None:
    products = load_or_skip("torch").products(make_case("784-100-10", "float32", batch_size=10), "cpu")
    assert operations(products.step)[ONEDNN] == 0


@pytest.mark.parametrize(("seconds", "wins"), [(0.5, True), (0.85, True), (0.95, False), (2.0, False)])
def test_the_other_way_has_to_be_clearly_faster(
    seconds: float, wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only the products move."""
    from crossgrad.backends.torch import products as module

    now = [0.0]

    def takes(length: float) -> None:
        now[0] += length

    plain, other = partial(takes, 1.0), partial(takes, seconds)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert (module.faster(plain, other) is other) == wins
