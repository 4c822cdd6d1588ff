"""ONNX graphs, tensors and files that are no specification: each refused by name, and nothing else opened."""

import builtins
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad import InvalidInput

from .onnx_models import SIGMOID, B, TensorProto, W, gemm, helper, model, node, numpy_helper, onnx
from .ported import bits, forbid_reading, refusal

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
    really = builtins.open

    def noted(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(Path(file).name)
        return really(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", noted)
    monkeypatch.setattr(io, "open", noted)  # pathlib's
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
