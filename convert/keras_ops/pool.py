"""Pools and means over places as Keras layers."""

from __future__ import annotations

from typing import Any

from keras import layers

from convert.keras_ops.border import Border, Window, border, window, with_zeros
from convert.keras_walk import Value, Walk, image, layer_name, only, unknown
from convert.onnx_graph import Node


def max_pool(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """MaxPooling2D, with ZeroPadding2D before it where it has pads.

    Pads: where they are TensorFlow's "same", or where the input can't be negative (behind Relu, Sigmoid,
    Clip from 0, and pools, sums, products and joins of such): zeros then can't win, and no constant of
    -3.4e38 enters the file. ceil_mode only where it adds no window; no dilation.
    """
    value, over, around = _windowed(node, values)
    if over.same == around and any(around) and not value.nonnegative:
        return _pool(layers.MaxPooling2D, node, value, over, value.tensor, padding="same")
    if any(around) and not value.nonnegative:
        raise unknown(node, f"its input may be negative, so zeros may win in its pads {list(around)}; {_BEFORE}")
    return _pool(layers.MaxPooling2D, node, value, over, with_zeros(node, value, around))


_BEFORE = "put a ReLU in front, or pad with zeros before it if that is what is meant"


def average_pool(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """AveragePooling2D, with ZeroPadding2D before it where pads count.

    Pads that count (count_include_pad), or that are TensorFlow's "same" and don't. ceil_mode only where it
    adds no window; no dilation.
    """
    value, over, around = _windowed(node, values)
    if not any(around) or node.attributes.get("count_include_pad", 0):
        return _pool(layers.AveragePooling2D, node, value, over, with_zeros(node, value, around))
    if over.same != around:
        raise unknown(node, f"its pads {list(around)} don't count and are not TensorFlow's own; set count_include_pad")
    return _pool(layers.AveragePooling2D, node, value, over, value.tensor, padding="same")


def _windowed(node: Node, values: list[Value | None]) -> tuple[Value, Window, Border]:
    value = image(node, values)
    over = window(node, value, tuple(node.attributes["kernel_shape"]))
    around = border(node, over)
    if over.dilations != (1, 1):
        raise unknown(node, f"a pool with dilations {list(over.dilations)} has no layer")
    if node.attributes.get("ceil_mode", 0) and over.left_over(around):
        raise unknown(node, "ceil_mode adds a window here, which no layer does; take it off or choose another size")
    return value, over, around


def _pool(kind: Any, node: Node, value: Value, over: Window, tensor: Any, padding: str = "valid") -> Value:
    layer = kind(over.kernel, strides=over.strides, padding=padding, name=layer_name(node))
    return value.like(layer(tensor), nonnegative=value.nonnegative)


def global_mean(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """GlobalAveragePooling2D of an image, GlobalAveragePooling1D of rows [N, places, C].

    A mean over all places and over nothing else.
    """
    value = only(node, values)
    keep = bool(node.attributes.get("keepdims", 1))
    rank = len(value.tensor.shape)
    axes = [2, 3] if node.op == "GlobalAveragePool" else sorted(int(axis) % rank for axis in _axes(walk, node))
    if (rank, axes, value.channels_first) == (4, [2, 3], True):
        pooled = layers.GlobalAveragePooling2D(keepdims=keep, name=layer_name(node))(value.tensor)
        return Value(pooled, channels_first=keep, nonnegative=value.nonnegative)
    if (rank, axes, value.rows) == (3, [1], 1):
        pooled = layers.GlobalAveragePooling1D(keepdims=keep, name=layer_name(node))(value.tensor)
        return Value(pooled, nonnegative=value.nonnegative)
    raise unknown(node, f"a mean over axes {axes} of {tuple(value.tensor.shape)} is not a mean over places")


def _axes(walk: Walk, node: Node) -> Any:
    """Return the axes: an attribute before opset 18, then an input."""
    return node.attributes["axes"] if "axes" in node.attributes else walk.constant(node, 1)
