"""ONNX graphs as steps: node by node from the one input to the one output, and nothing beside."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import frexp
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from ..networks.cost import MOST_PARAMETERS
from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..networks.files import read_whole
from ..networks.pickles import refuse_pickle, refuse_pickled
from .model import Affine, Elementwise, Model, Step, model_of, refused
from .onnx_tensors import STORED, array_of, shown

ACTIVATIONS = {
    "sigmoid": "Sigmoid",
}
"""What ONNX calls each activation of `networks.rules`, without attributes."""

SIZE_LIMIT = 8 * MOST_PARAMETERS + 2**20
"""Bytes of a file."""

OLDEST_OPSET = 7
"""From here on Add and Gemm stretch operands as NumPy does, and have no attributes that say how."""

DEFAULT_DOMAINS = ("", "ai.onnx")


def read_proto(path: str | Path) -> Any:
    """The model in a file; what it refers to in other files is left there."""
    refuse_pickle(path)
    content = read_whole(path, SIZE_LIMIT, "an ONNX model")
    if not content:
        raise InvalidInput(f"{path} is empty: expected an ONNX model")
    try:
        return onnx.load_model_from_string(content)
    except DecodeError as error:
        refuse_pickled(path, content, "ONNX file")
        raise InvalidInput(f"{path} is no intact ONNX file: {error}") from None


def read_graph(proto: Any) -> Model:
    """The specification of a model; see `crossgrad.from_onnx`."""
    if not isinstance(proto, onnx.ModelProto):
        raise InvalidInput(f"the model is a {type(proto).__name__}: expected a path or an onnx.ModelProto")
    _require_plain(proto)
    walk = _Walk(proto.graph)
    model = model_of(walk.steps())
    _require_fitting_input(walk.entry, model)
    return model


def _require_plain(proto: Any) -> None:
    versions = {opset.domain: opset.version for opset in proto.opset_import}
    version = next((versions[domain] for domain in DEFAULT_DOMAINS if domain in versions), 0)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        raise InvalidInput(
            f"the model has version {version} of ONNX's operators: expected {OLDEST_OPSET} to {newest}, "
            "which the installed onnx knows; onnx.version_converter.convert_version changes it"
        )
    if any(function.domain in DEFAULT_DOMAINS for function in proto.functions):
        raise InvalidInput(
            "the model defines ONNX's own operators anew: "
            "put them in their places with onnx.inliner.inline_local_functions"
        )
    if proto.graph.sparse_initializer:
        raise InvalidInput("the model has sparse tensors: expected dense ones")


@dataclass(frozen=True)
class _Flow:
    """The value on its way from the input; `stage` counts the nodes behind it."""

    stage: int


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the model, under the name that it was given first."""

    name: str
    proto: Any
    turned: bool = False

    @property
    def array(self) -> Array:
        found = array_of(self.proto)
        return found.T if self.turned else found


class _Walk:
    """Follows the nodes, which ONNX lists in an order in which they can run."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._known: dict[str, _Flow | _Tensor] = {}
        for tensor in graph.initializer:
            self._name(tensor.name, _Tensor(tensor.name, tensor))
        entries = [entry for entry in graph.input if entry.name not in self._known]
        if len(entries) != 1 or len(graph.output) != 1:
            raise InvalidInput(
                f"the model has {len(entries)} inputs and {len(graph.output)} outputs: expected one of each"
            )
        self.entry = entries[0]
        self._name(self.entry.name, _Flow(0))
        self._steps: list[Step] = []
        self._stage = 0

    def steps(self) -> list[Step]:
        """The steps along the chain; refuses what is not on it."""
        handlers: dict[str, Callable[[str, Any, list[Any]], _Flow | _Tensor]] = {
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "Add": self._add,
            "Identity": self._identity,
            "Transpose": self._transpose,
            "Constant": self._constant,
            **dict.fromkeys(ACTIVATIONS.values(), self._activation),
        }
        for index, node in enumerate(self._graph.node):
            where = f"{shown(node.name) or f'node {index}'}: {shown(node.op_type)}"
            if node.domain not in DEFAULT_DOMAINS or node.op_type not in handlers:
                domain = "" if node.domain in DEFAULT_DOMAINS else f" of {shown(node.domain)}"
                raise refused(f"{where}{domain}", "is no part of a specification")
            operands = [self._operand(where, name) for name in node.input]
            if len(node.output) != 1:
                raise refused(where, f"has {len(node.output)} outputs")
            self._name(node.output[0], handlers[node.op_type](where, node, operands))
        if self._known.get(self._graph.output[0].name) != _Flow(self._stage):
            raise InvalidInput(f"output {shown(self._graph.output[0].name)} is not what the last node makes")
        return self._steps

    def _name(self, name: str, thing: _Flow | _Tensor) -> None:
        if not name or name in self._known:
            raise InvalidInput(f"the model gives the name {shown(name)!r} twice, or none at all")
        self._known[name] = thing

    def _operand(self, where: str, name: str) -> _Flow | _Tensor | None:
        if not name:
            return None
        if name not in self._known:
            raise InvalidInput(f"{where} takes {shown(name)}, which nothing before it makes")
        found = self._known[name]
        if isinstance(found, _Flow) and found.stage != self._stage:
            raise refused(where, "makes the way of the data branch")
        return found

    def _next(self, step: Step | None = None) -> _Flow:
        self._steps += [] if step is None else [step]
        self._stage += 1
        return _Flow(self._stage)

    def _gemm(self, where: str, node: Any, operands: list[Any]) -> _Flow:
        given = _attributes(where, node, alpha=1.0, beta=1.0, transA=0, transB=0)
        match operands:
            case [_Flow(), _Tensor() as B] | [_Flow(), _Tensor() as B, None]:
                C = None
            case [_Flow(), _Tensor() as B, _Tensor() as C]:
                pass
            case _:
                raise refused(where, "is no product of the data with a tensor of the model")
        if given["transA"]:
            raise refused(where, "turns the data (transA)")
        W = B if given["transB"] else replace(B, turned=not B.turned)
        C = C if given["beta"] else None
        b = None if C is None else _scaled(where, "beta", _row(C.array), given["beta"])
        keys = (B.name,) if C is None else (B.name, C.name)
        return self._next(Affine(where, _scaled(where, "alpha", W.array, given["alpha"]), b, keys))

    def _matmul(self, where: str, node: Any, operands: list[Any]) -> _Flow:
        _attributes(where, node)
        match operands:
            case [_Flow(), _Tensor() as B]:
                return self._next(Affine(where, B.array.T, None, (B.name,)))
        raise refused(where, "is no product of the data with a tensor of the model")

    def _add(self, where: str, node: Any, operands: list[Any]) -> _Flow:
        _attributes(where, node)
        last = self._steps[-1] if self._steps else None
        match operands:
            case [_Flow(), _Tensor() as b] | [_Tensor() as b, _Flow()]:
                if isinstance(last, Affine) and last.b is None:
                    self._steps.pop()
                    return self._next(replace(last, b=_row(b.array), keys=(*last.keys, b.name)))
        raise refused(where, "adds something else than the bias of a dense layer")

    def _activation(self, where: str, node: Any, operands: list[Any]) -> _Flow:
        _attributes(where, node)
        if len(operands) != 1 or not isinstance(operands[0], _Flow):
            raise refused(where, "is no function of the data")
        name = next(name for name, operator in ACTIVATIONS.items() if operator == node.op_type)
        return self._next(Elementwise(where, name))

    def _identity(self, where: str, node: Any, operands: list[Any]) -> _Flow | _Tensor:
        _attributes(where, node)
        if len(operands) != 1 or operands[0] is None:
            raise refused(where, f"has {len(operands)} operands")
        found: _Flow | _Tensor = operands[0]
        return self._next() if isinstance(found, _Flow) else found

    def _transpose(self, where: str, node: Any, operands: list[Any]) -> _Tensor:
        match operands:
            case [_Tensor() as found]:
                if len(found.proto.dims) == 2 and _attributes(where, node, perm=[1, 0])["perm"] == [1, 0]:
                    return replace(found, turned=not found.turned)
        raise refused(where, "turns something else than a matrix of the model")

    def _constant(self, where: str, node: Any, operands: list[Any]) -> _Tensor:
        value = _attributes(where, node, value=onnx.TensorProto())["value"]
        if operands or not isinstance(value, onnx.TensorProto):
            raise refused(where, "is no tensor")
        return _Tensor(node.output[0], value)


def _attributes(where: str, node: Any, **defaults: Any) -> dict[str, Any]:
    """A node's attributes, by name; refuses those that are not known."""
    given = dict(defaults)
    for attribute in node.attribute:
        if attribute.name not in defaults or attribute.ref_attr_name:
            raise refused(where, f"has the attribute {shown(attribute.name)}")
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise InvalidInput(
                f"{where}: attribute {shown(attribute.name)} cannot be read: {error}"
            ) from None
        if type(value) is not type(defaults[attribute.name]):
            raise InvalidInput(f"{where}: attribute {shown(attribute.name)} is of the wrong type")
        given[attribute.name] = value
    return given


def _row(array: Array) -> Array:
    """A bias ``(1, O)`` as ``(O,)``: they stretch over the batch alike."""
    return array[0] if array.ndim == 2 and len(array) == 1 else array


def _scaled(where: str, name: str, array: Array, factor: float) -> Array:
    """``factor * array``, where that rounds nothing: by a power of two that leaves every number normal."""
    if factor == 1:
        return array
    with np.errstate(all="ignore"):
        scaled: Array = (array * array.dtype.type(factor)).astype(array.dtype)
        exact = abs(frexp(factor)[0]) == 0.5 and np.array_equal(scaled / array.dtype.type(factor), array)
    if not exact:
        raise refused(
            where, f"has {name} = {factor:g}, which would round the numbers that it is multiplied into"
        )
    return scaled


def _require_fitting_input(entry: Any, model: Model) -> None:
    declared = entry.type.tensor_type
    name = model.parameters[0].W.dtype.name
    if declared.elem_type not in STORED or STORED[declared.elem_type][0] != name:
        raise InvalidInput(f"input {shown(entry.name)} is of another type than the parameters, {name}")
    expected, shape = model.network.inputs, [dimension.dim_value for dimension in declared.shape.dim]
    if declared.HasField("shape") and (len(shape) != 2 or shape[1] not in (0, expected)):
        raise InvalidInput(
            f"input {shown(entry.name)} has the shape {shown(str(shape))}: expected (B, {expected})"
        )
