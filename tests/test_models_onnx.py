"""ONNX graphs as specifications, with onnx's own reference as the judge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import Network
from crossgrad.networks.cases import Case
from crossgrad.networks.catalogue import build_case, find_entry
from crossgrad.networks.rules import ACTIVATIONS

from .conftest import run_trace
from .onnx_models import SIGMOID, B, TensorProto, W, gemm, helper, model, node, numpy_helper, onnx
from .ported import DTYPES, NETWORKS, bits, parameters_of

MODELS: dict[str, Callable[[], Any]] = {
    "gemm": gemm,
    "gemm-turned": lambda: gemm(W, transB=1),
    "gemm-without-bias": lambda: gemm(b=None),
    "gemm-bias-of-a-row": lambda: gemm(b=B[None]),
    "gemm-factors": lambda: gemm(alpha=0.5, beta=-2.0),
    "gemm-no-bias-by-its-factor": lambda: gemm(beta=0.0),
    "matmul-add": lambda: model(
        [node("MatMul", "x W", "p"), node("Add", "p b", "z"), SIGMOID], {"W": W.T, "b": B}
    ),
    "add-the-other-way": lambda: model(
        [node("MatMul", "x W", "p"), node("Add", "b p", "z"), SIGMOID], {"W": W.T, "b": B}
    ),
    "matmul-alone": lambda: model([node("MatMul", "x W", "z"), SIGMOID], {"W": W.T}),
    "transposed": lambda: model(
        [node("Transpose", "W", "T", perm=[1, 0]), node("MatMul", "x T", "z"), SIGMOID], {"W": W}
    ),
    "transposed-twice": lambda: model(
        [node("Transpose", "W", "T"), node("Gemm", "x T b", "z"), SIGMOID], {"W": W, "b": B}
    ),
    "constants": lambda: model(
        [
            node("Constant", "", "W", value=numpy_helper.from_array(W)),
            node("Identity", "W", "V"),
            node("Identity", "x", "x1"),
            node("Gemm", "x1 V", "z", transB=1),
            SIGMOID,
        ],
        {},
    ),
    "two-layers": lambda: model(
        [
            node("Gemm", "x W b", "z1", transB=1),
            node("Sigmoid", "z1", "a1"),
            node("Gemm", "a1 V", "z"),
            SIGMOID,
        ],
        {"W": W, "b": B, "V": np.eye(2, dtype=np.float32) + 1},
    ),
}


def case_of(read: crossgrad.Model, x: Any) -> Case:
    y = np.zeros((len(x), read.network.layers[-1].units))
    entry = find_entry(read.network)
    return build_case(entry, dtype="float64", params=read.parameters, batch=(x, y), loss="mse")


# What is read


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_of_onnx_agrees(name: str) -> None:
    """The reference computes in float32, crossgrad's engine in float64, on the same numbers.

    A sum of 4 terms below 8 is off by 4 * 4 * 8 roundings of size eps / 2 at most, and a sigmoid
    passes on a quarter of that.
    """
    from onnx.reference import ReferenceEvaluator

    proto = MODELS[name]()
    onnx.checker.check_model(proto)
    x = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    read = crossgrad.from_onnx(proto)
    found = run_trace(case_of(read, x), "numpy", "manual").quantities
    last = len(read.network.layers)
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(found[f"a.{last}"], expected, rtol=0, atol=32 * np.finfo(np.float32).eps)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the newer exporter needs onnxscript
def test_what_torch_exports_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 2), torch.nn.Sigmoid()
    )
    torch.onnx.export(module, (torch.zeros(1, 3),), tmp_path / "m.onnx", dynamo=False)
    ours, theirs = crossgrad.from_onnx(tmp_path / "m.onnx"), crossgrad.from_torch(module)
    assert ours.network == theirs.network
    assert bits(ours.parameters) == bits(theirs.parameters)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "listed"])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=10)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_every_bit_comes_back(dtype: str, raw: bool, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    kind = helper.np_dtype_to_tensor_dtype(parameters[0].W.dtype)

    def stored(name: str, array: Any) -> Any:
        if raw:
            return helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
        tensor = TensorProto(name=name, data_type=kind, dims=array.shape)
        if array.itemsize == 2:
            tensor.int32_data.extend(array.view(np.uint16).ravel().tolist())
        else:
            getattr(tensor, {4: "float_data", 8: "double_data"}[array.itemsize]).extend(
                array.ravel().tolist()
            )
        return tensor

    nodes, tensors, last = [], {}, len(parameters)
    for n, (weights, b) in enumerate(parameters, start=1):
        tensors |= {f"W{n}": stored(f"W{n}", weights)} | ({} if b is None else {f"b{n}": stored(f"b{n}", b)})
        taken = f"{'x' if n == 1 else f'a{n - 1}'} W{n}" + ("" if b is None else f" b{n}")
        nodes += [node("Gemm", taken, f"z{n}", transB=1)]
        nodes += [node("Sigmoid", f"z{n}", "y" if n == last else f"a{n}")]
    shapes = ((None, network.inputs), (None, network.layers[-1].units))
    back = crossgrad.from_onnx(model(nodes, tensors, kind, shapes))
    assert back.network == network
    assert bits(back.parameters) == bits(parameters)


def test_a_file_and_a_model_read_alike(tmp_path: Path) -> None:
    onnx.save(gemm(), tmp_path / "m.onnx")
    from_file = crossgrad.from_onnx(tmp_path / "m.onnx")
    assert (
        from_file.network
        == crossgrad.from_onnx(str(tmp_path / "m.onnx")).network
        == Network.from_widths("3-2")
    )
    assert bits(from_file.parameters) == bits(crossgrad.from_onnx(gemm()).parameters) == bits([(W, B)])


def test_check_takes_what_was_read() -> None:
    read = crossgrad.from_onnx(MODELS["two-layers"]())
    assert crossgrad.check(read.network, params=read.parameters, dtypes=["float32"], backends=["numpy"]).ok


def test_every_activation_has_a_line() -> None:
    from crossgrad.models import onnx_graphs

    assert onnx_graphs.ACTIVATIONS.keys() == ACTIVATIONS.keys()
