"""Small edits of an ONNX model in memory, by the names that nodes and constants have; loads onnx when it is called."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def node(model: Any, name: str) -> Any:
    """Return the node of a name; KeyError where there is none."""
    for one in model.graph.node:
        if one.name == name:
            return one
    raise KeyError(name)


def attribute(model: Any, name: str, key: str) -> Any:
    """Return one attribute of a node."""
    return next(one for one in node(model, name).attribute if one.name == key)


def nodes_of(model: Any, op: str) -> list[Any]:
    """Return all nodes of one operation, in their order."""
    return [one for one in model.graph.node if one.op_type == op]


def constant(model: Any, name: str) -> NDArray[Any]:
    """Return a copy of a stored constant; its name may leave out the leading `network.`."""
    from onnx import numpy_helper

    return np.array(numpy_helper.to_array(_tensor(model, name)))


def put(model: Any, name: str, values: NDArray[Any]) -> None:
    """Store other values of the same dtype under the name of a constant."""
    from onnx import numpy_helper

    tensor = _tensor(model, name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def replace_node(model: Any, name: str, op: str, inputs: list[str] | None = None, **attributes: Any) -> None:
    """Make a node another operation that gives the same output from the same inputs, or from `inputs`."""
    from onnx import helper

    old = node(model, name)
    old.CopyFrom(helper.make_node(op, inputs or list(old.input), list(old.output), name, **attributes))


def add_constant(model: Any, name: str, values: NDArray[Any]) -> str:
    """Store a new constant, and return its name."""
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def insert_before(model: Any, reader: str, op: str, more: tuple[str, ...] = (), **attributes: Any) -> None:
    """Put an operation between a node and its first input.

    Args:
        model: changed in place.
        reader: name of the node that reads the operation's output from then on.
        op: of the new node.
        more: its further inputs.
        attributes: of the new node.
    """
    from onnx import helper

    place = next(index for index, one in enumerate(model.graph.node) if one.name == reader)
    target = model.graph.node[place]
    made = helper.make_node(op, [target.input[0], *more], [f"faulty.{reader}"], f"faulty.{reader}", **attributes)
    target.input[0] = made.output[0]
    model.graph.node.insert(place, made)


def _tensor(model: Any, name: str) -> Any:
    for tensor in model.graph.initializer:
        if tensor.name in (name, f"network.{name}"):
            return tensor
    for one in nodes_of(model, "Constant"):
        if one.output[0] == name:
            return next(found.t for found in one.attribute if found.name == "value")
    raise KeyError(name)
