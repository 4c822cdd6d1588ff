"""ONNX graphs as specifications: with onnx's own reference as the judge, or a refusal by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import InvalidInput, Network
from crossgrad.networks.cases import Case
from crossgrad.networks.catalogue import build_case, find_entry
from crossgrad.networks.rules import ACTIVATIONS

from .conftest import run_trace
from .ported import DTYPES, NETWORKS, bits, forbid_reading, parameters_of, refusal

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

RANDOM = np.random.default_rng(0)
W = RANDOM.standard_normal((2, 3)).astype(np.float32)
B = RANDOM.standard_normal(2).astype(np.float32)

Tensors = dict[str, Any]


def model(
    nodes: Sequence[Any],
    tensors: Tensors,
    kind: int = TensorProto.FLOAT,
    shapes: tuple[Any, Any] = (("batch", 3), ("batch", 2)),
    opset: int = 17,
    **more: Any,
) -> Any:
    """A model from ``x`` to ``y``."""
    made = [t if isinstance(t, TensorProto) else numpy_helper.from_array(t, n) for n, t in tensors.items()]
    entry, end = (helper.make_tensor_value_info(n, kind, s) for n, s in zip("xy", shapes, strict=True))
    graph = helper.make_graph(list(nodes), "g", [entry], [end], made, **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), output.split(), name=f"the {operator}", **attributes)


SIGMOID = node("Sigmoid", "z", "y")


def gemm(W: Any = W.T, b: Any = B, **attributes: Any) -> Any:
    tensors = {"W": W} if b is None else {"W": W, "b": b}
    return model([node("Gemm", "x " + " ".join(tensors), "z", **attributes), SIGMOID], tensors)


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
    proto = MODELS[name]()
    onnx.checker.check_model(proto)
    x = RANDOM.standard_normal((5, 3)).astype(np.float32)
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
@settings(max_examples=10, deadline=None)
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
    for n, (W, b) in enumerate(parameters, start=1):
        tensors |= {f"W{n}": stored(f"W{n}", W)} | ({} if b is None else {f"b{n}": stored(f"b{n}", b)})
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


# Graphs that are refused


def changed(change: Callable[[Any], Any]) -> Callable[[], Any]:
    """The first model with something done to it."""

    def make() -> Any:
        proto = gemm()
        change(proto)
        return proto

    return make


def with_nodes(nodes: Sequence[Any], **tensors: Any) -> Callable[[], Any]:
    return lambda: model(nodes, {"W": W.T, "b": B, "S": np.eye(3, dtype=np.float32)} | tensors)


def own_sigmoid(proto: Any) -> None:
    """A function of the model that stands in for ONNX's Sigmoid."""
    body = [helper.make_node("Tanh", ["z"], ["y"])]
    function = helper.make_function("", "Sigmoid", ["z"], ["y"], body, [helper.make_opsetid("", 17)])
    proto.functions.append(function)


GRAPHS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no-model": (lambda: b"", ["the model is a bytes: expected a path or an onnx.ModelProto"]),
    "empty": (onnx.ModelProto, ["has version 0 of ONNX's operators: expected 7 to"]),
    "old": (changed(lambda p: setattr(p.opset_import[0], "version", 6)), ["has version 6"]),
    "new": (changed(lambda p: setattr(p.opset_import[0], "version", 999)), ["has version 999"]),
    "unknown": (
        with_nodes([node("Gemm", "x W b", "z"), node("Tanh", "z", "y")]),
        ["the Tanh: Tanh is no part of a specification", "sigmoid"],
    ),
    "unknown-and-nameless": (
        with_nodes([helper.make_node("Relu", ["x"], ["y"])]),
        ["node 0: Relu is no part of a specification"],
    ),
    "other-domain": (
        with_nodes([node("Sigmoid", "x", "y", domain="com.example")]),
        ["the Sigmoid: Sigmoid of com.example is no part"],
    ),
    "own-function": (changed(own_sigmoid), ["defines ONNX's own operators anew"]),
    "control-flow": (with_nodes([node("If", "x", "y")]), ["the If: If is no part"]),
    "dropout": (with_nodes([node("Gemm", "x W", "z"), node("Dropout", "z", "y")]), ["Dropout is no part"]),
    "no-activation": (with_nodes([node("Gemm", "x W b", "y")]), ["the Gemm: Gemm has no activation"]),
    "activation-alone": (with_nodes([node("Sigmoid", "x", "y")]), ["Sigmoid has no dense layer of its own"]),
    "bias-twice": (
        with_nodes([node("Gemm", "x W b", "p"), node("Add", "p c", "z"), SIGMOID], c=B),
        ["the Add: Add adds something else than the bias"],
    ),
    "bias-of-one-number": (
        with_nodes([node("Gemm", "x W c", "z"), SIGMOID], c=B[:1]),
        ["b.1: expected (2,), got (1,)"],
    ),
    "bias-along-the-batch": (
        with_nodes([node("Gemm", "x W c", "z"), SIGMOID], c=B[:, None]),
        ["the Gemm: Gemm: b has the shape (2, 1): expected (O,)"],
    ),
    "residual": (
        with_nodes([node("Gemm", "x S", "p"), node("Add", "p x", "y")]),
        ["the Add: Add makes the way of the data branch"],
    ),
    "not-used": (
        with_nodes([node("Gemm", "x W", "q"), node("Gemm", "x W b", "z"), SIGMOID]),
        ["the Gemm: Gemm makes the way of the data branch"],
    ),
    "tied": (
        with_nodes(
            [node("Gemm", "x S", "p"), node("Sigmoid", "p", "a"), node("Gemm", "a S", "z"), SIGMOID],
        ),
        ["the Gemm: Gemm shares a parameter with the Gemm: Gemm"],
    ),
    "turned-data": (lambda: gemm(transA=1), ["turns the data (transA)"]),
    "data-as-matrix": (with_nodes([node("MatMul", "S x", "z"), SIGMOID]), ["is no product of the data"]),
    "data-transposed": (with_nodes([node("Transpose", "x", "z"), SIGMOID]), ["turns something else"]),
    "factor": (lambda: gemm(alpha=0.1), ["has alpha = 0.1, which would round"]),
    "factor-underflows": (
        lambda: gemm(np.full((3, 2), 1e-40, np.float32), alpha=2.0**-20),
        ["has alpha = 9.53674e-07, which would round"],
    ),
    "attribute": (lambda: gemm(broadcast=1), ["the Gemm: Gemm has the attribute broadcast"]),
    "attribute-type": (lambda: gemm(transB=1.0), ["attribute transB is of the wrong type"]),
    "taken-before-made": (
        with_nodes([SIGMOID, node("Gemm", "x W b", "z")]),
        ["the Sigmoid: Sigmoid takes z, which nothing before it makes"],
    ),
    "name-twice": (
        with_nodes([node("Gemm", "x W b", "z"), node("Sigmoid", "z", "z")]),
        ["gives the name 'z' twice"],
    ),
    "output-elsewhere": (
        with_nodes([node("Gemm", "x W b", "z"), node("Sigmoid", "z", "q")]),
        ["output y is not what the last node makes"],
    ),
    "two-inputs": (
        changed(lambda p: p.graph.input.append(helper.make_tensor_value_info("w", 1, [1]))),
        ["has 2 inputs and 1 outputs"],
    ),
    "no-output": (changed(lambda p: p.graph.ClearField("output")), ["has 1 inputs and 0 outputs"]),
    "three-dimensions": (
        lambda: model([node("MatMul", "x W", "z"), SIGMOID], {"W": W.T}, shapes=((1, 5, 3), None)),
        ["input x has the shape [1, 5, 3]: expected (B, 3)"],
    ),
    "other-width": (
        lambda: model([node("MatMul", "x W", "z"), SIGMOID], {"W": W.T}, shapes=((1, 4), None)),
        ["input x has the shape [1, 4]: expected (B, 3)"],
    ),
    "input-of-another-type": (
        lambda: model([node("MatMul", "x W", "z"), SIGMOID], {"W": W.T}, TensorProto.DOUBLE),
        ["input x is of another type than the parameters, float32"],
    ),
    "mixed-types": (lambda: gemm(b=B.astype(np.float64)), ["mixes dtypes"]),
    "nan": (lambda: gemm(W.T * np.float32("nan")), ["W.1: expected finite numbers, got nan"]),
    "sparse": (changed(lambda p: p.graph.sparse_initializer.add()), ["has sparse tensors"]),
    "constant-of-floats": (
        with_nodes([node("Constant", "", "c", value_floats=[1.0]), node("Gemm", "x W c", "z"), SIGMOID]),
        ["the Constant: Constant has the attribute value_floats"],
    ),
    "escapes": (
        with_nodes([helper.make_node("\x1b[2J" * 99, ["x"], ["y"])]),
        [r"node 0: \x1b[2J\x1b[2J", "..."],
    ),
}


@pytest.mark.parametrize(("make", "said"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    assert "\x1b" not in refusal(crossgrad.from_onnx, make(), *said)


# Tensors that are refused


def tensor(**fields: Any) -> Any:
    """W (3, 2) with fields replaced."""
    made = numpy_helper.from_array(W.T, "W")
    for name, value in fields.items():
        made.ClearField(name)
        if isinstance(value, list):
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


def external() -> Any:
    made = tensor(raw_data=b"", data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="../../etc/passwd")
    return made


TENSORS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "external": (
        external,
        ["tensor W lies in another file, which is not read: put all into one with onnx.save"],
    ),
    "external-by-its-mark-alone": (
        lambda: tensor(data_location=TensorProto.EXTERNAL),
        ["tensor W lies in another file"],
    ),
    "integers": (
        lambda: tensor(data_type=TensorProto.INT32),
        ["tensor W is of type INT32: expected one of float32"],
    ),
    "type-unknown": (lambda: tensor(data_type=999), ["tensor W is of type 999"]),
    "float8": (lambda: tensor(data_type=TensorProto.FLOAT8E4M3FN), ["is of type FLOAT8E4M3FN"]),
    "too-few": (
        lambda: tensor(dims=[3, 3]),
        ["tensor W has 6 numbers: expected as many as its shape (3, 3)"],
    ),
    "giant": (lambda: tensor(dims=[2**62, 2**62]), ["tensor W has 6 numbers"]),
    "negative": (
        lambda: tensor(dims=[-3, -2]),
        ["tensor W has 6 numbers: expected as many as its shape (-3, -2)"],
    ),
    "half-a-number": (lambda: tensor(raw_data=W.tobytes()[:-1]), ["tensor W has 5.75 numbers"]),
    "twice": (lambda: tensor(float_data=[1.0] * 6), ["tensor W has 6 numbers"]),
    "nothing": (lambda: tensor(dims=[0, 2], raw_data=b""), ["the input width is 0"]),
    "long-and-empty": (lambda: tensor(dims=[2**40, 0], raw_data=b""), ["units) is 0"]),
    "scalar": (lambda: tensor(dims=[], raw_data=bytes(4)), ["W has the shape ()"]),
    "three-dimensions": (lambda: tensor(dims=[3, 2, 1]), ["tensor W has 6 numbers"]),
    "no-bits-of-16": (
        lambda: tensor(data_type=TensorProto.FLOAT16, raw_data=b"", int32_data=[70000] * 6),
        ["tensor W cannot be read: not all of its integers"],
    ),
}


@pytest.mark.parametrize(("make", "said"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_no_parameters(make: Callable[[], Any], said: list[str]) -> None:
    nodes = [node("Gemm", "x W", "z"), SIGMOID]
    refusal(crossgrad.from_onnx, model(nodes, {"W": make()}), *said)


def test_tensors_in_other_files_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(gemm(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    opened = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self.name) or read_bytes(self))
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail(f"{a} was opened"))
    refusal(crossgrad.from_onnx, path, "lies in another file, which is not read")
    assert opened == ["m.onnx"]


# Files that are refused


def test_oversized_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    with open(path, "wb") as sparse:
        sparse.truncate(2**40)
    forbid_reading(monkeypatch, path)
    refusal(
        crossgrad.from_onnx, path, "has 1,099,511,627,776 bytes: expected an ONNX model, at most 801,048,576"
    )


@pytest.mark.parametrize("kept", [1, 5, -1], ids=["one-byte", "five-bytes", "all-but-one"])
def test_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(gemm().SerializeToString()[:kept])
    refusal(crossgrad.from_onnx, path, f"{path} is no intact ONNX file")


def test_no_shorter_file_is_taken(tmp_path: Path) -> None:
    path, whole = tmp_path / "m.onnx", gemm().SerializeToString()
    before = bits([(W, B)])
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        try:
            read = crossgrad.from_onnx(path)
        except InvalidInput:
            continue
        assert bits(read.parameters) == before  # what was cut off was nothing that counts
