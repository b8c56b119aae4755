"""Convolutions, pooling and the borders around them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Node, zeros_only
from convert.formats.ops.builder import Border
from convert.formats.ops.walk import (
    IMAGE_RANK,
    MOST_COPIES,
    Value,
    Walk,
    as_image,
    here,
    image,
    layer_name,
    only,
    shared,
    unknown,
)

# --- border ---
# Where a window may leave the image: ONNX's pads, auto_pad and ceil_mode as numbers of rows and columns.
#
# TensorFlow's own "same" puts the odd row below and right, PyTorch pads evenly: with stride 2 these
# differ, so borders are always numbers here.

NOTHING: Border = (0, 0, 0, 0)
MOST_PADS = 4096  # places that are put at an end of an axis


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

    def beyond(self, border: Border) -> Border:
        """How far the windows of ceil_mode reach beyond a border: those that begin within the image or before it."""
        return 0, 0, self._beyond(0, border[0], border[2]), self._beyond(1, border[1], border[3])

    def _beyond(self, axis: int, before: int, after: int) -> int:
        size, kernel, stride = self.size[axis], self.kernel[axis], self.strides[axis]
        last = -(-(size + before + after - kernel) // stride) * stride  # where the last window begins
        last -= stride if last >= size + before else 0
        return max(last + kernel - size - before - after, 0)

    def shares(self, border: Border, counted: Border) -> NDArray[np.float64]:
        """Return kernel size / numbers that count, by window [1, rows, columns, 1].

        Args:
            border: what windows reach around the image.
            counted: which part of it counts in an average.
        """
        rows, columns = (self._counts(axis, border, counted) for axis in (0, 1))
        counts: NDArray[np.float64] = np.multiply.outer(rows, columns)[None, :, :, None]
        return math.prod(self.kernel) / counts

    def _counts(self, axis: int, border: Border, counted: Border) -> NDArray[np.float64]:
        size, kernel = self.size[axis], self.kernel[axis]
        starts = np.arange(-border[axis], size + border[axis + 2] - kernel + 1, self.strides[axis])
        inside = np.minimum(starts + kernel, size + counted[axis + 2]) - np.maximum(starts, -counted[axis])
        counts: NDArray[np.float64] = inside.astype(np.float64)
        return counts


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


def widened(one: Border, other: Border) -> Border:
    """Return two borders, one around the other."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


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

    TFLite: CONV_2D or DEPTHWISE_CONV_2D, with PAD before it where zeros are not those of "same"; of rows TRANSPOSE and
    RESHAPE around it.

    Of images, or of rows [N, C, places], which are an image of one row; weights stored. auto_pad is written out as the
    zeros that it means. A bias of zeros is no bias. A depthwise one with unequal strides, or with both stride and
    dilation, stays a Conv2D in groups; behind one with both is a MaxPooling2D of one place, since Keras has no such
    convolution.
    """
    if walk.constant(node, 1).ndim == 3:
        return _conv_of_rows(walk, node, only(node, values))
    value, weight, bias = image(walk, node, values), walk.constant(node, 1), walk.given(node, 2)
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


def _conv_of_rows(walk: Walk, node: Node, value: Value) -> Value:
    """Return a convolution of [N, C, places] as that of an image of one row."""
    if len(value.sizes) != 3 or value.rows > 1:
        raise unknown(node, f"{['N', *value.shape]} are not rows [N, C, places]")
    (channels, places), name, make = value.shape, layer_name(node), walk.make
    tensor = make.permute(value.tensor, (0, 2, 1), f"{name}.channels_last")
    row = Value(make.reshape(tensor, (1, places, channels), f"{name}.row"), channels_first=True)
    weight, sides = f"{node.inputs[1]}/row", {"strides": [1], "dilations": [1], "kernel_shape": [1]}
    walk.constants[weight] = walk.constant(node, 1)[:, :, None]
    given = {key: [*sides[key], *one] if key in sides else one for key, one in node.attributes.items()}
    if "pads" in given:
        given["pads"] = [0, given["pads"][0], 0, given["pads"][1]]
    one_row = replace(node, inputs=(node.inputs[0], weight, *node.inputs[2:]), attributes=given)
    made = conv(walk, one_row, [row, None, *(None for _ in node.inputs[2:])])
    flat = make.reshape(made.tensor, tuple(made.tensor.shape[2:]), f"{name}.places")
    return Value(make.permute(flat, (0, 2, 1), f"{name}.channels_first"))


def _is_depthwise(groups: int, weight: NDArray[Any], over: Window) -> bool:
    even = over.strides[0] == over.strides[1] and 1 in (over.strides[0], max(over.dilations))
    return groups > 1 and weight.shape[1] == 1 and even


def pad(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ZeroPadding2D of zeros around height and width; else Concatenate, with Cropping2D of what is repeated.

    TFLite: PAD, or part of the convolution behind it; else CONCATENATION, with STRIDED_SLICE of what is repeated.

    Numbers around any axis but the batch's; or, at most 64 on each side, what lies at the edge, is mirrored there or
    comes round.
    """
    if not walk.constant(node, 1).any():
        return only(node, values, anywhere=True)
    value, mode = only(node, values), node.attributes.get("mode", b"constant").decode()
    before, after = _pads(walk, node, len(value.sizes))
    stored = walk.given(node, 2)
    fill = 0.0 if stored is None else float(stored.reshape(-1)[0]) if stored.size else 0.0
    if not math.isfinite(fill):
        raise unknown(node, f"it pads with {fill:g}, and not for a MaxPool whose windows all hold a place of the image")
    if min(*before, *after) < 0 or before[0] or after[0] or max(*before, *after) > MOST_PADS:
        raise unknown(node, f"its pads {before} and {after} cut off, change the batch, or are more than {MOST_PADS}")
    around = [axis for axis, pair in enumerate(zip(before, after, strict=True)) if any(pair)]
    if (mode, fill) == ("constant", 0) and set(around) <= {2, 3} and len(before) == 4 and value.rows == 1:
        value = as_image(walk, node, value)
        padded = walk.make.border(value.tensor, (before[2], before[3], after[2], after[3]), layer_name(node))
        return value.like(padded, nonnegative=value.nonnegative)
    for axis in around:
        name = layer_name(node) if axis == around[-1] else f"{layer_name(node)}.axis{axis}"
        value = _joined(walk, node, value, axis, (before[axis], after[axis]), name, fill=fill, mode=mode)
    return value


def _joined(
    walk: Walk, node: Node, value: Value, axis: int, around: tuple[int, int], name: str, *, fill: float, mode: str
) -> Value:
    """Return a tensor with places before and behind those of an axis: of one number, of the edge, or mirrored."""
    place, make, tensor = here(value, axis), walk.make, value.tensor
    size, parts = tensor.shape[place], list[Any]()
    if mode == "constant":
        for count, side in zip(around, ("before", "after"), strict=True):
            sizes = [1 if at == 0 else count if at == place else one for at, one in enumerate(tensor.shape)]
            numbers = np.full(sizes, fill, np.float32)
            parts += [make.stored(tensor, numbers, place, f"{name}.{side}")] if count else []
        parts.insert(1 if around[0] else 0, tensor)
        return value.like(make.join(parts, place, name), nonnegative=value.nonnegative and fill >= 0)
    fits = {"edge": MOST_COPIES, "reflect": min(MOST_COPIES, size - 1), "wrap": min(MOST_COPIES, size)}
    if max(around) > fits.get(mode, 0):
        raise unknown(node, f"mode {mode}, or {list(around)} places of {size}")
    way: Literal["edge", "reflect", "wrap"] = "edge" if mode == "edge" else "wrap" if mode == "wrap" else "reflect"
    at = np.pad(np.arange(size), around, way)
    for number, one in enumerate([*at[: around[0]], None, *at[around[0] + size :]]):
        found = None if one is None else (int(one), int(one) + 1, 1)
        parts.append(tensor if found is None else make.cut(tensor, place, found, f"{name}.place{number}"))
    return value.like(make.join(parts, place, name), nonnegative=value.nonnegative)


def _pads(walk: Walk, node: Node, rank: int) -> tuple[list[int], list[int]]:
    """Return what is added before and after each axis."""
    pads, axes = walk.constant(node, 1), walk.given(node, 3)
    found = np.zeros((2, rank), np.int64)
    found[:, slice(None) if axes is None else axes] = pads.reshape(2, -1)
    return [int(size) for size in found[0]], [int(size) for size in found[1]]


# --- pool ---
# Pools and means over places.


def max_pool(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """MaxPooling2D, with ZeroPadding2D, or Cropping2D and Concatenate, before it where its windows leave the image.

    TFLite: MAX_POOL_2D, with PAD, or STRIDED_SLICE and CONCATENATION, before it.

    Borders, those of ceil_mode's last windows too, are the pool's own where they are TensorFlow's "same"; zeros where
    the input can't be negative (behind Relu, Sigmoid, Clip from 0, and pools, sums, products and joins of such), which
    then can't win; else the first and last rows and columns once more, which only win where what they repeat does. No
    constant of -3.4e38 enters the file. No dilation.
    """
    value, over, around, beyond = _windowed(walk, node, values)
    whole = widened(around, beyond)
    if not value.nonnegative and any(whole):
        if over.same == whole:
            return _pool(walk, "max", node, value, over, value.tensor, same=True)
        return _pool(walk, "max", node, value, over, _with_edges(walk, node, value, whole))
    return _pool(walk, "max", node, value, over, with_zeros(walk, node, value, whole))


def _with_edges(walk: Walk, node: Node, value: Value, around: Border) -> Any:
    """Return the image with its first and last rows and columns repeated: no window holds a copy without them."""
    tensor, name = value.tensor, layer_name(node)
    for axis, before, after in ((1, around[0], around[2]), (2, around[1], around[3])):
        size, sides = tensor.shape[axis], ("top", "bottom") if axis == 1 else ("left", "right")
        first, last = (
            walk.make.cut(tensor, axis, (start, start + 1, 1), f"{name}.{side}") if size > 1 and count else tensor
            for start, side, count in ((0, sides[0], before), (size - 1, sides[1], after))
        )
        if before or after:
            tensor = walk.make.join([*[first] * before, tensor, *[last] * after], axis, f"{name}.axis{axis}")
    return tensor


def average_pool(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """AveragePooling2D, with ZeroPadding2D before it, and Rescaling behind it where zeros don't count.

    TFLite: AVERAGE_POOL_2D, with PAD before it, and MUL behind it where zeros don't count.

    Borders that don't count are the pool's own where they are TensorFlow's "same"; else zeros, with a factor a place
    behind them. ceil_mode's last windows reach beyond the pads only where these don't count: what else they count
    depends on the runtime. No dilation. Of rows [N, C, places], or of five axes along one of them, without pads.
    """
    if len(only(node, values).sizes) in (IMAGE_RANK - 1, IMAGE_RANK + 1):
        return _along_one(walk, node, only(node, values))
    value, over, around, beyond = _windowed(walk, node, values)
    whole, counts = widened(around, beyond), bool(node.attributes.get("count_include_pad", 0)) and any(around)
    if counts and any(beyond):
        raise unknown(
            node, "ceil_mode's last windows reach beyond pads that count: runtimes divide by different numbers"
        )
    if any(whole) and over.same == whole and not counts:
        return _pool(walk, "average", node, value, over, value.tensor, same=True)
    made = _pool(walk, "average", node, value, over, with_zeros(walk, node, value, whole))
    shares = over.shares(whole, whole if counts else NOTHING)
    if (shares == 1).all():
        return made
    return made.like(walk.make.times(made.tensor, shares, f"{layer_name(node)}.shares"), nonnegative=value.nonnegative)


def _along_one(walk: Walk, node: Node, value: Value) -> Value:
    """Return averages along one axis, as torch writes LocalResponseNorm: [N, 1, C, H, W] along C."""
    sizes, name, given = tuple(value.tensor.shape[1:]), layer_name(node), node.attributes
    kernel = given["kernel_shape"]
    strides = given.get("strides", [1] * len(kernel))
    moved = [axis for axis in range(len(kernel)) if (kernel[axis], strides[axis]) != (1, 1)]
    odd = any(given.get("pads", ())) or given.get("ceil_mode", 0) or max(given.get("dilations", [1])) > 1
    if len(moved) > 1 or odd or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or value.rows > 1:
        raise unknown(node, f"a pool {kernel} of {['N', *value.shape]} is not along one axis, or has pads")
    axis = moved[0] + 1 if moved else 1
    if kernel[axis - 1] > sizes[axis]:
        raise unknown(node, f"a pool {kernel} is larger than {['N', *value.shape]}")
    flat = (math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :]))
    window = ((1, kernel[axis - 1]), (1, strides[axis - 1]))
    rows = walk.make.reshape(value.tensor, flat, f"{name}.rows")
    made = walk.make.pool(rows, "average", *window, f"{name}.pool", same=False)
    back = (*sizes[:axis], made.shape[2], *sizes[axis + 1 :])
    return value.like(walk.make.reshape(made, back, name), nonnegative=value.nonnegative)


def _windowed(walk: Walk, node: Node, values: list[Value | None]) -> tuple[Value, Window, Border, Border]:
    """Return the image, the window, its pads, and what ceil_mode adds to them."""
    value = image(walk, node, values)
    over = window(node, value, tuple(node.attributes["kernel_shape"]))
    around = border(node, over)
    if over.dilations != (1, 1):
        raise unknown(node, f"a pool with dilations {list(over.dilations)} has no layer")
    if min(around) < 0 or any(around[side] >= over.kernel[side % 2] for side in range(4)):
        raise unknown(node, f"its pads {list(around)} are not all from 0 to less than its kernel {list(over.kernel)}")
    beyond = over.beyond(around) if node.attributes.get("ceil_mode", 0) else NOTHING
    if any(beyond) and node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise unknown(node, "auto_pad and ceil_mode contradict each other; write the pads out")
    return value, over, around, beyond


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


def over_places(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """GlobalAveragePooling2D or GlobalMaxPooling2D of an image, the same in 1D of rows [N, places, C]; a sum is scaled.

    TFLite: MEAN or REDUCE_MAX, with TRANSPOSE and RESHAPE around it; MUL behind the MEAN of a sum, SQRT behind that of
    squares, MUL by -1 around a least.

    Over any axes but the batch. Where they are not all between the batch and the last they are put there first.
    """
    whole, name, make = node.op in ("GlobalAveragePool", "GlobalMaxPool"), layer_name(node), walk.make
    value = only(node, values, anywhere=True)
    value = image(walk, node, values) if whole and len(value.sizes) == IMAGE_RANK else value
    keep, rank, at = bool(node.attributes.get("keepdims", 1)), len(value.sizes), value.batch_at
    given = list(range(2, rank)) if whole else sorted({int(axis) % rank for axis in _axes(walk, node)})
    if not given or at in given or value.rows_first:
        raise unknown(node, f"axes {given} hold the batch, or are none: it would mix films, or do nothing")
    axes = [axis + (axis < at) for axis in given]  # with the batch in front, as the tensor has it
    value = replace(value, batch_at=0)
    kind: Literal["max", "mean"] = "max" if node.op in ("GlobalMaxPool", "ReduceMax", "ReduceMin") else "mean"
    tensor, count = value.tensor, math.prod(value.sizes[axis] for axis in axes)
    if node.op == "ReduceL2":
        tensor = make.combine([tensor, tensor], "multiply", f"{name}.squares")
    if node.op == "ReduceMin":
        tensor = make.scale(tensor, -1.0, 0.0, f"{name}.turned")
    behind = node.op in ("ReduceSum", "ReduceL2", "ReduceMin")
    made = _reduced(walk, replace(value, tensor=tensor), axes, kind, f"{name}.{kind}" if behind else name, keep=keep)
    if behind:
        tensor = make.scale(
            made.tensor, -1.0 if kind == "max" else float(count), 0.0, f"{name}.sum" if node.op == "ReduceL2" else name
        )
        tensor = make.activation(tensor, "sqrt", name) if node.op == "ReduceL2" else tensor
        made = replace(made, tensor=tensor)
    at -= 0 if keep else sum(axis < at for axis in given)
    return replace(made, nonnegative=value.nonnegative or node.op == "ReduceL2", batch_at=at)


def _reduced(
    walk: Walk, value: Value, axes: list[int], kind: Literal["max", "mean"], name: str, *, keep: bool
) -> Value:
    """Return the mean or the largest over axes as ONNX counts them; an image whose axes are kept stays one."""
    sizes, gone = tuple(value.tensor.shape[1:]), sorted(here(value, axis) for axis in axes)
    if len(sizes) in (2, 3) and gone == list(range(1, len(sizes))):
        made = walk.make.reduce(value.tensor, kind, name, keep=keep)
        return Value(made, channels_first=keep and value.channels_first)
    as_it_is, rank = keep and value.channels_first, len(sizes) + 1
    stays = [axis for axis in range(1, rank) if axis not in gone]
    if value.channels_first and not keep:  # in ONNX's order from here on
        stays = [here(value, axis) for axis in range(1, rank) if axis not in axes]
    order, tensor = [0, *gone, *stays], value.tensor
    if order != list(range(rank)):
        tensor = walk.make.permute(tensor, order, f"{name}.order")
    flat = (math.prod(sizes[axis - 1] for axis in gone), math.prod(sizes[axis - 1] for axis in stays))
    if flat != tuple(tensor.shape[1:]):
        tensor = walk.make.reshape(tensor, flat, f"{name}.rows")
    left = [1 if axis in gone else sizes[axis - 1] for axis in (range(1, rank) if keep else stays)]
    wanted = tuple(left)
    made = walk.make.reduce(tensor, kind, name if wanted == flat[1:] else f"{name}.reduced", keep=False)
    made = made if wanted == flat[1:] else walk.make.reshape(made, wanted, name)
    return Value(made, channels_first=as_it_is, rows=value.rows)


def _axes(walk: Walk, node: Node) -> Any:
    """Return the axes: an attribute before opset 18, then an input."""
    found = node.attributes["axes"] if "axes" in node.attributes else walk.given(node, 1)
    return [] if found is None else found
