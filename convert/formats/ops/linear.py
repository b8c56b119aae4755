"""Matrix products and normalisation."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.onnx_graph import Node
from convert.formats.ops.walk import (
    CHANNELS_LAST,
    IMAGE_RANK,
    Value,
    Walk,
    as_image,
    as_onnx,
    here,
    image,
    layer_name,
    only,
    shared,
    unknown,
)

MOST_CUMULATED = 1024  # places of an axis, whose triangle is a megabyte or four

# --- dense ---
# Products with stored weights, on the last axis, whether or not rows are folded into the batch.


def gemm(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Dense, with or without a bias.

    TFLite: FULLY_CONNECTED.

    Weight and bias stored, of rank 2 and 1; no alpha, beta or transA.
    """
    attributes = node.attributes
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        raise unknown(node, "alpha, beta or transA is set")
    weight, bias = walk.constant(node, 1), walk.given(node, 2)
    if bias is not None and (bias.ndim > 1 and bias.shape[0] != 1):
        raise unknown(node, f"its bias {list(bias.shape)} differs from film to film, or from row to row")
    return _dense(
        walk, node, only(node, values, anywhere=True), weight.T if attributes.get("transB", 0) else weight, bias
    )


def matmul(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Dense without a bias, between Permute where the left side is stored; of two tensors `keras.ops.matmul`.

    TFLite: FULLY_CONNECTED, with TRANSPOSE around it of a stored left side; BATCH_MATMUL of two tensors.

    One side is a stored matrix; an Add of a stored vector behind it is a Rescaling. Or two tensors of one
    rank, as of attention, whose axes but the last two are equal.
    """
    if values[0] is None:
        return _stored_left(walk, node, as_onnx(walk, node, only(node, values, 1)), walk.film(node, 0))
    if values[0] is not None and values[1] is not None:
        return _product(walk, node, only(node, values), only(node, values, 1))
    value, weight = only(node, values, anywhere=True), walk.film(node, 1)
    if not 2 <= weight.ndim <= len(value.sizes) or prod(weight.shape[:-2]) != 1:
        raise unknown(node, f"its weights {list(weight.shape)} are no matrix")
    return _dense(walk, node, value, weight.reshape(weight.shape[-2:]), None)


def _stored_left(walk: Walk, node: Node, value: Value, weight: NDArray[Any]) -> Value:
    """Return a stored matrix [M, K] times [N, ..., K, columns]: turned, it is a dense layer."""
    rank, name = len(value.tensor.shape), layer_name(node)
    matrix = weight.reshape(weight.shape[-2:]) if weight.ndim > 1 and prod(weight.shape[:-2]) == 1 else weight
    fits = matrix.ndim == 2 and 3 <= rank >= weight.ndim and matrix.shape[1] == value.tensor.shape[-2]
    if not fits or value.rows > 1:
        raise unknown(node, f"its stored left side {list(weight.shape)} does not fit {['N', *value.shape]}")
    order = (*range(rank - 2), rank - 1, rank - 2)
    turned = walk.make.permute(value.tensor, order, f"{name}.turned")
    made = walk.make.dense(turned, np.ascontiguousarray(matrix.T), None, f"{name}.dense", (node.op, node.inputs[0]))
    return Value(walk.make.permute(made, order, name))


def cumulated(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Dense with a triangle of ones, with Permute around it where its axis is not the last.

    TFLite: FULLY_CONNECTED, with TRANSPOSE around it where its axis is not the last.

    Over a stored axis but the batch, of at most 1024 places; exclusive and backwards, too. Not of what may be infinite:
    behind a Log, Exp, Pow, Sqrt, Reciprocal or a Div by computed numbers.
    """
    value, name, axis = only(node, values), layer_name(node), int(walk.constant(node, 1).reshape(()))
    axis %= len(value.sizes)
    size, count, place = value.sizes[axis], len(value.tensor.shape), here(value, axis)
    if axis == 0 or size > MOST_CUMULATED:
        raise unknown(
            node, f"axis {axis} holds the batch, or {size} places, of which at most {MOST_CUMULATED} are summed"
        )
    triangle = np.triu(np.ones((size, size), np.float32), node.attributes.get("exclusive", 0))
    triangle = np.ascontiguousarray(triangle.T) if node.attributes.get("reverse", 0) else triangle
    front = [at for at in range(count) if at not in {here(value, one) for one in range(1, len(value.sizes))}]
    order = [*front, *(here(value, one) for one in range(1, len(value.sizes)) if one != axis), place]
    moves = order != list(range(count))  # to ONNX's order, but for its axis
    tensor = walk.make.permute(value.tensor, order, f"{name}.last") if moves else value.tensor
    made = walk.make.dense(tensor, triangle, None, f"{name}.sum" if moves else name, (shared(node), size))
    made = walk.make.permute(made, [order.index(at) for at in range(count)], name) if moves else made
    return value.like(made, nonnegative=value.nonnegative)


def einsum(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """`keras.ops.matmul` of two tensors, or Dense of stored numbers, with Permute and Reshape.

    TFLite: BATCH_MATMUL of two tensors, or FULLY_CONNECTED of stored numbers, with TRANSPOSE and RESHAPE around it.

    Of two operands, each letter once in either, with no ellipsis; the batch comes first in each and in what is made.
    What both have is summed, or kept where both are computed; what one alone has is kept.
    """
    named = _letters(node, values)
    given: list[Any] = []
    for at, letters in enumerate(named[:2]):
        one = None if values[at] is None else as_onnx(walk, node, only(node, values, at), at)
        given.append(walk.constant(node, at) if one is None else one.tensor)
        if len(given[at].shape) != len(letters) or (one is not None and one.rows > 1):
            raise unknown(node, f"its input {at} does not have the axes of {letters}")
    sizes = [dict(zip(letters, one.shape, strict=True)) for letters, one in zip(named[:2], given, strict=True)]
    if any(sizes[0][one] != sizes[1][one] for one in sizes[0].keys() & sizes[1].keys()):
        raise unknown(node, "its inputs differ in the size of an axis of one letter")
    if None not in values:
        return _einsum_of_two(walk, node, given[0], given[1], named)
    at = values.index(None)
    return _einsum_with_stored(walk, node, given[1 - at], given[at], (named[1 - at], named[at], named[2]))


def _letters(node: Node, values: list[Value | None]) -> tuple[str, str, str]:
    """Return the letters of two operands, of which that of the batch is the first, and of the result."""
    given, arrow, made = node.attributes["equation"].decode().replace(" ", "").partition("->")
    operands = given.split(",")
    if not arrow:
        made = "".join(sorted(one for one in set(given) - {","} if given.count(one) == 1))
    once = all(len(set(one)) == len(one) and one.isalpha() for one in (*operands, made))
    if len(operands) != 2 or not once:
        raise unknown(node, f"{given}->{made} is not of two operands, each letter once in either, without an ellipsis")
    computed = [one for one, value in zip(operands, values, strict=True) if value is not None]
    stored = [one for one, value in zip(operands, values, strict=True) if value is None]
    batch, shared_letters = computed[0][0], set(operands[0]) & set(operands[1])
    if any(one[:1] != batch for one in (*computed, made)) or any(batch in one for one in stored):
        raise unknown(node, f"{given}->{made} does not keep the batch in front")
    alone = set(operands[0]) ^ set(operands[1])
    if not alone <= set(made) <= alone | shared_letters or (stored and set(made) & shared_letters):
        raise unknown(node, f"{given}->{made} sums what one operand alone has, or keeps what stored numbers have, too")
    return operands[0], operands[1], made


def _einsum_of_two(walk: Walk, node: Node, left: Any, right: Any, named: tuple[str, str, str]) -> Value:
    """Return a sum of products of computed numbers as a product of matrices."""
    sizes = dict(zip(named[0] + named[1], (*left.shape, *right.shape), strict=True))
    kept = [one for one in named[0][1:] if one in named[1] and one in named[2]]
    summed = [one for one in named[0] if one in named[1] and one not in named[2]]
    rows, columns = ([one for one in named[at] if one not in named[1 - at]] for at in (0, 1))

    def count(letters: list[str]) -> int:
        return prod(sizes[one] for one in letters)

    front, name, batch = ((count(kept),) if kept else ()), layer_name(node), named[0][0]
    one = _arranged(
        walk, left, named[0], [batch, *kept, *rows, *summed], (*front, count(rows), count(summed)), f"{name}.left"
    )
    other = _arranged(
        walk,
        right,
        named[1],
        [batch, *kept, *summed, *columns],
        (*front, count(summed), count(columns)),
        f"{name}.right",
    )
    made = walk.make.product(one, other, f"{name}.product")
    return _rearranged(walk, made, [batch, *kept, *rows, *columns], named[2], sizes, name)


def _einsum_with_stored(
    walk: Walk, node: Node, tensor: Any, numbers: NDArray[Any], named: tuple[str, str, str]
) -> Value:
    """Return a sum of products with stored numbers as a dense layer; the first letters are the tensor's."""
    sizes, name = dict(zip(named[0] + named[1], (*tensor.shape, *numbers.shape), strict=True)), layer_name(node)
    summed = [one for one in named[0] if one in named[1]]
    rows, columns = ([one for one in named[at] if one not in named[1 - at]] for at in (0, 1))
    inner = prod(sizes[one] for one in summed)
    wanted = (*(sizes[one] for one in rows[1:]), inner)
    laid = _arranged(walk, tensor, named[0], [*rows, *summed], wanted, f"{name}.left")
    kernel = numbers.transpose([named[1].index(one) for one in (*summed, *columns)]).reshape(inner, -1)
    made = walk.make.dense(laid, np.ascontiguousarray(kernel), None, f"{name}.product", (shared(node), node.inputs))
    return _rearranged(walk, made, [*rows, *columns], named[2], sizes, name)


def _arranged(walk: Walk, tensor: Any, letters: str, wanted: list[str], sizes: tuple[int, ...], name: str) -> Any:
    """Return a tensor with its axes in another order, and then in other sizes."""
    order = [letters.index(one) for one in wanted]
    if order != list(range(len(order))):
        tensor = walk.make.permute(tensor, order, f"{name}.order")
    return tensor if tuple(tensor.shape[1:]) == sizes else walk.make.reshape(tensor, sizes, f"{name}.sizes")


def _rearranged(walk: Walk, tensor: Any, letters: list[str], wanted: str, sizes: dict[str, int], name: str) -> Value:
    """Return what was made of rows and columns with an axis for each letter, in their order."""
    tensor = walk.make.reshape(tensor, tuple(sizes[one] for one in letters[1:]), f"{name}.sizes")
    order = [letters.index(one) for one in wanted]
    return Value(tensor if order == list(range(len(order))) else walk.make.permute(tensor, order, name))


def _product(walk: Walk, node: Node, left: Value, right: Value) -> Value:
    one, other = as_onnx(walk, node, left), as_onnx(walk, node, right, 1)
    shapes = [list(each.tensor.shape[1:]) for each in (one, other)]
    fits = len(shapes[0]) == len(shapes[1]) > 1 and shapes[0][:-2] == shapes[1][:-2] and shapes[0][-1] == shapes[1][-2]
    if not fits or one.rows != other.rows:
        raise unknown(node, f"{['N', *shapes[0]]} and {['N', *shapes[1]]} are no matrices whose other axes are equal")
    made = walk.make.product(one.tensor, other.tensor, layer_name(node))
    return Value(made, rows=one.rows, nonnegative=one.nonnegative and other.nonnegative)


def _dense(walk: Walk, node: Node, value: Value, weight: NDArray[Any], bias: NDArray[Any] | None) -> Value:
    if value.channels_first or value.batch_at == len(value.sizes) - 1 or value.shape[-1] != weight.shape[0]:
        raise unknown(node, f"weights {list(weight.shape)} don't fit {list(value.shape)}; flatten the image before")
    count = weight.shape[1]
    biases = None if bias is None else np.broadcast_to(bias.reshape(-1), (count,))
    made = walk.make.dense(value.tensor, weight, biases, layer_name(node), shared(node))
    return Value(made, rows=value.rows, rows_first=value.rows_first, batch_at=value.batch_at)


# --- normalise ---
# By stored statistics, or by those of each film.


def batch_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """BatchNormalization on the last axis, with ONNX's epsilon (Keras's own default is 1e-3).

    TFLite: MUL and ADD, or folded into weights before it.

    Not in training mode, statistics stored, channels in ONNX's second axis. A layer, not folded into the
    convolution: a H5 or `.keras` file can be fine-tuned, and TFLite folds it itself.
    """
    value = only(node, values)
    value = image(walk, node, values) if len(value.tensor.shape) == IMAGE_RANK and value.rows == 1 else value
    rows_only = len(value.tensor.shape) - (value.rows > 1) == 2
    if node.attributes.get("training_mode", 0) or (walk.opset < 14 and len(node.outputs) > 1):
        raise unknown(node, "it is in training mode: it normalises a film by those that come with it")
    if not (value.channels_first or rows_only):
        raise unknown(node, "its channels are not the last axis here")
    tensor = walk.make.normalise(
        value.tensor,
        [walk.constant(node, index) for index in (1, 2, 3, 4)],
        layer_name(node),
        shared(node),
        epsilon=node.attributes.get("epsilon", 1e-5),
        momentum=node.attributes.get("momentum", 0.9),
    )
    return value.like(tensor)


def layer_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """LayerNormalization.

    TFLite: MEAN, SUB, MUL, MEAN, ADD, SQRT, DIV and MUL; MUL and ADD for gamma and beta.

    Over the last axis, such as that of channels behind a Transpose, or the last several; gamma and beta stored. One
    that is written out is known, too, over the last axis or over channels: gamma and beta are then Rescaling.
    """
    value = only(node, values)
    rank = len(value.tensor.shape) - (value.rows > 1)
    axes = [axis % rank for axis in node.attributes.get("axes", range(node.attributes.get("axis", -1) % rank, rank))]
    if len(axes) > 1 and axes[0] > 0 and value.rows == 1:
        return _over_several(walk, node, value, axes)
    value = as_onnx(walk, node, value) if axes == [rank - 1] else value
    if axes not in ([rank - 1], [1]) or (axes == [1] and not value.channels_first and rank != 2):
        raise unknown(node, f"axes {axes} of {['N', *value.shape]} are not the last one")
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    gamma, beta = (walk.given(node, index) for index in (1, 2))
    for one in (gamma, beta):
        if one is not None and one.shape != value.tensor.shape[-1:]:
            raise unknown(node, f"its weights {list(one.shape)} are not one a channel")
    last = (len(value.tensor.shape) - 1,)
    made = walk.make.standardise(
        value.tensor, (gamma, beta), layer_name(node), shared(node), axes=last, epsilon=epsilon
    )
    return value.like(made)


def _over_several(walk: Walk, node: Node, value: Value, axes: list[int]) -> Value:
    """Return a normalisation over the last axes as ONNX counts them, gamma and beta of these sizes."""
    name, epsilon = layer_name(node), float(node.attributes.get("epsilon", 1e-5))
    gamma, beta = (walk.given(node, index) for index in (1, 2))
    if any(one is not None and one.shape != tuple(value.sizes[axis] for axis in axes) for one in (gamma, beta)):
        raise unknown(node, f"its weights are not of the sizes of axes {axes} of {['N', *value.shape]}")
    over = tuple(sorted(here(value, axis) for axis in axes))
    plain = gamma is None and beta is None
    made = walk.make.standardise(
        value.tensor, (None, None), name if plain else f"{name}.normal", shared(node), axes=over, epsilon=epsilon
    )

    def laid(weights: NDArray[Any]) -> NDArray[Any]:
        whole = weights.reshape(1, *(1,) * (axes[0] - 1), *weights.shape)
        return np.ascontiguousarray(whole.transpose(CHANNELS_LAST) if value.channels_first else whole)

    if gamma is not None:
        made = walk.make.times(made, laid(gamma), name if beta is None else f"{name}.scaled")
    return value.like(made if beta is None else walk.make.plus(made, laid(beta), name))


def instance_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """LayerNormalization over places, and Rescaling.

    TFLite: MEAN, SUB, MUL, MEAN, ADD, SQRT, DIV and MUL; MUL and ADD for weights.

    Of an image, or of rows [N, C, places] as PyTorch writes a GroupNorm: Reshape, InstanceNormalization, Reshape, Mul
    and Add. Weights stored.
    """
    value, scale, offset = only(node, values), walk.constant(node, 1), walk.constant(node, 2)
    value = as_image(walk, node, value) if len(value.tensor.shape) == IMAGE_RANK and value.rows == 1 else value
    rank, epsilon = len(value.tensor.shape), float(node.attributes.get("epsilon", 1e-5))
    if value.rows > 1 or rank < 3 or not scale.shape == offset.shape == (value.shape[0],):
        raise unknown(node, f"its weights {list(scale.shape)} or {['N', *value.shape]} are not of channels and places")
    axes = tuple(here(value, axis) for axis in range(2, rank))
    return _standardised(walk, node, value, axes, epsilon, scale, offset)


def group_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape around LayerNormalization over places and the channels of a group, and Rescaling.

    TFLite: RESHAPE, MEAN, SUB, MUL, MEAN, ADD, SQRT, DIV, MUL and RESHAPE; MUL and ADD for weights.

    Of an image. Weights stored, one a channel, or before opset 21 one a group.
    """
    value, scale, offset = image(walk, node, values), walk.constant(node, 1), walk.constant(node, 2)
    rows, columns, channels = value.tensor.shape[1:]
    groups, wanted = node.attributes["num_groups"], channels if walk.opset >= 21 else node.attributes["num_groups"]
    if channels % groups or not scale.shape == offset.shape == (wanted,):
        raise unknown(node, f"{groups} groups of {channels} channels don't fit weights {list(scale.shape)}")
    name, each = layer_name(node), channels // groups
    grouped = walk.make.reshape(value.tensor, (rows * columns, groups, each), f"{name}.groups")
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    normal = walk.make.standardise(grouped, (None, None), f"{name}.normal", shared(node), axes=(1, 3), epsilon=epsilon)
    back = walk.make.reshape(normal, (rows, columns, channels), f"{name}.image")
    scale, offset = (np.repeat(one, channels // wanted) for one in (scale, offset))
    return value.like(walk.make.scale(back, scale.tolist(), offset.tolist(), name))


def _standardised(
    walk: Walk,
    node: Node,
    value: Value,
    axes: tuple[int, ...],
    epsilon: float,
    scale: NDArray[Any],
    offset: NDArray[Any],
) -> Value:
    """Return a normalisation over places, scaled a channel where weights are more than ones and zeros."""
    name, plain = layer_name(node), bool((scale == 1).all() and not offset.any())
    first = name if plain else f"{name}.normal"
    made = walk.make.standardise(value.tensor, (None, None), first, shared(node), axes=axes, epsilon=epsilon)
    if plain:
        return value.like(made)
    if value.channels_first:
        return value.like(walk.make.scale(made, scale.tolist(), offset.tolist(), name))
    by_place = (1, -1, *(1,) * (len(axes)))
    made = walk.make.times(made, scale.reshape(by_place), f"{name}.scaled")
    return value.like(walk.make.plus(made, offset.reshape(by_place), name))


def local_response(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Multiply, Dense with a band of weights, `keras.ops.sqrt` and `keras.ops.divide`.

    TFLite: MUL, FULLY_CONNECTED, SQRT, MUL and DIV.

    Of an image; beta is 1/2, 3/4 or 1.
    """
    value, name, make = image(walk, node, values), layer_name(node), walk.make
    size, beta = node.attributes["size"], round(node.attributes.get("beta", 0.75), 6)
    if beta not in (0.5, 0.75, 1):
        raise unknown(node, f"its beta {beta} is not 1/2, 3/4 or 1")
    channels, tensor = value.shape[0], value.tensor
    ahead = np.arange(channels)[:, None] - np.arange(channels) + (size - 1) // 2  # [read, made]
    band = np.where((ahead >= 0) & (ahead < size), node.attributes.get("alpha", 1e-4) / size, 0).astype(np.float32)
    bias = np.full(channels, node.attributes.get("bias", 1.0), np.float32)
    square = make.combine([tensor, tensor], "multiply", f"{name}.square")
    below = make.dense(square, band, bias, f"{name}.sum", shared(node))
    if beta < 1:
        below = make.activation(below, "sqrt", f"{name}.root")
    if beta == 0.75:
        below = make.combine([below, make.activation(below, "sqrt", f"{name}.fourth")], "multiply", f"{name}.power")
    return value.like(make.combine([tensor, below], "divide", name), nonnegative=value.nonnegative)
