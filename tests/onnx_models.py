"""What the tests of ONNX share: small graphs from x to y."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

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
