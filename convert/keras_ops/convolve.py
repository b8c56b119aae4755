"""Convolutions and the zeros around them as Keras layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from convert.keras_ops.border import Window, border, window, with_zeros
from convert.keras_walk import Value, Walk, image, layer_name, unknown
from convert.onnx_graph import Node, zeros_only


def conv(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Conv2D, with ZeroPadding2D before it where it has pads; DepthwiseConv2D where every channel is a group.

    2-D only, weights stored. auto_pad is written out as the zeros that it means. A bias of zeros is no bias.
    A depthwise one with unequal strides, or with both stride and dilation, stays a Conv2D in groups.
    """
    value, weight, bias = image(node, values), walk.constant(node, 1), walk.given(node, 2)
    over, groups = window(node, value, weight.shape[2:]), node.attributes.get("group", 1)
    if weight.shape[1] * groups != value.shape[0]:
        raise unknown(node, f"{groups} groups of weights {list(weight.shape)} don't fit {value.shape[0]} channels")
    biases = [] if bias is None or zeros_only(bias) else [bias]
    padded = with_zeros(node, value, border(node, over))
    form = _depthwise if _is_depthwise(groups, weight, over) else _grouped
    options = {"strides": over.strides, "dilation_rate": over.dilations, "use_bias": bool(biases)}
    made, kernel = form(weight, groups, options | {"name": layer_name(node)})
    return Value(walk.layer(node, made, [kernel, *biases], padded), channels_first=True)


def _is_depthwise(groups: int, weight: NDArray[Any], over: Window) -> bool:
    even = over.strides[0] == over.strides[1] and 1 in (over.strides[0], max(over.dilations))
    return groups > 1 and weight.shape[1] == 1 and even


def _grouped(weight: NDArray[Any], groups: int, options: dict[str, Any]) -> tuple[Any, NDArray[Any]]:
    def make() -> Any:
        return layers.Conv2D(weight.shape[0], weight.shape[2:], groups=groups, **options)

    return make, weight.transpose(2, 3, 1, 0)


def _depthwise(weight: NDArray[Any], groups: int, options: dict[str, Any]) -> tuple[Any, NDArray[Any]]:
    """Return the layer, and its weights [H, W, C, outputs of each channel]."""
    each = weight.shape[0] // groups

    def make() -> Any:
        return layers.DepthwiseConv2D(weight.shape[2:], depth_multiplier=each, **options)

    return make, weight.reshape(groups, each, *weight.shape[2:]).transpose(2, 3, 0, 1)


def pad(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ZeroPadding2D.

    Zeros around height and width, nothing else, and their number stored.
    """
    value = image(node, values)
    before, after = _pads(walk, node)
    fill = walk.given(node, 2)
    plain = node.attributes.get("mode", b"constant") == b"constant" and (fill is None or zeros_only(fill))
    if not plain or any((*before[:2], *after[:2])) or min(*before, *after) < 0:
        raise unknown(node, "only zeros around height and width can be padded")
    around = ((before[2], after[2]), (before[3], after[3]))
    padded = layers.ZeroPadding2D(around, name=layer_name(node))(value.tensor)
    return value.like(padded, nonnegative=value.nonnegative)


def _pads(walk: Walk, node: Node) -> tuple[list[int], list[int]]:
    """Return what is added before and after each of the four axes."""
    pads, axes = walk.constant(node, 1), walk.given(node, 3)
    found = np.zeros((2, 4), np.int64)
    found[:, slice(None) if axes is None else axes] = pads.reshape(2, -1)
    return [int(size) for size in found[0]], [int(size) for size in found[1]]
