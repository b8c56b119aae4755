"""What is carried along while an ONNX graph is walked: layouts, shared layers, and errors that name the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from convert.onnx_graph import Node
from tbconv.contract.errors import ConversionError


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor on the way: the Keras tensor, and how ONNX sees it."""

    tensor: Any
    channels_first: bool = False  # ONNX says [N, C, H, W], the tensor is [N, H, W, C]
    rows: int = 1  # ONNX says [N * rows, C], the tensor is [N, rows, C]


@dataclass(slots=True)
class Walk:
    """The constants, and the layers already made: two nodes that share weights share a layer.

    (Keras pins a BatchNorm to the rank that it first saw, so there the rank is part of the key.)
    """

    constants: dict[str, NDArray[Any]]
    shared: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def constant(self, node: Node, index: int) -> NDArray[Any]:
        """Return input `index` of a node as an array; ConversionError if it is computed or left out."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if not name:
            raise unknown(node, f"its input {index} is left out")
        if name not in self.constants:
            raise unknown(node, f"its input {index} is computed, not stored")
        return self.constants[name]

    def layer(self, node: Node, make: Callable[[], Any], weights: list[NDArray[Any]], on: Any) -> Any:
        """Apply a layer with weights; nodes with the same stored weights get the same layer."""
        key = (node.op, len(on.shape) if node.op == "BatchNormalization" else 0, *node.inputs[1:])
        if key not in self.shared:
            made = make()
            made.build(on.shape)
            made.set_weights(weights)
            self.shared[key] = made
        return self.shared[key](on)


Operation = Callable[[Walk, Node, list[Value | None]], Value]


def unknown(node: Node, why: str) -> ConversionError:
    """Return the error for a known operation that is used in an unknown way."""
    fix = "change the network, or convert with --route onnx2tf"
    return ConversionError(f"node {node.name} ({node.op}) cannot become a Keras layer", why=why, fix=fix)


def only(node: Node, values: list[Value | None], index: int = 0) -> Value:
    """Return input `index` as a tensor; ConversionError if it is a stored constant."""
    value = values[index]
    if value is None:
        raise unknown(node, f"its input {index} is a constant")
    return value


def image(node: Node, values: list[Value | None]) -> Value:
    """Return the first input if it is an image [N, C, H, W] whose padding is written out."""
    value = only(node, values)
    if not value.channels_first:
        raise unknown(node, "its input is not an image [N, C, H, W]")
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise unknown(node, f"auto_pad {node.attributes['auto_pad'].decode()} hides its padding; write pads out")
    return value


def layer_name(node: Node) -> str:
    """Return the node's name as Keras allows it: without slashes."""
    return node.name.replace("/", ".")
