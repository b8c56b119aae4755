"""What changes how numbers are stored, or nothing at all."""

from __future__ import annotations

import keras

from convert.keras_walk import Value, Walk, only, unknown
from convert.onnx_graph import Node


def greater(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """A function, which a H5 can't load.

    Greater than one stored number.
    """
    value, bound = only(node, values), walk.constant(node, 1)
    if bound.size != 1:
        raise unknown(node, f"it compares with a constant of shape {bound.shape}, not with one number")
    return value.like(keras.ops.greater(value.tensor, float(bound.reshape(()))), nonnegative=True)


def cast(_: Walk, node: Node, values: list[Value | None]) -> Value:
    """A function, which a H5 can't load; nothing where the tensor is float32 already.

    To float32 only.
    """
    value = only(node, values)
    if node.attributes["to"] != 1:  # TensorProto.FLOAT
        raise unknown(node, "only a cast to float32 is known")
    if value.tensor.dtype == "float32":
        return value
    return value.like(keras.ops.cast(value.tensor, "float32"), nonnegative=value.nonnegative)


def identity(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """No layer.

    Dropout is one of training alone, so not in training mode.
    """
    training = walk.given(node, 2) if node.op == "Dropout" else None
    if training is not None and training.any():
        raise unknown(node, "it is in training mode, where it drops at random")
    return only(node, values)
