"""An ONNX graph as plain Python, nodes with attributes and constants as arrays: whoever walks a graph reads it here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference
from numpy.typing import NDArray
from onnx import numpy_helper

SMALL = 1024  # numbers of a constant that shape inference may need to see: targets of Reshape, axes, pads


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed."""

    input: str
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    input_shape: tuple[int, ...] = ()  # of the input, ONNX's order; 0 where a size is not fixed
    opset: int = 18
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of tensors, as far as they are inferred


def read_graph(path: Path) -> Graph:
    """Read a graph of one input; `Constant` nodes become constants, functions the nodes that they stand for.

    Nodes without a name are named after their operation and place, and a name that stands twice gets a number.
    """
    model = load_plain(path)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: dict[str, Node] = {}
    for index, proto in enumerate(model.graph.node):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if proto.op_type == "Constant":
            constants[proto.output[0]] = _stored(attributes)
        else:
            name = _unique(proto.name or f"{proto.op_type}_{index}", nodes)
            nodes[plain_name(name)] = Node(name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes)
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"a graph of one input is needed, {path.name} has {[value.name for value in inputs]}")
    return Graph(
        inputs[0].name,
        tuple(value.name for value in model.graph.output),
        tuple(nodes.values()),
        constants,
        _sizes(inputs[0]),
        next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1),
        _infer_shapes(model),
    )


def load_plain(path: Path) -> onnx.ModelProto:
    """Load a file, functions written out: torch's exporter leaves some where it did not optimise."""
    model = onnx.load(str(path))
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def plain_name(name: str) -> str:
    """Return a node's name in the characters that Keras and TensorFlow allow: without slashes and colons."""
    return re.sub(r"[^A-Za-z0-9_.\-]", ".", name)


def zeros_only(values: NDArray[Any]) -> bool:
    """Whether an array holds nothing but zeros."""
    return not np.any(values)


def _unique(name: str, taken: dict[str, Node]) -> str:
    candidate, number = name, 0
    while plain_name(candidate) in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _stored(attributes: dict[str, Any]) -> NDArray[Any]:
    """Return what a Constant node holds: a tensor, or numbers written as attributes."""
    if "value" in attributes:
        return np.asarray(numpy_helper.to_array(attributes["value"]))
    [(kind, value)] = attributes.items()
    return np.asarray(value, np.float32 if "float" in kind else np.int64)


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)


def _infer_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that onnx infers, on a copy of the graph without its weights."""
    stored = model.graph.initializer
    large = {tensor.name: tensor for tensor in stored if int(np.prod(tensor.dims)) > SMALL}
    inputs = [onnx.helper.make_tensor_value_info(name, one.data_type, list(one.dims)) for name, one in large.items()]
    given = [value for value in model.graph.input if value.name not in large]
    small = [tensor for tensor in stored if tensor.name not in large]
    graph = onnx.helper.make_graph(model.graph.node, "shapes", [*given, *inputs], model.graph.output, small)
    light = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except onnx.shape_inference.InferenceError:  # shapes then only lack in what an error says
        return {}
    return {value.name: _sizes(value) for value in [*inferred.value_info, *inferred.input, *inferred.output]}
