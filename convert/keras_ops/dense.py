"""Products with stored weights as dense layers, on the last axis, whether or not rows are folded into the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

from convert.keras_walk import Value, Walk, layer_name, only, unknown
from convert.onnx_graph import Node


def gemm(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Dense, with or without a bias.

    Weight and bias stored, of rank 2 and 1; no alpha, beta or transA.
    """
    attributes = node.attributes
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        raise unknown(node, "alpha, beta or transA is set")
    weight, bias = walk.constant(node, 1), walk.given(node, 2)
    return _dense(walk, node, only(node, values), weight.T if attributes.get("transB", 0) else weight, bias)


def matmul(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """Dense without a bias.

    The right side is a stored matrix; an Add of a stored vector behind it is a Rescaling.
    """
    value, weight = only(node, values), walk.constant(node, 1)
    if weight.ndim != 2:
        raise unknown(node, f"its weights {list(weight.shape)} are no matrix")
    return _dense(walk, node, value, weight, None)


def _dense(walk: Walk, node: Node, value: Value, weight: NDArray[Any], bias: NDArray[Any] | None) -> Value:
    if value.channels_first or value.shape[-1] != weight.shape[0]:
        raise unknown(node, f"weights {list(weight.shape)} don't fit {list(value.shape)}; flatten the image before")
    count = weight.shape[1]
    biases = [] if bias is None else [np.broadcast_to(bias.reshape(-1), (count,))]

    def make() -> Any:
        return layers.Dense(count, use_bias=bool(biases), name=layer_name(node))

    return Value(walk.layer(node, make, [weight, *biases], value.tensor), rows=value.rows)
