"""An ONNX graph as plain Python: nodes with their attributes, constants as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


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


def read_graph(path: Path) -> Graph:
    """Read a graph of one input; `Constant` nodes become constants."""
    model = onnx.load(str(path))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for proto in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if proto.op_type == "Constant":
            constants[proto.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            nodes.append(Node(proto.name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes))
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"a graph of one input is needed, {path.name} has {inputs}")
    return Graph(inputs[0], tuple(value.name for value in model.graph.output), tuple(nodes), constants)


def zeros_only(values: NDArray[Any]) -> bool:
    """Whether an array holds nothing but zeros."""
    return not np.any(values)
