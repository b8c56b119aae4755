"""Batch normalisation as a Keras layer, with the gamma that TensorFlow's rsqrt needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from convert.keras_walk import Value, Walk, layer_name, only, unknown
from convert.onnx_graph import Node


def batch_normalization(walk: Walk, node: Node, values: list[Value | None]) -> Value:
    """BatchNormalization on the last axis, with ONNX's epsilon (Keras's own default is 1e-3).

    Not in training mode, statistics stored, channels in ONNX's second axis. A layer, not folded into the
    convolution: a H5 or `.keras` file can be fine-tuned, and TFLite folds it itself.
    """
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

    return value.like(walk.layer(node, make, arrays, value.tensor))


def _for_rsqrt(gamma: NDArray[Any], variance: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Return the gamma whose product with TensorFlow's float32 rsqrt is the one that ONNX means.

    That rsqrt is low by 8e-9 on average; over 53 layers it put SavedModel and TFLite 7 dB further from
    float64 than eager PyTorch is (kermany, 512 films; docs/log.md). Gamma moves by a float32 step or so.
    """
    root = np.sqrt(variance.astype(np.float64) + epsilon)
    found = tf.math.rsqrt(tf.constant(variance) + np.float32(epsilon)).numpy().astype(np.float64)
    corrected: NDArray[Any] = (gamma.astype(np.float64) / root / found).astype(np.float32)
    return corrected
