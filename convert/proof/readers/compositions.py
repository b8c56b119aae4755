"""Operations that the normal form has no term for, as the terms that they are made of: whichever format has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import ONE, ZERO, NormalForm, NoRuleError, Pads, Stored, View, number

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
    inverse = Stored(1 / values, coarse=None if step is None else step / np.square(values))
    return form.binary("mul", left, View(inverse.base, None, inverse))


def multiply(form: NormalForm, left: View, right: View) -> View:
    """Add a product; a number that scales a computed side scales the product, and so does a half within weights."""
    for one, other in ((left, right), (right, left)):
        whole = None if one.term is None or other.term is None else _twice(form, one)
        if whole is not None:
            return form.affine(multiply(form, whole, other), number(0.5))
        term = None if one.term is None or other.term is None else form.terms[one.term]
        if term is not None and term.kind == "affine" and not term.stored["offset"].base.any():
            scale = term.stored["scale"]
            if scale.base.size == 1:
                inner = multiply(form, View(one.at, term.inputs[0]), other)
                return form.affine(inner, scale.map(lambda array: array.reshape(())))
    return form.binary("mul", left, right)


def _twice(form: NormalForm, view: View) -> View | None:
    """Return what weights give that are twice those of a view, as of x where 0.5 * x was folded into them; or None."""
    half = form.terms[view.source]
    if half.kind not in ("conv", "matmul"):
        return None
    for index, one in enumerate(form.terms):
        if (one.kind, one.inputs, one.shape, one.facts) == (half.kind, half.inputs, half.shape, half.facts):
            pairs = [(one.stored[name].values, half.stored[name].values) for name in ("kernel", "bias")]
            if one is not half and all(np.array_equal(each, 2 * other) for each, other in pairs):
                return View(view.at, index)
    return None


def power(form: NormalForm, view: View, exponent: float) -> View:
    """Add a square, a cube, a root, a reciprocal, or another power."""
    if exponent in (2, 3):
        square = multiply(form, view, view)
        return square if exponent == 2 else multiply(form, square, view)
    if exponent not in (0.5, -0.5, -1):
        return form.each(view, "power", exponent=number(exponent))
    made = view if exponent == -1 else form.each(view, "sqrt")
    return form.each(made, "reciprocal") if exponent < 0 else made


def absolute(form: NormalForm, view: View) -> View:
    """Add |x|: max(x, 0) + max(-x, 0)."""
    return form.binary("add", form.clip(view, low=0), form.clip(negative(form, view), low=0))


def softplus(form: NormalForm, view: View) -> View:
    """Add max(x, 0) + log(1 + exp(-|x|))."""
    powers = form.each(negative(form, absolute(form, view)), "exp")
    return form.binary("add", form.clip(view, low=0), form.each(form.affine(powers, ONE, ONE), "log"))


def standardise(form: NormalForm, view: View, axes: Sequence[int], epsilon: float) -> View:
    """Add (x - mean) / sqrt(mean((x - mean)^2) + epsilon) over some axes."""
    far = form.binary("add", view, negative(form, form.mean(view, axes, keep=True)))
    variance = form.mean(multiply(form, far, far), axes, keep=True)
    return divide(form, far, form.each(form.affine(variance, ONE, number(epsilon)), "sqrt"))


def join(form: NormalForm, views: Sequence[View], axis: int) -> View:
    """Join along an axis; stored parts beside computed ones are terms of their own, in the order of these."""
    computed = [one for one in views if one.term is not None]
    if not computed or len(computed) == len(views):
        return form.concat(views, axis)
    rank, whole = computed[0].at.ndim, [form.whole(one) for one in computed]
    orders = [tuple(range(rank)), (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))]
    orders = [one for one in orders if all(_in_order(each.at.transpose(one)) for each in whole)] or orders
    return form.concat([one if one.term is not None else _term_of(form, one, orders[0]) for one in views], axis)


def _term_of(form: NormalForm, view: View, order: tuple[int, ...]) -> View:
    """Return stored numbers as a term, in an order of their axes."""
    turned = view.transpose(*order)
    shape = turned.at.shape[1:]
    made = form.add("stored", (), shape, shape, values=turned.reshape(-1).stored)
    places = np.arange(turned.at.size, dtype=np.int32).reshape(turned.at.shape)
    return View(places, made).transpose(*(int(axis) for axis in np.argsort(order)))


def _in_order(at: NDArray[Any]) -> bool:
    return np.array_equal(at.reshape(-1), np.arange(at.size))


def product(form: NormalForm, left: View, right: View) -> View:
    """Add a product of matrices, the last two axes of each: of two computed ones a term of [B, M, K] and [B, K, N]."""
    if right.term is None and right.at.ndim == 2:
        return form.matmul(left, right.stored, ZERO)
    if left.term is None and math.prod(left.at.shape[:-2]) == 1:
        matrix = left.reshape(*left.at.shape[-2:]).transpose(1, 0).stored
        turned = form.matmul(right.map(lambda at: np.swapaxes(at, -1, -2)), matrix, ZERO)
        return turned.map(lambda at: np.swapaxes(at, -1, -2))
    (*front, rows, inner), (*others, depth, columns) = left.at.shape, right.at.shape
    if front != others or inner != depth:
        raise NoRuleError(f"matrices {left.at.shape} and {right.at.shape}")
    sizes = (math.prod(front), rows, inner, columns)
    read = (form.ordered(left, (*sizes[:2], inner)), form.ordered(right, (sizes[0], inner, columns)))
    made = form.add("product", read, (sizes[0], rows, columns), sizes)
    return View(np.arange(sizes[0] * rows * columns, dtype=np.int32).reshape(*front, rows, columns), made)


def cumulated(form: NormalForm, view: View, axis: int, given: Mapping[str, Any]) -> View:
    """Add sums of what comes before each place of an axis: a product with a triangle of ones."""
    size = view.at.shape[axis]
    triangle = np.triu(np.ones((size, size)), given.get("exclusive", 0))
    rows = view.map(lambda at: np.moveaxis(at, axis, -1))
    made = form.matmul(rows, number(triangle.T if given.get("reverse", 0) else triangle), ZERO)
    return made.map(lambda at: np.moveaxis(at, -1, axis))


def einsum(form: NormalForm, left: View, right: View, equation: str) -> View:
    """Add a sum of products over letters that both have, of which what is made has some."""
    given, arrow, made = equation.replace(" ", "").partition("->")
    one, other = given.split(",")
    made = made if arrow else "".join(sorted(letter for letter in one + other if (one + other).count(letter) == 1))
    sizes = dict(zip(one + other, left.at.shape + right.at.shape, strict=True))
    both = [letter for letter in one if letter in other]
    kept, summed = ([letter for letter in both if (letter in made) == stays] for stays in (True, False))
    alone = [[letter for letter in each if letter not in both] for each in (one, other)]
    if set(made) != {*kept, *alone[0], *alone[1]} or any(len(set(each)) != len(each) for each in (one, other, made)):
        raise NoRuleError(f"sums of products {equation}")

    def laid(view: View, letters: str, *order: list[str]) -> View:
        axes = [letters.index(letter) for part in order for letter in part]
        return view.transpose(*axes).reshape(*(math.prod(sizes[letter] for letter in part) for part in order))

    lefts = laid(left, one, kept, alone[0], summed)
    if right.term is None or left.term is None:  # stored numbers on the right, as a matrix
        stored_left = left.term is None
        if kept and math.prod(sizes[letter] for letter in kept) > 1:
            raise NoRuleError(f"sums of products {equation} with stored numbers")
        rows, columns = (alone[1], alone[0]) if stored_left else (alone[0], alone[1])
        matrix = (
            laid(left, one, summed, [*kept, *columns]) if stored_left else laid(right, other, summed, [*kept, *columns])
        )
        lefts = laid(right, other, [*kept, *rows], summed) if stored_left else laid(left, one, [*kept, *rows], summed)
        found, order = form.matmul(lefts, matrix.stored, ZERO), [*kept, *rows, *columns]
    else:
        found, order = product(form, lefts, laid(right, other, kept, summed, alone[1])), [*kept, *alone[0], *alone[1]]
    return found.reshape(*(sizes[letter] for letter in order)).transpose(*(order.index(letter) for letter in made))


def add(form: NormalForm, left: View, right: View) -> View:
    """Add a sum; x * f - (mean * f - beta), as TensorFlow normalises, is (x - mean) * f + beta."""
    shape = np.broadcast_shapes(left.at.shape, right.at.shape)
    both = [one.map(lambda at: np.broadcast_to(at, shape)) for one in (left, right)]
    for one, other in (both, both[::-1]):
        made = None if one.term is None or other.term is None else _of_one_factor(form, one, other)
        if made is not None:
            return made
    return form.binary("add", left, right)


def _of_one_factor(form: NormalForm, product: View, rest: View) -> View | None:
    """Return x * f + (beta - m * f) with f once, gamma taken out of it; None where the terms are others."""
    left, shifted = form.terms[product.source], form.terms[rest.source]
    if shifted.kind != "affine" or (shifted.stored["scale"].values != -1).any():
        return None
    right = form.terms[shifted.inputs[0]]
    if (left.kind, right.kind) != ("mul", "mul"):
        return None
    sides = [
        [_source(form, View(at, one)) for one in each]
        for at, each in ((product.at, left.inputs), (rest.at, right.inputs))
    ]
    for x, f in (sides[0], sides[0][::-1]):
        for m, g in (sides[1], sides[1][::-1]):
            if f.term == g.term and np.array_equal(f.at, g.at):
                beta = _at(shifted.stored["offset"], shifted.shape, rest)
                shape = form.terms[m.source].shape
                means = View(np.arange(math.prod(shape), dtype=np.int32).reshape(1, *shape), m.term)
                turned = negative(form, means)  # before it is repeated, as it is where it is subtracted
                less = View(turned.at.reshape(-1)[m.at], turned.term)
                return _shifted(form, form.binary("add", x, less), f, beta)
    return None


def _shifted(form: NormalForm, far: View, factor: View, beta: Stored) -> View:
    """Return far * factor + beta; what scales the factor scales the product."""
    gamma, term = ONE, form.terms[factor.source]
    if term.kind == "affine" and not term.stored["offset"].base.any():
        gamma, factor = _at(term.stored["scale"], term.shape, factor), View(factor.at, term.inputs[0])
    return form.affine(form.binary("mul", far, _source(form, factor)), gamma, beta)


def _source(form: NormalForm, view: View) -> View:
    """Return a view of a gathered term as one of what it is gathered from."""
    term = form.terms[view.source]
    return view if term.kind != "gather" else View(term.stored["at"].base.reshape(-1)[view.at], term.inputs[0])


def _at(numbers: Stored, shape: Sequence[int], view: View) -> Stored:
    """Return numbers that stretch to a term as they stand in a view of it."""
    return numbers.map(lambda array: np.broadcast_to(array, shape).reshape(-1)[view.at])


def layer_norm(
    form: NormalForm, view: View, axes: Sequence[int], epsilon: float, gamma: Stored = ONE, beta: Stored = ZERO
) -> View:
    """Add a layer normalisation: gamma and beta stretch from the last axis on."""
    return form.affine(standardise(form, view, axes, epsilon), gamma, beta)


def local_response(form: NormalForm, view: View, given: Mapping[str, Any]) -> View:
    """Add x / (bias + alpha / size * the sum of squares of `size` channels around each) ** beta, of [1, H, W, C]."""
    size, channels, alpha = given["size"], view.at.shape[3], given.get("alpha", 1e-4)
    beta, bias = given.get("beta", 0.75), given.get("bias", 1.0)
    near = [[-((size - 1) // 2) <= one - made <= size // 2 for made in range(channels)] for one in range(channels)]
    total = form.matmul(multiply(form, view, view), number(np.array(near) * (alpha / size)), number(bias))
    if round(beta, 6) not in (0.5, 0.75, 1):
        raise NoRuleError(f"to the power of {beta}")
    below = total if round(beta, 6) == 1 else form.each(total, "sqrt")
    below = multiply(form, below, form.each(below, "sqrt")) if round(beta, 6) == 0.75 else below
    return divide(form, view, below)


def group_norm(form: NormalForm, view: View, groups: int, epsilon: float, gamma: Stored, beta: Stored) -> View:
    """Add a normalisation of [1, C, ...] over places and the channels of a group; one weight a channel or a group."""
    made = standardise(form, view.reshape(1, groups, -1), (2,), epsilon).reshape(*view.at.shape)
    channels, ones = view.at.shape[1], (1,) * (view.at.ndim - 2)
    spread = [
        one.map(lambda array: np.repeat(array, channels // array.size).reshape(-1, *ones)) for one in (gamma, beta)
    ]
    return form.affine(made, *spread)


def gelu(form: NormalForm, view: View, *, tanh: bool = False) -> View:
    """Add x * (1 + erf(x / sqrt(2))) / 2, or what stands for it with tanh."""
    if tanh:
        cube = form.affine(power(form, view, 3), number(0.044715))
        gate = form.each(form.affine(form.binary("add", view, cube), number(math.sqrt(2 / math.pi))), "tanh")
    else:
        gate = erf(form, form.affine(view, number(math.sqrt(0.5))))
    return multiply(form, view, form.affine(gate, number(0.5), number(0.5)))


def erf(form: NormalForm, view: View) -> View:
    """Add the error function; that of a negative scale is minus that of a positive one, and so are those of weights.

    Weights are turned so that the largest is above zero: what scales and shifts behind them is part of them. From 4 on
    it is 1 in float32, so that no end beyond that is one.
    """
    term = form.terms[view.source]
    if term.kind == "clip":
        low, high = term.stored["ends"].values[:2]
        wide = -math.inf if low <= -4 else low, math.inf if high >= 4 else high
        if wide != (low, high):
            return erf(form, form.clip(View(view.at, term.inputs[0]), *wide))
    if term.kind in ("conv", "matmul"):
        weights = term.stored["kernel"].values.reshape(-1)
        turned = weights[np.abs(weights).argmax()] < 0
        return negative(form, form.each(negative(form, view), "erf")) if turned else form.each(view, "erf")
    if term.kind == "affine" and not term.stored["offset"].base.any() and (term.stored["scale"].values < 0).all():
        return negative(form, form.each(negative(form, view), "erf"))
    return form.each(view, "erf")


# Of Eigen's error function of float32, which TensorFlow computes, too: s * P(t) / Q(t) with s = x / 4 between -1 and 1
# and t = s * s; from the constant on.
ERF_ABOVE = (4.51351637579, 13.2560705853, 52.7615964612, 65.3822158494, 38.6106495836, -8.14671768025, 1.28252125313)
ERF_BELOW = (1.0, 8.27027162923, 30.20060191, 61.268567709, 66.9204028963)


def quotient(form: NormalForm, left: View, right: View) -> View:
    """Add a quotient; that of the two polynomials by which TensorFlow computes it is the error function."""
    made = divide(form, left, right)
    below = None if left.term is None or right.term is None else form.terms[right.term]
    if below is None or below.kind != "affine" or form.terms[below.inputs[0]].kind != "mul":
        return made
    waiting, seen = [made.source], set[int]()
    while waiting and len(seen) < 64:
        index = waiting.pop(0)
        term = form.terms[index]
        if index not in seen and term.kind == "clip" and term.shape == form.terms[made.source].shape:
            found = _erf_of(form, View(made.at, index), made)
            if found is not None:
                return found
        seen.add(index)
        waiting += term.inputs
    return made


def _erf_of(form: NormalForm, side: View, made: View) -> View | None:
    """Return the error function of four times a number between -1 and 1, where its quotient is what was made."""
    square, both = multiply(form, side, side), []
    for factors in (ERF_ABOVE, ERF_BELOW):
        last = multiply(form, square, View(np.asarray(factors[-1], np.float32)))
        for at in reversed(range(len(factors) - 1)):
            last = form.binary("add", last, View(np.asarray(factors[at], np.float32)))
            last = multiply(form, last, square) if at else last
        both.append(last)
    wanted = divide(form, multiply(form, both[0], side), both[1])
    if wanted.term != made.term or not np.array_equal(wanted.at, made.at):
        return None
    return erf(form, form.affine(side, number(4)))


def prelu(form: NormalForm, view: View, slope: Stored) -> View:
    """Add max(x, 0) - slope * max(-x, 0)."""
    below = form.clip(negative(form, view), low=0)
    return form.binary("add", form.clip(view, low=0), form.affine(below, slope.times(number(-1))))


def softmax(form: NormalForm, view: View, axis: int = -1) -> View:
    """Add a softmax over an axis."""
    last = view.map(lambda at: np.moveaxis(at, axis, -1))
    shape = (last.at.size // last.at.shape[-1], last.at.shape[-1])
    order = np.argsort(last.at.reshape(shape)[:, 0], kind="stable")  # whichever stands first, they are one term
    rows = View(last.at.reshape(shape)[order], last.term)
    made = form.add("softmax", (form.ordered(rows, shape),), shape, (shape,))
    places = np.arange(last.at.size, dtype=np.int32).reshape(shape)[np.argsort(order)].reshape(last.at.shape)
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
