"""Operations that give an image another size: interpolation, pixel shuffles and transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import BATCH, Node, zeros_only
from convert.formats.ops.walk import CHANNELS_LAST, MOST_COPIES, Value, Walk, image, layer_name, shared, unknown

# --- interpolate ---
# Whole factors of "nearest" are copies; "linear" and "cubic" are a matrix of rows, and one of columns.


def resize(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Concatenate of copies with Reshape around it, of "nearest"; Dense with Permute around it, of "linear", "cubic".

    TFLite: CONCATENATION and RESHAPE; FULLY_CONNECTED and TRANSPOSE.

    Of height and width, scales or sizes stored. Nearest: by whole factors of at most 64. Linear and cubic: any size,
    with half_pixel, pytorch_half_pixel, align_corners or asymmetric coordinates. Without antialiasing, and cubic with
    what lies at the edge beyond it.
    """
    value = image(walk, node, values)
    mode, way = (node.attributes.get(name, default).decode() for name, default in _NAMES)
    if node.attributes.get("antialias", 0) or node.attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise unknown(node, "it is antialiased, or keeps an aspect ratio")
    sides = [_side(walk, node, value, axis) for axis in (2, 3)]
    if mode == "nearest":
        return _nearest(walk, node, value, [_sources(node, way, *side) for side in sides])
    if mode not in ("linear", "cubic") or node.attributes.get("exclude_outside", 0):
        raise unknown(node, f"its mode {mode} is neither nearest, linear nor cubic, or leaves out what lies outside")
    weigh = _weights if mode == "linear" else _cubic_weights
    return _by_matrices(walk, node, value, [weigh(node, way, *side) for side in sides])


_NAMES = (("mode", b"nearest"), ("coordinate_transformation_mode", b"half_pixel"))


def _side(walk: Walk, node: Node, value: Value, axis: int) -> tuple[int, int, float]:
    """Return the size of an axis before and behind, and the scale; ConversionError where others change, too."""
    scales, sizes = walk.given(node, 2), walk.given(node, 3)
    axes = [int(one) % 4 for one in node.attributes.get("axes", range(4))]
    size = value.shape[axis - 1]
    if scales is not None and scales.size == len(axes):
        by = {at: float(scale) for at, scale in zip(axes, scales, strict=True)}
        still, scale = {at: one == 1 for at, one in by.items()}, by.get(axis, 1.0)
        made = int(np.floor(np.float32(size) * np.float32(scale)))  # in float32, as onnx infers it and runtimes do
    elif sizes is not None and sizes.size == len(axes):
        to = {at: int(one) for at, one in zip(axes, sizes, strict=True)}
        still = {at: one == (value.sizes[at] if at or one == BATCH else walk.batch) for at, one in to.items()}
        made = to.get(axis, size)
        scale = made / size
    else:
        raise unknown(node, "it has neither a scale nor a size for each axis")
    if not all(still.get(at, True) for at in (0, 1)) or made < 1:
        raise unknown(node, "it changes the batch or channels, or leaves nothing")
    if made == size and scale != 1:
        raise unknown(
            node, f"it scales {size} places by {scale:g} to as many: runtimes interpolate, or leave them alone"
        )
    return size, made, scale


def _coordinates(node: Node, way: str, size: int, made: int, scale: float) -> NDArray[np.float64]:
    """Return where each place behind lies before."""
    at = np.arange(made, dtype=np.float64)
    if way == "half_pixel" or (way == "pytorch_half_pixel" and made > 1):
        return np.asarray((at + 0.5) / scale - 0.5)
    if way == "align_corners":
        if abs(size * scale - made) > 1e-3:
            raise unknown(node, f"{size} places times {scale:g} are not whole, of which runtimes make other corners")
        return np.asarray(at * (size - 1) / max(made - 1, 1))
    if way not in ("asymmetric", "pytorch_half_pixel"):
        raise unknown(node, f"its coordinates are {way}")
    return np.asarray(at / scale) if way == "asymmetric" else np.zeros(made)


def _sources(node: Node, way: str, size: int, made: int, scale: float) -> int:
    """Return by which whole factor an axis is repeated."""
    at, rule = _coordinates(node, way, size, made, scale), node.attributes.get("nearest_mode", b"round_prefer_floor")
    rules = {
        b"floor": np.floor(at),
        b"ceil": np.ceil(at),
        b"round_prefer_floor": np.ceil(at - 0.5),
        b"round_prefer_ceil": np.floor(at + 0.5),
    }
    factor, rest = divmod(made, size)
    found = np.clip(rules[rule], 0, size - 1)
    if rest or factor > MOST_COPIES or not np.array_equal(found, np.repeat(np.arange(size), factor)):
        raise unknown(node, f"it takes {size} places to {made} by other than one whole factor")
    return factor


def _nearest(walk: Walk, node: Node, value: Value, factors: Sequence[int]) -> Value:
    (rows, columns, channels), (high, wide), name = value.tensor.shape[1:], factors, layer_name(node)
    tensor = value.tensor
    if high > 1:
        tensor = walk.make.reshape(tensor, (rows, 1, columns * channels), f"{name}.rows")
        tensor = walk.make.join([tensor] * high, 2, f"{name}.high")
    if wide > 1:
        tensor = walk.make.reshape(tensor, (rows * high * columns, 1, channels), f"{name}.columns")
        tensor = walk.make.join([tensor] * wide, 2, f"{name}.wide")
    if high * wide > 1:
        tensor = walk.make.reshape(tensor, (rows * high, columns * wide, channels), name)
    return value.like(tensor, nonnegative=value.nonnegative)


def _weights(node: Node, way: str, size: int, made: int, scale: float) -> NDArray[np.float32]:
    """Return what each place behind [made] takes of each before [size]: [size, made]."""
    at = np.clip(_coordinates(node, way, size, made, scale), 0, size - 1)
    low = np.minimum(np.floor(at).astype(np.int64), max(size - 2, 0))
    weights = np.zeros((size, made))
    weights[low, np.arange(made)] = 1 - (at - low)
    weights[np.minimum(low + 1, size - 1), np.arange(made)] += at - low
    return weights.astype(np.float32)


def _cubic_weights(node: Node, way: str, size: int, made: int, scale: float) -> NDArray[np.float32]:
    """Return what each place behind takes of the four around it, beyond the edge of that: [size, made]."""
    at, a = _coordinates(node, way, size, made, scale), node.attributes.get("cubic_coeff_a", -0.75)
    low = np.floor(at).astype(np.int64)
    weights = np.zeros((size, made))
    for place in range(-1, 3):
        far = np.abs(at - low - place)
        near, beyond = ((a + 2) * far - (a + 3)) * far**2 + 1, ((far - 5) * far + 8) * far * a - 4 * a
        share = np.where(far <= 1, near, beyond)
        np.add.at(weights, (np.clip(low + place, 0, size - 1), np.arange(made)), share)
    return weights.astype(np.float32)


def _by_matrices(walk: Walk, node: Node, value: Value, weights: Sequence[NDArray[np.float32]]) -> Value:
    name, make = layer_name(node), walk.make
    high, wide = (not np.array_equal(one, np.eye(len(one))) for one in weights)  # to other sizes it is none
    tensor = make.permute(value.tensor, (0, 3, 2, 1) if high else (0, 3, 1, 2), f"{name}.channels_first")
    if high:
        tensor = make.dense(tensor, weights[0], None, f"{name}.rows", (shared(node), "rows"))
        tensor = make.permute(tensor, (0, 1, 3, 2), f"{name}.turned")
    if wide:
        tensor = make.dense(tensor, weights[1], None, f"{name}.columns", (shared(node), "columns"))
    return value.like(make.permute(tensor, CHANNELS_LAST, name), nonnegative=value.nonnegative)


# --- shuffle ---
# Channels that become places, and back.


def depth_to_space(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Permute with Reshape around it.

    TFLite: TRANSPOSE with RESHAPE around it.

    In either order of channels: PyTorch's PixelShuffle is CRD.
    """
    value, by, name = image(walk, node, values), node.attributes["blocksize"], layer_name(node)
    rows, columns, channels = value.tensor.shape[1:]
    each, crd = channels // (by * by), node.attributes.get("mode", b"DCR") == b"CRD"
    if each * by * by != channels:
        raise unknown(node, f"{channels} channels are not a multiple of {by} x {by}")
    tensor = walk.make.reshape(
        value.tensor, (rows, columns, *((each, by, by) if crd else (by, by, each))), f"{name}.blocks"
    )
    tensor = walk.make.permute(tensor, (0, 1, 4, 2, 5, 3) if crd else (0, 1, 3, 2, 4, 5), f"{name}.places")
    made = walk.make.reshape(tensor, (rows * by, columns * by, each), name)
    return value.like(made, nonnegative=value.nonnegative)


def space_to_depth(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Permute with Reshape around it.

    TFLite: TRANSPOSE with RESHAPE around it.
    """
    value, by, name = image(walk, node, values), node.attributes["blocksize"], layer_name(node)
    rows, columns, channels = value.tensor.shape[1:]
    if rows % by or columns % by:
        raise unknown(node, f"{rows} x {columns} places are not blocks of {by} x {by}")
    tensor = walk.make.reshape(value.tensor, (rows // by, by, columns // by, by, channels), f"{name}.blocks")
    tensor = walk.make.permute(tensor, (0, 1, 3, 2, 4, 5), f"{name}.channels")
    made = walk.make.reshape(tensor, (rows // by, columns // by, by * by * channels), name)
    return value.like(made, nonnegative=value.nonnegative)


# --- transposed convolution ---


def conv_transpose(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ZeroPadding2D with Reshape around it, which puts zeros between places, and Conv2D.

    TFLite: PAD with RESHAPE around it, and CONV_2D.

    2-D only, weights and pads stored; no auto_pad and no output_shape.
    """
    value, weight, bias = image(walk, node, values), walk.constant(node, 1), walk.given(node, 2)
    groups, name, given = node.attributes.get("group", 1), layer_name(node), node.attributes
    if weight.ndim != 4 or weight.shape[0] != value.shape[0] or weight.shape[0] % groups:
        raise unknown(node, f"weights {list(weight.shape)} in {groups} groups don't fit {value.shape[0]} channels")
    if given.get("auto_pad", b"NOTSET") != b"NOTSET" or given.get("output_shape"):
        raise unknown(node, "auto_pad or output_shape is set; write the pads out")
    strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
    pads, more = given.get("pads", (0, 0, 0, 0)), given.get("output_padding", (0, 0))
    reach = [(weight.shape[2 + axis] - 1) * dilations[axis] for axis in (0, 1)]
    before = [reach[axis] - pads[axis] for axis in (0, 1)]
    after = [reach[axis] - pads[axis + 2] + more[axis] - (strides[axis] - 1) for axis in (0, 1)]
    if min(before) < 0 or any(after[axis] <= -strides[axis] for axis in (0, 1)):
        raise unknown(node, f"its pads {list(pads)} cut off more than the kernel reaches")
    tensor = _spread(walk, name, value.tensor, strides)
    for axis in (0, 1):  # the last place, too, has zeros behind it
        if after[axis] < 0:
            size = tensor.shape[1 + axis]
            tensor = walk.make.cut(tensor, 1 + axis, (0, size + after[axis], 1), f"{name}.cut{axis + 2}")
    around = (before[0], before[1], max(after[0], 0), max(after[1], 0))
    tensor = walk.make.border(tensor, around, f"{name}.pad") if any(around) else tensor
    kernel, stored = _turned(weight, groups), None if bias is None or zeros_only(bias) else bias
    steps: Any = {"strides": (1, 1), "dilations": (dilations[0], dilations[1]), "groups": groups}
    return Value(walk.make.conv(tensor, kernel, stored, name, shared(node), **steps), channels_first=True)


def _spread(walk: Walk, name: str, tensor: Any, strides: Sequence[int]) -> Any:
    """Put zeros behind each place of an image, strides - 1 of them."""
    rows, columns, channels = tensor.shape[1:]
    high, wide = strides
    if high > 1:
        tensor = walk.make.reshape(tensor, (rows, 1, columns * channels), f"{name}.rows")
        tensor = walk.make.border(tensor, (0, 0, 0, high - 1), f"{name}.between_rows")
    if wide > 1:
        tensor = walk.make.reshape(tensor, (rows * high * columns, 1, channels), f"{name}.columns")
        tensor = walk.make.border(tensor, (0, 0, 0, wide - 1), f"{name}.between_columns")
    return (
        walk.make.reshape(tensor, (rows * high, columns * wide, channels), f"{name}.spread")
        if high * wide > 1
        else tensor
    )


def _turned(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return weights [I, O / groups, H, W] as the kernel [H, W, I / groups, O] of a plain convolution."""
    inner, outer, high, wide = weight.shape
    split = weight.reshape(groups, inner // groups, outer, high, wide)[..., ::-1, ::-1]
    return np.ascontiguousarray(split.transpose(3, 4, 1, 0, 2).reshape(high, wide, inner // groups, groups * outer))
