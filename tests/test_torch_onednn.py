"""The variant ``torch:onednn``, and the choice of a library for PyTorch's bare products."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
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


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        ("float64", "oneDNN has no products in float64"),
        ("bfloat16", "PyTorch multiplies in bfloat16 by oneDNN as it is"),
    ],
)
def test_other_dtypes_are_refused_with_the_reason(dtype: str, said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        program_of("onednn", NETWORKS["bias"], dtype)


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

    monkeypatch.setattr(module, "_seconds", lambda product: (product.func is torch.mm) == (slower == "mm"))
    case = make_case(NETWORKS["bias"], "float32", batch_size=BATCH)
    products = load_or_skip("torch").products(case, "cpu")
    ran = operations(products.step)
    assert ran[ONEDNN] == (5 if slower == "mm" else 0)
    assert ran["aten.mm"] == (0 if slower == "mm" else 5)
    monkeypatch.setattr(module, "offers_onednn", lambda *_: False)
    plain = load_or_skip("torch").products(case, "cpu")
    for found, expected in zip(products.step(), plain.step(), strict=True):
        torch.testing.assert_close(found, expected)
