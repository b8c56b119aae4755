"""Sums, products and joins as Keras layers: of two tensors, or of a tensor and stored numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from convert.keras_walk import IMAGE_RANK, Value, Walk, layer_name, only, unknown
from convert.onnx_graph import Node


def arithmetic(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Add, Subtract or Multiply of two tensors; Rescaling where one side is stored.

    Two tensors: of the same rank and layout, sizes of 1 stretch (squeeze and excitation); not Div. Stored
    numbers: one, or one a channel (of Mul also one a place: then a function, which a H5 can't load); a
    stored side on the left not of Div.
    """
    left, right = values
    if left is not None and right is not None:
        return _of_two(node, left, right)
    if left is not None:
        return _with_constant(node, left, walk.constant(node, 1))
    value, other = only(node, values, 1), walk.constant(node, 0)
    if node.op == "Div":
        raise unknown(node, "a constant stands on its left")
    if node.op == "Sub":
        return _rescale(node, value, np.float64(-1.0), other.astype(np.float64))
    return _with_constant(node, value, other)


def concat(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Concatenate, along channels, height or width of images, or along the last axis.

    All parts are computed, none stored; not along the batch.
    """
    found = [only(node, values, index) for index in range(len(values))]
    first, rank = found[0], len(found[0].tensor.shape)
    axis = node.attributes["axis"] % rank
    if axis == 0 or any(one.channels_first != first.channels_first or one.rows > 1 for one in found):
        raise unknown(node, f"axis {axis}: its parts are laid out differently, or it joins the batch")
    places = {1: rank - 1, 2: 1, 3: 2} if first.channels_first else {}
    joined = layers.Concatenate(axis=places.get(axis, axis), name=layer_name(node))([one.tensor for one in found])
    return first.like(joined, nonnegative=all(one.nonnegative for one in found))


def _of_two(node: Node, left: Value, right: Value) -> Value:
    kind = {"Add": layers.Add, "Mul": layers.Multiply, "Sub": layers.Subtract}.get(node.op)
    if kind is None or left.channels_first != right.channels_first or left.rows != right.rows:
        raise unknown(node, "its two tensors are laid out differently, or there is no such layer")
    pairs = zip(left.shape, right.shape, strict=False)
    if len(left.shape) != len(right.shape) or any(one != other and 1 not in (one, other) for one, other in pairs):
        raise unknown(node, f"{list(left.shape)} and {list(right.shape)} don't stretch to each other")
    tensor = kind(name=layer_name(node))([left.tensor, right.tensor])
    return left.like(tensor, nonnegative=node.op != "Sub" and left.nonnegative and right.nonnegative)


def _with_constant(node: Node, value: Value, other: NDArray[Any]) -> Value:
    number = other.astype(np.float64)
    if other.size == 1 or _by_channel(value, other) is not None:
        pairs = {"Add": (1.0, number), "Sub": (1.0, -number), "Mul": (number, 0.0), "Div": (1.0, -0.0)}
        scale, offset = pairs[node.op]
        return _rescale(node, value, np.divide(1.0, number) if node.op == "Div" else np.asarray(scale), offset)
    if node.op != "Mul" or not value.channels_first or other.ndim != IMAGE_RANK:
        raise unknown(node, f"a constant of shape {other.shape} is neither one number nor one a channel")
    factor = np.ascontiguousarray(other.transpose(0, 2, 3, 1))
    return value.like(keras.ops.multiply(value.tensor, factor))


def _by_channel(value: Value, other: NDArray[Any]) -> NDArray[Any] | None:
    """Return stored numbers as [C], C in Keras's last axis; None if they differ from place to place."""
    rank = len(value.shape) + 1
    if other.ndim > rank or value.rows > 1:
        return None
    sizes = (1,) * (rank - other.ndim) + other.shape
    axis = 1 if value.channels_first else rank - 1
    alone = sizes[axis] == value.tensor.shape[-1] and int(np.prod(sizes)) == sizes[axis]
    return other.reshape(-1) if alone else None


def _rescale(node: Node, value: Value, scale: Any, offset: Any) -> Value:
    """Return scale * value + offset as a layer; each is one number or one a channel."""
    known = [np.asarray(one) for one in (scale, offset)]
    vectors = [one if one.size == 1 else _by_channel(value, one) for one in known]
    if any(one is None for one in vectors):
        raise unknown(node, f"a constant of shape {max(one.shape for one in known)} is not one a channel")
    numbers = [one.ravel().tolist() if one.size > 1 else float(one.reshape(())) for one in vectors if one is not None]
    tensor = layers.Rescaling(*numbers, name=layer_name(node))(value.tensor)
    kept = all(bool((one >= 0).all()) for one in known)
    return value.like(tensor, nonnegative=value.nonnegative and kept)
