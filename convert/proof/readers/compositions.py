"""Operations that the normal form has no term for, as the terms that they are made of: whichever format has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import ONE, NormalForm, NoRuleError, Pads, Stored, View, number

FRAMEWORK = "litert"
Pair = tuple[int, int]


def conv(
    form: NormalForm, view: View, kernel: Stored, bias: Stored, strides: Pair, dilations: Pair, pads: Pads, groups: int
) -> View:
    """Add a convolution over [1, H, W, C]; with a stride and a dilation that of every place, of which some are kept."""
    if max(strides) == 1 or max(dilations) == 1:
        return form.conv(view, kernel, bias, strides, dilations, pads, groups)
    made = form.conv(view, kernel, bias, (1, 1), dilations, pads, groups)
    return made.map(lambda at: at[:, :: strides[0], :: strides[1]])


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
    if view.term is not None:
        return form.affine(view, number(-1))
    if view.at.dtype.kind in "iu" and view.rounded is None:
        return View(-view.at)
    return View(view.at, None, view.stored.times(number(-1)))


def divide(form: NormalForm, left: View, right: View) -> View:
    """Add a product with reciprocals."""
    if right.term is not None:
        return multiply(form, left, form.each(right, "reciprocal"))
    values, step = right.stored.values, right.stored.step
    return form.affine(left, Stored(1 / values, coarse=None if step is None else step / np.square(values)))


def multiply(form: NormalForm, left: View, right: View) -> View:
    """Add a product; a number that scales a computed side scales the product."""
    for one, other in ((left, right), (right, left)):
        term = None if one.term is None or other.term is None else form.terms[one.term]
        if term is not None and term.kind == "affine" and not term.stored["offset"].base.any():
            scale = term.stored["scale"]
            if scale.base.size == 1:
                inner = multiply(form, View(one.at, term.inputs[0]), other)
                return form.affine(inner, scale.map(lambda array: array.reshape(())))
    return form.binary("mul", left, right)


def power(form: NormalForm, view: View, exponent: float) -> View:
    """Add a square, a cube, a root or a reciprocal."""
    if exponent in (2, 3):
        square = multiply(form, view, view)
        return square if exponent == 2 else multiply(form, square, view)
    if exponent not in (0.5, -0.5, -1):
        raise NoRuleError(f"to the power of {exponent}")
    made = view if exponent == -1 else form.each(view, "sqrt")
    return form.each(made, "reciprocal") if exponent < 0 else made


def absolute(form: NormalForm, view: View) -> View:
    """Add |x|: max(x, 0) + max(-x, 0)."""
    return form.binary("add", form.clip(view, low=0), form.clip(negative(form, view), low=0))


def softplus(form: NormalForm, view: View) -> View:
    """Add max(x, 0) + log(1 + exp(-|x|))."""
    powers = form.each(negative(form, absolute(form, view)), "exp")
    return form.binary("add", form.clip(view, low=0), form.each(form.affine(powers, ONE, ONE), "log"))


def gelu(form: NormalForm, view: View, *, tanh: bool = False) -> View:
    """Add x * (1 + erf(x / sqrt(2))) / 2, or what stands for it with tanh."""
    if tanh:
        cube = form.affine(power(form, view, 3), number(0.044715))
        gate = form.each(form.affine(form.binary("add", view, cube), number(math.sqrt(2 / math.pi))), "tanh")
    else:
        gate = erf(form, form.affine(view, number(math.sqrt(0.5))))
    return multiply(form, view, form.affine(gate, number(0.5), number(0.5)))


def erf(form: NormalForm, view: View) -> View:
    """Add the error function; that of a negative scale is minus that of a positive one."""
    term = form.terms[view.term or 0]
    if term.kind == "affine" and not term.stored["offset"].base.any() and (term.stored["scale"].values < 0).all():
        return negative(form, form.each(negative(form, view), "erf"))
    return form.each(view, "erf")


def prelu(form: NormalForm, view: View, slope: Stored) -> View:
    """Add max(x, 0) - slope * max(-x, 0)."""
    below = form.clip(negative(form, view), low=0)
    return form.binary("add", form.clip(view, low=0), form.affine(below, slope.times(number(-1))))


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
