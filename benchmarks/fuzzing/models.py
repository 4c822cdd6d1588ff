"""Models in ONNX files."""

from functools import partial
from pathlib import Path

import numpy as np

from crossgrad import from_onnx
from crossgrad.networks.parameters import check_parameters

from .files import read_file
from .target import Target, words


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer: an integer, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % 2**64)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def tensor(name: str, values: np.ndarray, raw: bool = True) -> bytes:
    """TensorProto: dims 1, data_type 2, float_data 4, name 8, raw_data 9, double_data 10 (onnx.proto)."""
    kind, listed = {"float32": (1, 4), "float16": (10, 0), "float64": (11, 10)}[values.dtype.name]
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, kind) + field(8, name) + field(9 if raw else listed, values.tobytes())


def node(operator: str, inputs: str, output: str, *attributes: bytes) -> bytes:
    """NodeProto: input 1, output 2, name 3, op_type 4, attribute 5."""
    taken = b"".join(field(1, name) for name in inputs.split())
    named = field(2, output) + field(3, f"the {operator}") + field(4, operator)
    return taken + named + b"".join(field(5, attribute) for attribute in attributes)


def integer(name: str, value: int) -> bytes:
    """AttributeProto: name 1, i 3, type 20, where 2 is an integer's."""
    return field(1, name) + field(3, value) + field(20, 2)


def entry(name: str, kind: int, *shape: int) -> bytes:
    """ValueInfoProto of a tensor: name 1, type 2, in it elem_type 1 and shape 2."""
    dims = b"".join(field(1, field(1, size) if size else b"") for size in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def model(nodes: list[bytes], tensors: list[bytes], kind: int = 1, opset: int = 13) -> bytes:
    """ModelProto: ir_version 1, graph 7, opset_import 8.

    GraphProto: node 1, name 2, initializer 5, input 11, output 12.
    """
    graph = b"".join(field(1, one) for one in nodes) + field(2, "g")
    graph += b"".join(field(5, one) for one in tensors)
    graph += field(11, entry("x", kind, 0, 3)) + field(12, entry("y", kind, 0, 2))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, opset))


def _gemm() -> bytes:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = [tensor("W", weights), tensor("b", np.ones(2, np.float32), raw=False)]
    nodes = [node("Gemm", "x W b", "z", integer("transB", 1)), node("Sigmoid", "z", "y")]
    return model(nodes, tensors)


def _matmul() -> bytes:
    tensors = [tensor("W", np.ones((3, 2))), tensor("b", np.ones((1, 2)), raw=False)]
    nodes = [node("MatMul", "x W", "p"), node("Add", "b p", "z"), node("Sigmoid", "z", "y")]
    return model(nodes, tensors, kind=11)


def _layers() -> bytes:
    tensors = [tensor("W", np.ones((4, 3), np.float16)), tensor("V", np.ones((4, 2), np.float16))]
    nodes = [node("Transpose", "W", "T"), node("MatMul", "x T", "p"), node("Sigmoid", "p", "a")]
    nodes += [node("Gemm", "a V", "z"), node("Sigmoid", "z", "s"), node("Identity", "s", "y")]
    return model(nodes, tensors, kind=10)


def _load(path: Path) -> None:
    network, parameters = from_onnx(path)
    check_parameters(network, parameters)
    assert all(np.isfinite(W).all() for W, _ in parameters)


ONNX = Target(
    partial(read_file, _load, "model.onnx"),
    seeds=(_gemm(), _matmul(), _layers()),
    words=(
        *words("Gemm MatMul Add Sigmoid Identity Constant Transpose transB alpha perm value location"),
        *(b"\x70\x01", b"\x6a\x08", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    ),
)
