"""ONNX's operations that put numbers in other places, or leave some out: no term but a border is made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.proof.normal import LOWEST, NormalForm, NoRuleError, View
from convert.proof.readers import choices, compositions

FRAMEWORK = "litert"


class Given(dict[str, Any]):
    """Attributes of a node, and the opset."""

    def __init__(self, given: dict[str, Any], opset: int) -> None:
        super().__init__(given)
        self.opset = opset


Views = Sequence[Any]


def optional(views: Views, index: int, default: Any = None) -> Any:
    """Return stored input `index`, or the default where it is left out; NoRuleError where it is computed."""
    return default if index >= len(views) or views[index] is None else views[index].array


def last(view: View) -> View:
    """Return [N, C, H, W] with channels last; NoRuleError where it is no image."""
    if view.at.ndim != 4:
        raise NoRuleError(f"an image [N, C, H, W] is expected, not {view.at.shape}")
    return view.transpose(0, 2, 3, 1)


def first(view: View) -> View:
    """Return channels last as [N, C, H, W]."""
    return view.transpose(0, 3, 1, 2)


def reshape(form: NormalForm, views: Views, given: Given) -> Any:
    """Return other sizes, of which 0 copies one."""
    sizes = [int(one) for one in views[1].array]
    if not given.get("allowzero", 0):
        sizes = [views[0].at.shape[index] if size == 0 else size for index, size in enumerate(sizes)]
    return views[0].reshape(*sizes)


def pad(form: NormalForm, views: Views, given: Given) -> Any:
    """Add a border around rows and columns."""
    pads, value, axes = (
        optional(views, 1, given.get("pads")),
        optional(views, 2, given.get("value", 0.0)),
        optional(views, 3),
    )
    around: NDArray[Any] = np.zeros((2, views[0].at.ndim), np.int64)
    around[:, slice(None) if axes is None else axes] = np.reshape(pads, (2, -1))
    mode, view, fill = given.get("mode", b"constant").decode(), views[0], float(np.reshape(value, ()))
    if around[:, 0].any() or around.min() < 0:
        raise NoRuleError("it pads the batch, or cuts off")
    if mode != "constant":
        pairs = list(zip(*around.tolist(), strict=True))
        if mode not in ("edge", "reflect", "wrap"):
            raise NoRuleError(f"its mode is {mode}")
        return view.map(lambda at: np.pad(at, pairs, mode))
    if (fill == 0 or fill <= LOWEST) and len(around[0]) == 4 and not around[:, 1].any():
        (top, left), (bottom, right) = around[:, 2:].tolist()
        return first(form.pad(last(view), (top, left, bottom, right), fill))
    for axis in np.flatnonzero(around.any(0)):
        shapes = [[one if at != axis else count for at, one in enumerate(view.at.shape)] for count in around[:, axis]]
        before, after = (View(np.full(shape, fill, np.float32)) for shape in shapes)
        parts = [one for one in (before, view, after) if one.at.size]
        view = compositions.join(form, parts, int(axis))
    return view


def cast(form: NormalForm, views: Views, given: Given) -> Any:
    """Return float32 or bool, or stored numbers in another type."""
    if views[0].term is None:
        to = given.get("to", onnx.TensorProto.FLOAT)
        return View(views[0].array.astype(onnx.helper.tensor_dtype_to_np_dtype(to)))
    to = given.get("to", 1)
    if to not in (onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL):
        raise NoRuleError("it casts to another type than float32 or bool")
    return choices.to_bool(form, views[0]) if to == onnx.TensorProto.BOOL else views[0]


def part(form: NormalForm, views: Views, given: Given) -> Any:
    """Return the places that a Slice keeps."""
    starts, ends = optional(views, 1, given.get("starts")), optional(views, 2, given.get("ends"))
    axes = optional(views, 3, given.get("axes", range(len(starts))))
    steps = optional(views, 4, [1] * len(starts))
    cut = [slice(None)] * views[0].at.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return views[0].map(lambda at: at[tuple(cut)])


def gather_nd(views: Views, given: Given) -> Any:
    """Return places of the first axis."""
    if given.get("batch_dims", 0) or views[1].at.ndim != 2 or views[1].at.shape[1] != 1:
        raise NoRuleError("it gathers more than places of the first axis")
    return views[0].map(lambda at: np.take(at, views[1].array[:, 0], 0))


def split(form: NormalForm, views: Views, given: Given) -> list[View]:
    """Return the parts of an axis."""
    axis, count = given.get("axis", 0), given["count"]
    size = views[0].at.shape[axis]
    sizes = optional(views, 1, given.get("split"))
    ends = np.cumsum(sizes) if sizes is not None else np.arange(1, count + 1) * -(-size // count)
    if len(ends) != count:
        raise NoRuleError(f"{len(ends)} parts for {count} outputs")
    parts = np.split(np.arange(size), ends[:-1])
    return [views[0].map(lambda at, part=part: np.take(at, part, axis)) for part in parts]


def unsqueeze(form: NormalForm, views: Views, given: Given) -> Any:
    """Return axes of size 1 more."""
    axes = given.get("axes", optional(views, 1))
    return views[0].map(lambda at: np.expand_dims(at, tuple(int(one) for one in axes)))


def squeeze(form: NormalForm, views: Views, given: Given) -> Any:
    """Return axes of size 1 less."""
    axes = given.get("axes", optional(views, 1))
    return views[0].map(lambda at: np.squeeze(at, None if axes is None else tuple(int(one) for one in axes)))


def flatten(form: NormalForm, views: Views, given: Given) -> Any:
    """Return two axes."""
    return views[0].reshape(math.prod(views[0].at.shape[: given.get("axis", 1)]), -1)
