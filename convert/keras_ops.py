"""The table of ONNX operations that become Keras layers, and how."""

from __future__ import annotations

from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from convert.keras_walk import Operation, Value, Walk, image, layer_name, only, unknown
from convert.onnx_graph import Node, zeros_only


def _padded(node: Node, value: Value) -> Any:
    top, left, bottom, right = node.attributes.get("pads", [0, 0, 0, 0])
    if not any((top, left, bottom, right)):
        return value.tensor
    return layers.ZeroPadding2D(((top, bottom), (left, right)), name=f"{layer_name(node)}.pad")(value.tensor)


def conv(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Conv: explicit zero padding, then a valid convolution; an all-zero bias is no bias."""
    value, attributes = image(node, values), node.attributes
    weight = walk.constant(node, 1)
    bias = walk.constant(node, 2) if len(node.inputs) > 2 else np.zeros(1, np.float32)
    arrays = [weight.transpose(2, 3, 1, 0)] + ([] if zeros_only(bias) else [bias])

    def make() -> Any:
        return layers.Conv2D(
            weight.shape[0],
            weight.shape[2:],
            strides=tuple(attributes.get("strides", (1, 1))),
            dilation_rate=tuple(attributes.get("dilations", (1, 1))),
            groups=attributes.get("group", 1),
            use_bias=len(arrays) > 1,
            name=layer_name(node),
        )

    return Value(walk.layer(node, make, arrays, _padded(node, value)), channels_first=True)


def batch_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """BatchNormalization: on the last axis, with ONNX's epsilon (Keras's own default is 1e-3)."""
    value = only(node, values)
    rows_only = len(value.tensor.shape) - (value.rows > 1) == 2
    if node.attributes.get("training_mode", 0) or not (value.channels_first or rows_only):
        raise unknown(node, "it is in training mode, or its channels are not the last axis here")
    epsilon = node.attributes.get("epsilon", 1e-5)
    gamma, *others, variance = (walk.constant(node, index) for index in (1, 2, 3, 4))
    arrays = [_for_rsqrt(gamma, variance, epsilon), *others, variance]

    def make() -> Any:
        momentum = node.attributes.get("momentum", 0.9)
        return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=layer_name(node))

    return Value(walk.layer(node, make, arrays, value.tensor), value.channels_first, value.rows)


def _for_rsqrt(gamma: NDArray[Any], variance: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Return the gamma whose product with TensorFlow's float32 rsqrt is the one that ONNX means.

    That rsqrt is low by 8e-9 on average; over 53 layers it put SavedModel and TFLite 7 dB further from
    float64 than eager PyTorch is (kermany, 512 films; docs/log.md). Gamma moves by a float32 step or so.
    """
    root = np.sqrt(variance.astype(np.float64) + epsilon)
    found = tf.math.rsqrt(tf.constant(variance) + np.float32(epsilon)).numpy().astype(np.float64)
    corrected: NDArray[Any] = (gamma.astype(np.float64) / root / found).astype(np.float32)
    return corrected


def gemm(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Gemm: a dense layer on the last axis, whether or not rows are folded into the batch."""
    value, attributes = only(node, values), node.attributes
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        raise unknown(node, "alpha, beta or transA is set")
    weight = walk.constant(node, 1)
    weight = weight.T if attributes.get("transB", 0) else weight
    arrays = [weight, walk.constant(node, 2)]
    dense = walk.layer(node, lambda: layers.Dense(weight.shape[1], name=layer_name(node)), arrays, value.tensor)
    return Value(dense, rows=value.rows)


def relu(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Relu."""
    value = only(node, values)
    return Value(layers.ReLU(name=layer_name(node))(value.tensor), value.channels_first, value.rows)


def sigmoid(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Sigmoid."""
    value = only(node, values)
    tensor = layers.Activation("sigmoid", name=layer_name(node))(value.tensor)
    return Value(tensor, value.channels_first, value.rows)


def pad(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Pad: zeros around height and width, nothing else."""
    value, pads = image(node, values), walk.constant(node, 1)
    fill = walk.constant(node, 2) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
    borders = [*pads[:2], *pads[4:6]]
    if (
        len(pads) != 8
        or any(borders)
        or not zeros_only(fill)
        or node.attributes.get("mode", b"constant") != b"constant"
    ):
        raise unknown(node, "only zeros around height and width can be padded")
    around = ((int(pads[2]), int(pads[6])), (int(pads[3]), int(pads[7])))
    return Value(layers.ZeroPadding2D(around, name=layer_name(node))(value.tensor), channels_first=True)


def _pool(kind: Any) -> Operation:
    def pool(_: Walk, node: Node, values: list[Value | None]) -> Value:
        attributes, value = node.attributes, image(node, values)
        dilated = any(step != 1 for step in attributes.get("dilations", [1, 1]))
        if any(attributes.get("pads", [0])) or attributes.get("ceil_mode", 0) or dilated:
            raise unknown(node, "its padding, dilation or ceil_mode has no exact layer; pad with zeros before it")
        kernel = tuple(attributes["kernel_shape"])
        strides = tuple(attributes.get("strides", (1, 1)))
        return Value(kind(kernel, strides=strides, name=layer_name(node))(value.tensor), channels_first=True)

    return pool


def global_mean(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """GlobalAveragePool, or ReduceMean over the places of an image [N, C, H, W] or of rows [N, places, C]."""
    value = only(node, values)
    keep = bool(node.attributes.get("keepdims", 1))
    rank = len(value.tensor.shape)
    axes = [2, 3] if node.op == "GlobalAveragePool" else sorted(int(axis) % rank for axis in walk.constant(node, 1))
    if (rank, axes, value.channels_first) == (4, [2, 3], True):
        pooled = layers.GlobalAveragePooling2D(keepdims=keep, name=layer_name(node))(value.tensor)
        return Value(pooled, channels_first=keep)
    if (rank, axes, value.rows) == (3, [1], 1):
        return Value(layers.GlobalAveragePooling1D(keepdims=keep, name=layer_name(node))(value.tensor))
    raise unknown(node, f"a mean over axes {axes} of {tuple(value.tensor.shape)} is not a mean over places")


def transpose(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Transpose to channels last, which the tensor already is."""
    value = only(node, values)
    if not value.channels_first or list(node.attributes["perm"]) != [0, 2, 3, 1]:
        raise unknown(node, f"only [N, C, H, W] to [N, H, W, C] is known, not {list(node.attributes['perm'])}")
    return Value(value.tensor)


def reshape(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Reshape, where the batch stays in front; rows folded into it are kept as an axis."""
    value = only(node, values)
    target = [int(size) for size in walk.constant(node, 1)]
    tensor, shape = value.tensor, tuple(value.tensor.shape[1:])
    if value.channels_first and prod(shape[:2]) > 1:
        tensor = layers.Permute((3, 1, 2), name=f"{layer_name(node)}.channels_first")(tensor)
    if target[0] != -1 or min(target[1:], default=0) < 1:
        raise unknown(node, f"the batch must stay in front and alone be unknown, the target is {target}")
    rows, rest = divmod(prod(shape), prod(target[1:]))
    if rest:
        raise unknown(node, f"{shape} does not fit into {target}")
    wanted = tuple(target[1:]) if rows == 1 else (rows, *target[1:])
    reshaped = tensor if wanted == tuple(tensor.shape[1:]) else layers.Reshape(wanted, name=layer_name(node))(tensor)
    return Value(reshaped, rows=rows)


def _with_scalar(node: Node, value: Value, scale: float, offset: float) -> Value:
    tensor = layers.Rescaling(scale, offset, name=layer_name(node))(value.tensor)
    return Value(tensor, value.channels_first, value.rows)


def arithmetic(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Add, Sub, Mul, Div: of two tensors, or of a tensor and a stored constant."""
    left, right = values
    if left is not None and right is not None:
        kind = {"Add": layers.Add, "Mul": layers.Multiply, "Sub": layers.Subtract}.get(node.op)
        if kind is None or left.channels_first != right.channels_first or left.rows != right.rows:
            raise unknown(node, "its two tensors are laid out differently, or there is no such layer")
        return Value(kind(name=layer_name(node))([left.tensor, right.tensor]), left.channels_first, left.rows)
    if left is None:
        if node.op not in ("Add", "Mul"):
            raise unknown(node, "a constant stands on its left")
        left, other = only(node, values, 1), walk.constant(node, 0)
    else:
        other = walk.constant(node, 1)
    return _with_constant(node, left, other)


def _with_constant(node: Node, value: Value, other: NDArray[Any]) -> Value:
    if other.size == 1:
        number = float(other.reshape(()))
        scale, offset = {"Add": (1.0, number), "Sub": (1.0, -number), "Mul": (number, 0.0), "Div": (1.0, -0.0)}[node.op]
        return _with_scalar(node, value, 1.0 / number if node.op == "Div" else scale, offset)
    if node.op != "Mul" or not value.channels_first or other.ndim != 4:
        raise unknown(node, f"a constant of shape {other.shape} is only known as a factor of an image")
    factor = np.ascontiguousarray(other.transpose(0, 2, 3, 1))
    return Value(keras.ops.multiply(value.tensor, factor), channels_first=True)


def greater(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Greater than a stored scalar."""
    value, bound = only(node, values), walk.constant(node, 1)
    if bound.size != 1:
        raise unknown(node, f"it compares with a constant of shape {bound.shape}, not with one number")
    tensor = keras.ops.greater(value.tensor, float(bound.reshape(())))
    return Value(tensor, value.channels_first, value.rows)


def cast(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Cast to float32."""
    value = only(node, values)
    if node.attributes["to"] != 1:  # TensorProto.FLOAT
        raise unknown(node, "only a cast to float32 is known")
    return Value(keras.ops.cast(value.tensor, "float32"), value.channels_first, value.rows)


def identity(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """Identity."""
    return only(node, values)


OPERATIONS: dict[str, Operation] = {
    "Add": arithmetic,
    "AveragePool": _pool(layers.AveragePooling2D),
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Conv": conv,
    "Div": arithmetic,
    "Gemm": gemm,
    "GlobalAveragePool": global_mean,
    "Greater": greater,
    "Identity": identity,
    "MaxPool": _pool(layers.MaxPooling2D),
    "Mul": arithmetic,
    "Pad": pad,
    "ReduceMean": global_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Sub": arithmetic,
    "Transpose": transpose,
}
