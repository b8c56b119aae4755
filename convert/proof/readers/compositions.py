"""Operations that the normal form has no term for, as the terms that they are made of: whichever format has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import NormalForm, NoRuleError, Pads, Stored, View, number

FRAMEWORK = "litert"
Pair = tuple[int, int]


def pool(
    form: NormalForm, view: View, kind: str, kernel: Pair, strides: Pair, pads: Pads, *, counted: bool = False
) -> View:
    """Add a pool over [1, H, W, C]; around an average zeros, with a factor a window where they don't count."""
    if kind == "max" or counted or not any(pads):
        return form.pool(view, kind, kernel, strides, pads)
    if max(pads[::2]) >= kernel[0] or max(pads[1::2]) >= kernel[1]:
        raise NoRuleError(f"a window {kernel} with pads {pads}")
    high, wide = (_inside(pads[axis::2], view.at.shape[1 + axis], kernel[axis], strides[axis]) for axis in (0, 1))
    shares = kernel[0] * kernel[1] / (high[:, None] * wide)
    return form.affine(form.pool(view, kind, kernel, strides, pads), number(shares[:, :, None]))


def _inside(pads: Sequence[int], size: int, kernel: int, stride: int) -> NDArray[Any]:
    """Return by window along an axis how many places of it lie within the image."""
    starts: NDArray[Any] = np.arange(-pads[0], size + pads[1] - kernel + 1, stride)
    return np.asarray(np.minimum(starts + kernel, size) - np.maximum(starts, 0))


def negative(form: NormalForm, view: View) -> View:
    """Return -x, of whole numbers such as sizes too."""
    return form.binary("mul", view, View(np.asarray(-1)))


def divide(form: NormalForm, left: View, right: View) -> View:
    """Add a product with the reciprocals of stored numbers."""
    values, step = right.stored.values, right.stored.step
    return form.affine(left, Stored(1 / values, coarse=None if step is None else step / np.square(values)))


def softmax(form: NormalForm, view: View, axis: int = -1) -> View:
    """Add a softmax over an axis."""
    last = view.map(lambda at: np.moveaxis(at, axis, -1))
    shape = (last.at.size // last.at.shape[-1], last.at.shape[-1])
    made = form.add("softmax", (form.ordered(last, shape),), shape, (shape,))
    places = np.arange(last.at.size, dtype=np.int32).reshape(last.at.shape)
    return View(np.moveaxis(places, -1, axis), made)


def elu(form: NormalForm, view: View, alpha: float) -> View:
    """Add ELU, of another alpha than 1 as max(x, 0) + alpha * min(elu(x), 0)."""
    made = form.each(view, "elu")
    if alpha == 1:
        return made
    below = form.affine(form.clip(made, high=0), number(np.float32(alpha)))
    return form.binary("add", form.clip(view, low=0), below)


def hard_sigmoid(form: NormalForm, view: View, alpha: float, beta: float) -> View:
    """Add a line between 0 and 1."""
    return form.clip(form.affine(view, number(alpha), number(beta)), 0, 1)
