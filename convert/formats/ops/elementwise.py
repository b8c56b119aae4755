"""Activations, arithmetic and concatenation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Node
from convert.formats.ops.builder import Activation, Combination
from convert.formats.ops.walk import (
    CHANNELS_LAST,
    IMAGE_RANK,
    MOST_COPIES,
    Value,
    Walk,
    alike,
    by_place,
    here,
    layer_name,
    only,
    shared,
    together,
    unknown,
)

# --- activate ---
# Functions of each number by itself; each says whether it can be negative.

SIXTH = 1 / 6  # ONNX and PyTorch write it in float32: 0.1666666...


def relu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU.

    TFLite: RELU, or part of what it reads.
    """
    return _activation(walk, "relu", node, only(node, values), nonnegative=True)


def sigmoid(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("sigmoid").

    TFLite: LOGISTIC.
    """
    return _activation(walk, "sigmoid", node, only(node, values), nonnegative=True)


def tanh(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("tanh").

    TFLite: TANH.
    """
    return _activation(walk, "tanh", node, only(node, values), nonnegative=False)


def hard_swish(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("hard_silu").

    TFLite: HARD_SWISH.
    """
    return _activation(walk, "hard_silu", node, only(node, values), nonnegative=False)


def hard_sigmoid(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("hard_sigmoid") for alpha 1/6 and beta 1/2; else Rescaling and ReLU(max_value=1).

    TFLite: ADD with RELU6 and MUL; else MUL, ADD, RELU, MINIMUM.
    """
    value, name = only(node, values), layer_name(node)
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)  # ONNX's own defaults
    if math.isclose(alpha, SIXTH, rel_tol=1e-6) and beta == 0.5:
        return _activation(walk, "hard_sigmoid", node, value, nonnegative=True)
    line = walk.make.scale(value.tensor, alpha, beta, f"{name}.line")
    return value.like(walk.make.activation(line, "relu", name, most=1.0), nonnegative=True)


def leaky_relu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """LeakyReLU.

    TFLite: LEAKY_RELU.
    """
    value, slope = only(node, values), node.attributes.get("alpha", 0.01)
    return value.like(walk.make.activation(value.tensor, "leaky_relu", layer_name(node), slope=slope))


def elu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ELU.

    TFLite: ELU; for another alpha than 1 MINIMUM, MUL, RELU and ADD as well.
    """
    value, alpha = only(node, values), node.attributes.get("alpha", 1.0)
    return value.like(walk.make.activation(value.tensor, "elu", layer_name(node), alpha=alpha))


def absolute(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU of both signs, and Add.

    TFLite: ABS.
    """
    return _activation(walk, "abs", node, only(node, values), nonnegative=True)


def exponential(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("exponential").

    TFLite: EXP.
    """
    return _activation(walk, "exponential", node, only(node, values), nonnegative=True)


def logarithm(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.log`.

    TFLite: LOG.
    """
    return _activation(walk, "log", node, only(node, values), nonnegative=False)


def square_root(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.sqrt`.

    TFLite: SQRT.
    """
    return _activation(walk, "sqrt", node, only(node, values), nonnegative=True)


def negative(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Rescaling.

    TFLite: MUL.
    """
    value = only(node, values, anywhere=True)
    return value.like(walk.make.scale(value.tensor, -1.0, 0.0, layer_name(node)))


def sine(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.sin`.

    TFLite: SIN.
    """
    return _activation(walk, "sin", node, only(node, values), nonnegative=False)


def cosine(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.cos`.

    TFLite: COS.
    """
    return _activation(walk, "cos", node, only(node, values), nonnegative=False)


def softsign(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU of both signs, Add, Rescaling, and `keras.ops.divide`.

    TFLite: DIV by ABS and ADD.
    """
    value, name, make = only(node, values), layer_name(node), walk.make
    below = make.scale(make.activation(value.tensor, "abs", f"{name}.size"), 1.0, 1.0, f"{name}.below")
    return value.like(make.combine([value.tensor, below], "divide", name), nonnegative=value.nonnegative)


def celu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ELU between two Rescaling.

    TFLite: MUL, ELU and MUL.
    """
    value, name, alpha = only(node, values), layer_name(node), node.attributes.get("alpha", 1.0)
    inner = walk.make.scale(value.tensor, 1 / alpha, 0.0, f"{name}.inner") if alpha != 1 else value.tensor
    made = walk.make.activation(inner, "elu", f"{name}.elu" if alpha != 1 else name, alpha=1.0)
    return value.like(walk.make.scale(made, alpha, 0.0, name) if alpha != 1 else made)


def reciprocal(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.reciprocal`.

    TFLite: DIV.
    """
    return _activation(walk, "reciprocal", node, only(node, values), nonnegative=False)


def softplus(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("softplus").

    TFLite: RELU and ADD with the LOG of 1 and an EXP, behind ABS, MUL and ADD.
    """
    return _activation(walk, "softplus", node, only(node, values), nonnegative=True)


def mish(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("softplus"), Activation("tanh") and Multiply.

    TFLite: MUL with the TANH of RELU and ADD with the LOG of 1 and an EXP, behind ABS, MUL and ADD.
    """
    value, name = only(node, values), layer_name(node)
    gate = walk.make.activation(value.tensor, "softplus", f"{name}.softplus")
    gate = walk.make.activation(gate, "tanh", f"{name}.gate")
    return value.like(walk.make.combine([value.tensor, gate], "multiply", name))


def selu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ELU and Rescaling.

    TFLite: ELU, MINIMUM, MUL, RELU and ADD, and MUL.
    """
    value, name = only(node, values), layer_name(node)
    alpha, gamma = node.attributes.get("alpha", 1.67326319), node.attributes.get("gamma", 1.05070102)  # ONNX's own
    made = walk.make.activation(value.tensor, "elu", f"{name}.elu", alpha=alpha)
    return value.like(walk.make.scale(made, gamma, 0.0, name))


def gelu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Activation("gelu"); by tanh Multiply, Rescaling, Add and Activation("tanh").

    TFLite: GELU; by tanh MUL, ADD and TANH.

    One that is written out with Erf, too.
    """
    value, name = only(node, values), layer_name(node)
    if node.attributes.get("approximate", b"none") == b"none":
        return _activation(walk, "gelu", node, value, nonnegative=False)
    x, make = value.tensor, walk.make
    cube = make.combine([make.combine([x, x], "multiply", f"{name}.square"), x], "multiply", f"{name}.cube")
    inner = make.combine([x, make.scale(cube, 0.044715, 0.0, f"{name}.share")], "add", f"{name}.inner")
    gate = make.activation(make.scale(inner, math.sqrt(2 / math.pi), 0.0, f"{name}.scaled"), "tanh", f"{name}.tanh")
    return value.like(make.combine([x, make.scale(gate, 0.5, 0.5, f"{name}.gate")], "multiply", name))


def error_function(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.erf`.

    TFLite: MUL, MAXIMUM and MINIMUM, two polynomials of MUL and ADD, and DIV.

    By itself; where it is part of a written out Gelu it is one. TFLite has no such operator: Eigen's quotient, which
    TensorFlow computes too, is within 4 float32 steps of it.
    """
    return _activation(walk, "erf", node, only(node, values), nonnegative=False)


def prelu(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """PReLU.

    TFLite: PRELU.

    Slopes stored, one or one a channel.
    """
    value, slope = only(node, values), walk.constant(node, 1)
    by_channel = _by_channel(value, slope) if slope.size > 1 else slope.reshape(-1)
    if by_channel is None:
        raise unknown(node, f"its slopes {list(slope.shape)} are neither one nor one a channel")
    slopes = np.broadcast_to(by_channel, value.tensor.shape[-1:])
    return value.like(walk.make.prelu(value.tensor, slopes, layer_name(node), shared(node)))


def power(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Multiply for 2 and 3; `keras.ops.sqrt` for a root, `keras.ops.reciprocal`, `keras.ops.power`.

    TFLite: MUL; SQRT for a root, DIV for a reciprocal; POW for any other exponent.

    The exponent is one stored number.
    """
    value, name, exponent = only(node, values), layer_name(node), walk.constant(node, 1)
    number, make, tensor = float(exponent.reshape(-1)[0]), walk.make, value.tensor
    if exponent.size != 1 or not math.isfinite(number):
        raise unknown(node, f"its exponent {exponent.reshape(-1)[:4].tolist()} is not one number")
    if number not in (2, 3, 0.5, -0.5, -1):
        made = make.activation(tensor, "power", name, exponent=number)
        return value.like(made, nonnegative=value.nonnegative)
    if number in (2, 3):
        made = make.combine([tensor, tensor], "multiply", f"{name}.square" if number == 3 else name)
        made = make.combine([made, tensor], "multiply", name) if number == 3 else made
        return value.like(made, nonnegative=number == 2 or value.nonnegative)
    made = tensor if number == -1 else make.activation(tensor, "sqrt", f"{name}.root" if number < 0 else name)
    made = make.activation(made, "reciprocal", name) if number < 0 else made
    return value.like(made, nonnegative=number != -1)


def extremum(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Maximum or Minimum; of a stored number Maximum or Minimum with Rescaling.

    TFLite: MAXIMUM or MINIMUM.

    Two tensors as of Add, or a tensor and one stored number.
    """
    if len(values) != 2:
        raise unknown(node, f"it has {len(values)} inputs, not 2")
    if None not in values:
        return _of_two(walk, node, only(node, values), only(node, values, 1))
    place = values.index(None)
    value, bound = only(node, values, 1 - place), walk.constant(node, place)
    if bound.size != 1:
        raise unknown(node, f"a constant of shape {bound.shape} is not one number")
    number = float(bound.reshape(()))
    ends = (number, math.inf) if node.op == "Max" else (-math.inf, number)
    made = walk.make.clip(value.tensor, *ends, layer_name(node))
    return value.like(made, nonnegative=number >= 0 and (node.op == "Max" or value.nonnegative))


def total(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Add, several times.

    TFLite: ADD.

    All parts are computed, of the same layout.
    """
    found, first = [only(node, values, index) for index in range(len(values))], only(node, values)
    for number, one in enumerate(found[1:], 2):
        last = number == len(found)
        first = _of_two(walk, node, first, one, suffix="" if last else f".sum{number}")
    return first


def clip(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """ReLU, with max_value where there is a maximum; Maximum and Minimum where the minimum is not 0.

    TFLite: RELU or RELU6, or part of what it reads, and MINIMUM; MAXIMUM and MINIMUM where the minimum is not 0.

    Bounds stored, the minimum below the maximum.
    """
    value, name = only(node, values), layer_name(node)
    low, high = _bound(walk, node, 1, -math.inf), _bound(walk, node, 2, math.inf)
    if not low < high or math.inf in (low, -high) or (low, high) == (-math.inf, math.inf):
        raise unknown(node, f"from {low:g} to {high:g} is no range")
    if low == 0:
        made = walk.make.activation(value.tensor, "relu", name, most=high if math.isfinite(high) else None)
    else:
        made = walk.make.clip(value.tensor, low, high, name)
    return value.like(made, nonnegative=low >= 0 or (value.nonnegative and high >= 0))


def softmax(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Softmax, or Activation("log_softmax"); Permute around it where its axis is not the last.

    TFLite: SOFTMAX or LOG_SOFTMAX; TRANSPOSE around it where its axis is not the last.

    Over any axis but the batch's. Before opset 13 over one axis: that of
    channels of an image of one place, or the last.
    """
    value = only(node, values)
    node_shape, rank = value.shape, len(value.shape) + 1 - (value.rows > 1)
    axis = node.attributes.get("axis", -1 if walk.opset >= 13 else 1) % rank
    if axis == 0:
        raise unknown(node, f"axis 0 of {['N', *node_shape]} is the batch: it mixes films")
    if walk.opset < 13 and math.prod(node_shape[axis:]) > 1:  # it then normalises over all axes from that one on
        raise unknown(node, f"before opset 13 it is one softmax over channels and places of {['N', *node_shape]}")
    kind: Activation = "softmax" if node.op == "Softmax" else "log_softmax"
    place, count, name = here(value, axis), len(value.tensor.shape), layer_name(node)
    if place == count - 1:
        return _activation(walk, kind, node, value, nonnegative=kind == "softmax")
    order = [*range(place), *range(place + 1, count), place]
    made = walk.make.activation(walk.make.permute(value.tensor, order, f"{name}.last"), kind, f"{name}.{kind}")
    back = [*range(place), count - 1, *range(place, count - 1)]
    return value.like(walk.make.permute(made, back, name), nonnegative=kind == "softmax")


def _activation(walk: Walk, kind: Activation, node: Node, value: Value, *, nonnegative: bool) -> Value:
    return value.like(walk.make.activation(value.tensor, kind, layer_name(node)), nonnegative=nonnegative)


def _bound(walk: Walk, node: Node, index: int, default: float) -> float:
    """Return a bound of Clip: an attribute before opset 11, then an input."""
    old: Any = node.attributes.get(("min", "max")[index - 1])
    stored = walk.given(node, index)
    found = float(stored.reshape(())) if stored is not None else default if old is None else float(old)
    limit = float(np.finfo(np.float32).max)  # how the old exporter writes "none"
    return math.copysign(math.inf, found) if abs(found) >= limit else found


# --- combine ---
# Sums, products and joins: of two tensors, or of a tensor and stored numbers.


def arithmetic(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Add, Subtract or Multiply of two tensors, `keras.ops.divide`; Rescaling of stored numbers.

    TFLite: ADD, SUB, MUL or DIV; stored numbers MUL and ADD, or folded into weights before them.

    Two tensors: of the same rank and layout, sizes of 1 stretch (squeeze and excitation). Stored numbers: of any
    sizes that stretch to the tensor's (position embeddings); on the left of Div they are a product with a reciprocal.
    """
    left, right = values
    if left is not None and right is not None:
        return _of_two(walk, node, left, right)
    if left is not None:
        return _with_constant(walk, node, only(node, values, anywhere=True), walk.film(node, 1))
    value, other = only(node, values, 1, anywhere=True), walk.film(node, 0)
    if node.op == "Div":
        upside = walk.make.activation(value.tensor, "reciprocal", f"{layer_name(node)}.reciprocal")
        return _with_constant(walk, replace(node, op="Mul"), value.like(upside), other)
    if node.op == "Sub":
        number = other.astype(np.float64)
        if other.size == 1 or _by_channel(value, other) is not None:
            return _rescale(walk, node, value, np.float64(-1.0), number)
        turned = walk.make.scale(value.tensor, -1.0, 0.0, f"{layer_name(node)}.turned")
        return value.like(walk.make.plus(turned, by_place(node, value, number, walk.batch), layer_name(node)))
    return _with_constant(walk, node, value, other)


def concat(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Concatenate, along channels, height or width of images, or along the last axis; Rescaling by 0 of stored parts.

    TFLite: CONCATENATION.

    Not along the batch. Stored parts, such as a class token, are repeated for each film (Expand), at most 64 places.
    """
    found_there = [only(node, values, at, anywhere=True) for at, one in enumerate(values) if one is not None]
    computed = alike(walk, node, found_there)
    stored = [at for at, one in enumerate(values) if one is None]
    if not computed or any(walk.batch != 1 and node.inputs[at] not in walk.films for at in stored):
        raise unknown(node, f"its input {stored[0]} is a constant that is not repeated for each film")
    first, rank = computed[0], len(computed[0].sizes)
    axis = node.attributes["axis"] % rank
    laid = [(one.channels_first, one.rows, one.rows_first, one.batch_at) for one in computed]
    if axis == first.batch_at or laid != laid[:1] * len(laid) or (stored and first.rows > 1):
        raise unknown(node, f"axis {axis}: its parts are laid out differently, or it joins the batch")
    found, tensors = iter(computed), list[Any]()
    for at, one in enumerate(values):
        tensors.append(_beside(walk, node, at, first, axis) if one is None else next(found).tensor)
    joined = walk.make.join(tensors, here(first, axis), layer_name(node))
    return first.like(joined, nonnegative=not stored and all(one.nonnegative for one in computed))


def _beside(walk: Walk, node: Node, index: int, like: Value, axis: int) -> Any:
    """Return a stored input of a join as a tensor laid out as the others."""
    numbers, place = walk.film(node, index), here(like, axis)
    laid = numbers.transpose(CHANNELS_LAST) if like.channels_first and numbers.ndim == IMAGE_RANK else numbers
    if laid.ndim != len(like.tensor.shape) or laid.shape[0] != 1 or laid.shape[place] > MOST_COPIES:
        raise unknown(node, f"its stored part {list(numbers.shape)} is not one film's, of at most {MOST_COPIES} places")
    return walk.make.stored(like.tensor, laid, place, f"{layer_name(node)}.part{index}")


COMBINATIONS: dict[str, Combination] = {
    "Add": "add",
    "Div": "divide",
    "Max": "maximum",
    "Min": "minimum",
    "Mul": "multiply",
    "Sub": "subtract",
    "Sum": "add",
}


def _of_two(walk: Walk, node: Node, left: Value, right: Value, suffix: str = "") -> Value:
    kind, (left, right) = COMBINATIONS[node.op], together(walk, node, (left, right))
    tensor = walk.make.combine([left.tensor, right.tensor], kind, f"{layer_name(node)}{suffix}")
    return left.like(tensor, nonnegative=node.op != "Sub" and left.nonnegative and right.nonnegative)


def _with_constant(walk: Walk, node: Node, value: Value, other: NDArray[Any]) -> Value:
    number = other.astype(np.float64)
    if other.size == 1 or _by_channel(value, other) is not None:
        pairs = {"Add": (1.0, number), "Sub": (1.0, -number), "Mul": (number, 0.0), "Div": (1.0, -0.0)}
        scale, offset = pairs[node.op]
        return _rescale(walk, node, value, np.divide(1.0, number) if node.op == "Div" else np.asarray(scale), offset)
    places, name = by_place(node, value, number, walk.batch), layer_name(node)
    if node.op in ("Mul", "Div"):
        return value.like(walk.make.times(value.tensor, places if node.op == "Mul" else 1 / places, name))
    return value.like(walk.make.plus(value.tensor, places if node.op == "Add" else -places, name))


def _by_channel(value: Value, other: NDArray[Any]) -> NDArray[Any] | None:
    """Return stored numbers as [C], C in the last axis here; None if they differ from place to place."""
    rank = len(value.shape) + 1
    if value.rows > 1 and other.ndim == 1 and not value.channels_first:  # the last axis, whatever is folded
        return other if other.shape == value.tensor.shape[-1:] else None
    if other.ndim > rank or value.rows > 1 or value.batch_at == rank - 1:
        return None
    sizes = (1,) * (rank - other.ndim) + other.shape
    axis = 1 if value.channels_first else rank - 1
    alone = sizes[axis] == value.tensor.shape[-1] and int(np.prod(sizes)) == sizes[axis]
    return other.reshape(-1) if alone else None


def _rescale(walk: Walk, node: Node, value: Value, scale: Any, offset: Any) -> Value:
    """Return scale * value + offset as a layer; each is one number or one a channel."""
    known = [np.asarray(one) for one in (scale, offset)]
    vectors = [one if one.size == 1 else _by_channel(value, one) for one in known]
    if any(one is None for one in vectors):
        raise unknown(node, f"a constant of shape {max(one.shape for one in known)} is not one a channel")
    numbers = [one.ravel().tolist() if one.size > 1 else float(one.reshape(())) for one in vectors if one is not None]
    tensor = walk.make.scale(value.tensor, numbers[0], numbers[1], layer_name(node))
    kept = all(bool((one >= 0).all()) for one in known)
    return value.like(tensor, nonnegative=value.nonnegative and kept)
