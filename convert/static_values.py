"""What a graph computes from stored numbers and from shapes alone, computed before any layer is made.

Exporters write a bias of zeros as Expand and Cast, and the target of a Reshape as Shape, Gather and Concat.
The batch stands in such a shape as BATCH, and may be moved, but not calculated with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from convert.onnx_graph import Node

BATCH = 2**31 - 1  # stands for the batch; larger than any real size
MOVES = ("Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze")
# as a float the batch would pass for a number
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT32, onnx.TensorProto.UINT64)
LARGEST_IR = 10


def shape_of(node: Node, sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Return what a Shape node gives for [N, *sizes]."""
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(sizes) + 1)
    return np.array([BATCH, *sizes], np.int64)[start:end]


def is_static(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether all that a node reads is known, and the batch, if it is among it, is only moved."""
    read = [name for name in node.inputs[: 1 if node.op == "CastLike" else None] if name]
    if not read or len(node.outputs) != 1 or not all(name in constants for name in read):
        return False
    moves = node.op in MOVES and not (node.op == "Cast" and node.attributes["to"] not in INTEGERS)
    return moves or not reads_batch(node, constants)


def reads_batch(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether the batch is among what a node reads."""
    known = [constants[name] for name in node.inputs if name in constants]
    return any(array.dtype.kind in "iu" and BATCH in array for array in known)


def evaluate(node: Node, constants: dict[str, NDArray[Any]], opset: int) -> NDArray[Any]:
    """Return what a static node gives, by ONNX's own reference."""
    if node.op == "CastLike":  # like a tensor of the film's: all of these are float32
        return np.asarray(constants[node.inputs[0]], np.float32)
    read = {name: constants[name] for name in node.inputs if name}
    made = onnx.helper.make_node(node.op, node.inputs, node.outputs, **node.attributes)
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in read.items()
    ]
    outputs = [onnx.ValueInfoProto(name=node.outputs[0])]
    graph = onnx.helper.make_graph([made], "static", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=LARGEST_IR)
    return np.asarray(ReferenceEvaluator(model).run(None, read)[0])
