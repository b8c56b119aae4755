"""Convolutions, pooling and the borders around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Node, zeros_only
from convert.formats.ops.builder import Border
from convert.formats.ops.walk import Value, Walk, image, layer_name, only, shared, unknown

# --- border ---
# Where a window may leave the image: ONNX's pads, auto_pad and ceil_mode as numbers of rows and columns.
#
# TensorFlow's own "same" puts the odd row below and right, PyTorch pads evenly: with stride 2 these
# differ, so borders are always numbers here.

NOTHING: Border = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel walks over an image."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    size: tuple[int, int]  # of the image: rows, columns

    @property
    def same(self) -> Border:
        """What TensorFlow's "same" and ONNX's SAME_UPPER add: the odd one below and right."""
        top, bottom = self._same(0)
        left, right = self._same(1)
        return top, left, bottom, right

    def _same(self, axis: int) -> tuple[int, int]:
        stride, reach = self.strides[axis], (self.kernel[axis] - 1) * self.dilations[axis] + 1
        total = max((-(-self.size[axis] // stride) - 1) * stride + reach - self.size[axis], 0)
        return total // 2, total - total // 2

    def left_over(self, border: Border) -> bool:
        """Whether rows or columns are left behind the last whole step: ceil_mode would add a window."""
        sums = border[0] + border[2], border[1] + border[3]
        reach = [(kernel - 1) * step + 1 for kernel, step in zip(self.kernel, self.dilations, strict=True)]
        steps = zip(self.size, sums, reach, self.strides, strict=True)
        return any((size + added - wide) % stride for size, added, wide, stride in steps)


def window(node: Node, value: Value, kernel: tuple[int, ...]) -> Window:
    """Return the window of a convolution or a pool over an image; ConversionError if it is not 2-D."""
    if len(kernel) != 2:
        raise unknown(node, f"its kernel {list(kernel)} is not one of rows and columns")
    strides, dilations = (tuple(node.attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    rows, columns = value.shape[1:]
    return Window((kernel[0], kernel[1]), (strides[0], strides[1]), (dilations[0], dilations[1]), (rows, columns))


def border(node: Node, over: Window) -> Border:
    """Return the rows and columns that a node adds around its image, auto_pad written out."""
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "NOTSET":
        top, left, bottom, right = node.attributes.get("pads", NOTHING)
        return top, left, bottom, right
    top, left, bottom, right = over.same
    found = {"VALID": NOTHING, "SAME_UPPER": over.same, "SAME_LOWER": (bottom, right, top, left)}
    if auto not in found:
        raise unknown(node, f"auto_pad {auto} is unknown")
    return found[auto]


def with_zeros(walk: Walk, node: Node, value: Value, around: Border) -> Any:
    """Return the image with zeros around it, as a layer of its own where there are any."""
    if not any(around):
        return value.tensor
    if min(around) < 0:
        raise unknown(node, f"its pads {list(around)} cut off the border")
    return walk.make.border(value.tensor, around, f"{layer_name(node)}.pad")


# --- convolve ---
# Convolutions and the zeros around them.


def conv(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Conv2D, with ZeroPadding2D before it where it has pads; DepthwiseConv2D where every channel is a group.

    TFLite: CONV_2D or DEPTHWISE_CONV_2D, with PAD before it where zeros are not those of "same".

    2-D only, weights stored. auto_pad is written out as the zeros that it means. A bias of zeros is no bias.
    A depthwise one with unequal strides, or with both stride and dilation, stays a Conv2D in groups.
    """
    value, weight, bias = image(node, values), walk.constant(node, 1), walk.given(node, 2)
    over, groups = window(node, value, weight.shape[2:]), node.attributes.get("group", 1)
    if weight.shape[1] * groups != value.shape[0]:
        raise unknown(node, f"{groups} groups of weights {list(weight.shape)} don't fit {value.shape[0]} channels")
    given = None if bias is None or zeros_only(bias) else bias
    padded, name, key = with_zeros(walk, node, value, border(node, over)), layer_name(node), shared(node)
    steps: Any = {"strides": over.strides, "dilations": over.dilations}
    if _is_depthwise(groups, weight, over):
        kernel = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[2:]).transpose(2, 3, 0, 1)
        return Value(walk.make.depthwise(padded, kernel, given, name, key, **steps), channels_first=True)
    kernel = weight.transpose(2, 3, 1, 0)
    return Value(walk.make.conv(padded, kernel, given, name, key, groups=groups, **steps), channels_first=True)


def _is_depthwise(groups: int, weight: NDArray[Any], over: Window) -> bool:
    even = over.strides[0] == over.strides[1] and 1 in (over.strides[0], max(over.dilations))
    return groups > 1 and weight.shape[1] == 1 and even


def pad(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ZeroPadding2D.

    TFLite: PAD, or part of the convolution behind it.

    Zeros around height and width, nothing else, and their number stored.
    """
    value = image(node, values)
    before, after = _pads(walk, node)
    fill = walk.given(node, 2)
    plain = node.attributes.get("mode", b"constant") == b"constant" and (fill is None or zeros_only(fill))
    if not plain or any((*before[:2], *after[:2])) or min(*before, *after) < 0:
        raise unknown(node, "only zeros around height and width can be padded")
    padded = walk.make.border(value.tensor, (before[2], before[3], after[2], after[3]), layer_name(node))
    return value.like(padded, nonnegative=value.nonnegative)


def _pads(walk: Walk, node: Node) -> tuple[list[int], list[int]]:
    """Return what is added before and after each of the four axes."""
    pads, axes = walk.constant(node, 1), walk.given(node, 3)
    found = np.zeros((2, 4), np.int64)
    found[:, slice(None) if axes is None else axes] = pads.reshape(2, -1)
    return [int(size) for size in found[0]], [int(size) for size in found[1]]


# --- pool ---
# Pools and means over places.


def max_pool(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """MaxPooling2D, with ZeroPadding2D before it where it has pads.

    TFLite: MAX_POOL_2D, with PAD before it.

    Pads: where they are TensorFlow's "same", or where the input can't be negative (behind Relu, Sigmoid,
    Clip from 0, and pools, sums, products and joins of such): zeros then can't win, and no constant of
    -3.4e38 enters the file. ceil_mode only where it adds no window; no dilation.
    """
    value, over, around = _windowed(node, values)
    if over.same == around and any(around) and not value.nonnegative:
        return _pool(walk, "max", node, value, over, value.tensor, same=True)
    if any(around) and not value.nonnegative:
        raise unknown(node, f"its input may be negative, so zeros may win in its pads {list(around)}; {_BEFORE}")
    return _pool(walk, "max", node, value, over, with_zeros(walk, node, value, around))


_BEFORE = "put a ReLU in front, or pad with zeros before it if that is what is meant"


def average_pool(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """AveragePooling2D, with ZeroPadding2D before it where pads count.

    TFLite: AVERAGE_POOL_2D, with PAD before it where pads count.

    Pads that count (count_include_pad), or that are TensorFlow's "same" and don't. ceil_mode only where it
    adds no window; no dilation.
    """
    value, over, around = _windowed(node, values)
    if not any(around) or node.attributes.get("count_include_pad", 0):
        return _pool(walk, "average", node, value, over, with_zeros(walk, node, value, around))
    if over.same != around:
        raise unknown(node, f"its pads {list(around)} don't count and are not TensorFlow's own; set count_include_pad")
    return _pool(walk, "average", node, value, over, value.tensor, same=True)


def _windowed(node: Node, values: list[Value | None]) -> tuple[Value, Window, Border]:
    value = image(node, values)
    over = window(node, value, tuple(node.attributes["kernel_shape"]))
    around = border(node, over)
    if over.dilations != (1, 1):
        raise unknown(node, f"a pool with dilations {list(over.dilations)} has no layer")
    if node.attributes.get("ceil_mode", 0) and over.left_over(around):
        raise unknown(node, "ceil_mode adds a window here, which no layer does; take it off or choose another size")
    return value, over, around


def _pool(
    walk: Walk,
    kind: Literal["max", "average"],
    node: Node,
    value: Value,
    over: Window,
    tensor: Any,
    *,
    same: bool = False,
) -> Value:
    made = walk.make.pool(tensor, kind, over.kernel, over.strides, layer_name(node), same=same)
    return value.like(made, nonnegative=value.nonnegative)


def global_mean(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """GlobalAveragePooling2D of an image, GlobalAveragePooling1D of rows [N, places, C].

    TFLite: MEAN.

    A mean over all places and over nothing else.
    """
    value = only(node, values)
    keep = bool(node.attributes.get("keepdims", 1))
    rank = len(value.tensor.shape)
    axes = [2, 3] if node.op == "GlobalAveragePool" else sorted(int(axis) % rank for axis in _axes(walk, node))
    if (rank, axes, value.channels_first) == (4, [2, 3], True):
        pooled = walk.make.mean(value.tensor, layer_name(node), keep=keep)
        return Value(pooled, channels_first=keep, nonnegative=value.nonnegative)
    if (rank, axes, value.rows) == (3, [1], 1):
        pooled = walk.make.mean(value.tensor, layer_name(node), keep=keep)
        return Value(pooled, nonnegative=value.nonnegative)
    raise unknown(node, f"a mean over axes {axes} of {tuple(value.tensor.shape)} is not a mean over places")


def _axes(walk: Walk, node: Node) -> Any:
    """Return the axes: an attribute before opset 18, then an input."""
    return node.attributes["axes"] if "axes" in node.attributes else walk.constant(node, 1)
