"""ONNX's operations that give an image another size, as the terms that they are made of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import NONE, ZERO, NormalForm, NoRuleError, Stored, View
from convert.proof.readers import compositions
from convert.proof.readers.places import optional

FRAMEWORK = "litert"
Given = Mapping[str, Any]
NEAREST: dict[bytes, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    b"floor": np.floor,
    b"ceil": np.ceil,
    b"round_prefer_floor": lambda at: np.ceil(at - 0.5),
    b"round_prefer_ceil": lambda at: np.floor(at + 0.5),
}


def resize(form: NormalForm, views: Sequence[Any], given: Given) -> View:
    """Add an interpolation of height, then width: places of "nearest", products with matrices of others."""
    view: View = views[0]
    mode = given.get("mode", b"nearest")
    if given.get("antialias", 0) or given.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise NoRuleError("it is antialiased, or keeps an aspect ratio")
    rule = NEAREST[given.get("nearest_mode", b"round_prefer_floor")]
    for axis, (size, made, scale) in enumerate(_sides(views, given)):
        if made == size and scale != 1:
            raise NoRuleError(f"it scales {size} places by {scale:g} to as many: runtimes differ")
        at = _coordinates(given, size, made, scale)
        if axis < 2:
            if made != size:
                raise NoRuleError("it changes films or channels")
        elif mode == b"nearest":
            places = np.clip(rule(at), 0, size - 1).astype(np.int64)
            view = view.map(functools.partial(np.take, indices=places, axis=axis))
        elif mode in (b"linear", b"cubic"):
            weights = np.stack([np.interp(at, np.arange(size), row) for row in np.eye(size)])
            weights = _cubic(at, size, given) if mode == b"cubic" else weights
            if not (size == made and np.allclose(weights, np.eye(size), rtol=0, atol=1e-7)):
                order = (0, 1, 3, 2) if axis == 2 else (0, 1, 2, 3)
                product = form.matmul(view.transpose(*order), Stored(weights, unit=np.ones(weights.shape)), ZERO)
                view = product.transpose(*order)
        else:
            raise NoRuleError(f"mode {mode.decode()}")
    return view


def _cubic(at: NDArray[np.float64], size: int, given: Given) -> NDArray[np.float64]:
    """Return what each place takes of those before, [size, made]: Keys' kernel over places that go on at the edges."""
    if given.get("exclude_outside", 0):
        raise NoRuleError("it leaves out what lies outside")
    a, reach = given.get("cubic_coeff_a", -0.75), int(np.abs(at).max()) + 3
    places = np.arange(-reach, size + reach)
    far = np.abs(at[None, :] - places[:, None])
    kernel = np.where(
        far < 2,
        np.where(
            far < 1,
            (a + 2) * far**3 - (a + 3) * far**2 + 1,
            a * far**3 - 5 * a * far**2 + 8 * a * far - 4 * a,
        ),
        0.0,
    )
    inside = np.eye(size)[np.clip(places, 0, size - 1)]  # [places, size]
    return np.asarray(inside.T @ kernel)


def _sides(views: Sequence[Any], given: Given) -> list[tuple[int, int, float]]:
    """Return for each axis its size before and behind, and its scale."""
    shape = views[0].at.shape
    scales, sizes = (optional(views, at, np.zeros(0)) for at in (2, 3))
    axes, found = [one % 4 for one in given.get("axes", range(4))], [(size, size, 1.0) for size in shape]
    for index, axis in enumerate(axes):
        if scales.size:
            made = math.floor(np.float32(shape[axis]) * np.float32(scales[index]))  # as onnx infers it: in float32
            found[axis] = (shape[axis], made, float(scales[index]))
        else:
            found[axis] = (shape[axis], int(sizes[index]), int(sizes[index]) / shape[axis])
    return found


def _coordinates(given: Given, size: int, made: int, scale: float) -> NDArray[np.float64]:
    way, at = given.get("coordinate_transformation_mode", b"half_pixel"), np.arange(made, dtype=np.float64)
    if way == b"align_corners":
        if abs(size * scale - made) > 1e-3:
            raise NoRuleError(f"{size} places times {scale:g} are not whole: runtimes differ")
        return at * ((size - 1) / (made - 1)) if made > 1 else at * 0
    if way == b"asymmetric":
        return at / scale
    if way not in (b"half_pixel", b"pytorch_half_pixel"):
        raise NoRuleError(f"coordinates {way.decode()}")
    return at * 0 if way == b"pytorch_half_pixel" and made == 1 else (at + 0.5) / scale - 0.5


def shuffle(form: NormalForm, views: Sequence[Any], given: Given, *, deep: bool) -> View:
    """Move channels to places, or (`deep`) places to channels."""
    view: View = views[0]
    by = given["blocksize"]
    _, channels, rows, columns = view.at.shape
    if deep:
        moved = view.reshape(1, channels, rows // by, by, columns // by, by).transpose(0, 3, 5, 1, 2, 4)
        return moved.reshape(1, channels * by * by, rows // by, columns // by)
    each = channels // (by * by)
    if given.get("mode", b"DCR") == b"CRD":
        moved = view.reshape(1, each, by, by, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    else:
        moved = view.reshape(1, by, by, each, rows, columns).transpose(0, 3, 4, 1, 5, 2)
    return moved.reshape(1, each, rows * by, columns * by)


def conv_transpose(form: NormalForm, views: Sequence[Any], given: Given) -> View:
    """Add zeros between places, and a convolution with the kernel turned by half a turn."""
    if given.get("auto_pad", b"NOTSET") != b"NOTSET" or given.get("output_shape"):
        raise NoRuleError("auto_pad or output_shape")
    view, groups, dilations = views[0].transpose(0, 2, 3, 1), given.get("group", 1), given.get("dilations", [1, 1])
    strides, pads, more = given.get("strides", [1, 1]), given.get("pads", NONE), given.get("output_padding", [0, 0])
    _, rows, columns, channels = view.at.shape
    high, wide = strides
    if high > 1:
        view = form.pad(view.reshape(1, rows, 1, columns * channels), (0, 0, 0, high - 1))
    if wide > 1:
        view = form.pad(view.reshape(1, rows * high * columns, 1, channels), (0, 0, 0, wide - 1))
    view = view.reshape(1, rows * high, columns * wide, channels)
    (top, bottom), (left, right) = (
        _border(views[1].at.shape[2 + axis], axis, strides, dilations, pads, more) for axis in (0, 1)
    )
    rest = (rows * high + min(bottom, 0), columns * wide + min(right, 0))
    view = view.map(lambda at: at[:, : rest[0], : rest[1]])
    turned = views[1].map(lambda at: _kernel(at, groups)).stored
    bias = ZERO if len(views) < 3 or views[2] is None else views[2].stored
    around = (top, left, max(bottom, 0), max(right, 0))
    made = compositions.conv(form, view, turned, bias, (1, 1), tuple(dilations), around, groups)
    return made.transpose(0, 3, 1, 2)


def _border(kernel: int, axis: int, strides: Any, dilations: Any, pads: Any, more: Any) -> tuple[int, int]:
    """Return the zeros before and behind; some of those between may be cut off again."""
    reach = (kernel - 1) * dilations[axis]
    before, after = reach - pads[axis], reach - pads[axis + 2] + more[axis] - strides[axis] + 1
    if before < 0 or after <= -strides[axis]:
        raise NoRuleError("its pads cut off more than the kernel reaches")
    return before, after


def _kernel(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return [I, O / groups, H, W] as [H, W, I / groups, O]."""
    parts = np.split(np.flip(weight, (2, 3)), groups)
    return np.concatenate([part.transpose(2, 3, 0, 1) for part in parts], -1)
