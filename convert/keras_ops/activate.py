"""Functions of each number by itself as Keras layers; each says whether it can be negative."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import layers

from convert.keras_walk import Value, Walk, layer_name, only, unknown
from convert.onnx_graph import Node

SIXTH = 1 / 6  # ONNX and PyTorch write it in float32: 0.1666666...


def relu(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU."""
    value = only(node, values)
    return value.like(layers.ReLU(name=layer_name(node))(value.tensor), nonnegative=True)


def sigmoid(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("sigmoid")."""
    return _activation("sigmoid", node, only(node, values), nonnegative=True)


def tanh(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("tanh")."""
    return _activation("tanh", node, only(node, values), nonnegative=False)


def hard_swish(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("hard_silu")."""
    return _activation("hard_silu", node, only(node, values), nonnegative=False)


def hard_sigmoid(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("hard_sigmoid") for alpha 1/6 and beta 1/2; else Rescaling and ReLU(max_value=1)."""
    value, name = only(node, values), layer_name(node)
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)  # ONNX's own defaults
    if math.isclose(alpha, SIXTH, rel_tol=1e-6) and beta == 0.5:
        return _activation("hard_sigmoid", node, value, nonnegative=True)
    line = layers.Rescaling(alpha, beta, name=f"{name}.line")(value.tensor)
    return value.like(layers.ReLU(max_value=1.0, name=name)(line), nonnegative=True)


def leaky_relu(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """LeakyReLU."""
    value, slope = only(node, values), node.attributes.get("alpha", 0.01)
    return value.like(layers.LeakyReLU(negative_slope=slope, name=layer_name(node))(value.tensor))


def elu(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """ELU."""
    value, alpha = only(node, values), node.attributes.get("alpha", 1.0)
    return value.like(layers.ELU(alpha=alpha, name=layer_name(node))(value.tensor))


def clip(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU, with max_value where there is a maximum; shifted by Rescaling where the minimum is not 0.

    Bounds stored, the minimum below the maximum. Without a minimum it is mirrored.
    """
    value, name = only(node, values), layer_name(node)
    low, high = _bound(walk, node, 1, -math.inf), _bound(walk, node, 2, math.inf)
    if not low < high or math.inf in (low, -high) or (low, high) == (-math.inf, math.inf):
        raise unknown(node, f"from {low:g} to {high:g} is no range")
    sign, shift = (1.0, low) if low > -math.inf else (-1.0, high)
    most = high - low if math.isfinite(high - low) else None
    tensor = value.tensor
    if (sign, shift) == (1.0, 0.0):
        return value.like(layers.ReLU(max_value=most, name=name)(tensor), nonnegative=True)
    tensor = layers.Rescaling(sign, -sign * shift, name=f"{name}.from_zero")(tensor)
    tensor = layers.ReLU(max_value=most, name=f"{name}.relu")(tensor)
    return value.like(layers.Rescaling(sign, shift, name=name)(tensor), nonnegative=low >= 0)


def softmax(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Softmax, over classes or channels.

    Over the axis that is the last one in Keras: 1 of an image (before opset 13, of one place), the last one otherwise.
    """
    value, rank = only(node, values), len(node_shape := only(node, values).shape) + 1
    axis = node.attributes.get("axis", -1 if walk.opset >= 13 else 1) % rank
    last = 1 if value.channels_first else rank - 1
    if axis != last or value.rows > 1:
        raise unknown(node, f"axis {axis} of {['N', *node_shape]} is not the one of classes")
    if walk.opset < 13 and math.prod(node_shape[axis:]) > 1:  # it then normalises over all axes from that one on
        raise unknown(node, f"before opset 13 it is one softmax over channels and places of {['N', *node_shape]}")
    return value.like(layers.Softmax(name=layer_name(node))(value.tensor), nonnegative=True)


def _activation(kind: str, node: Node, value: Value, *, nonnegative: bool) -> Value:
    return value.like(layers.Activation(kind, name=layer_name(node))(value.tensor), nonnegative=nonnegative)


def _bound(walk: Walk, node: Node, index: int, default: float) -> float:
    """Return a bound of Clip: an attribute before opset 11, then an input."""
    old: Any = node.attributes.get(("min", "max")[index - 1])
    stored = walk.given(node, index)
    found = float(stored.reshape(())) if stored is not None else default if old is None else float(old)
    limit = float(np.finfo(np.float32).max)  # how the old exporter writes "none"
    return math.copysign(math.inf, found) if abs(found) >= limit else found
