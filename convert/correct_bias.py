"""Take out of an int8 file what rounding adds on average: channel by channel, from the input inwards.

Rounding of weights and activations shifts the mean of a channel, and what shifts every film the same
way flips decisions in one direction (Nagel 2019, arXiv 1906.04721, section 4.2; here measured on
calibration films instead of derived). Only the int32 biases change, in place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.intermediates import mean_by_channel
from convert.tflite_graph import Operator, TFLiteGraph

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def correct_bias(quantised: bytearray, original: bytes | bytearray, squares: NDArray[np.uint8]) -> int:
    """Shift the biases of every int8 convolution so that its mean output is that of the float file, in place.

    One after the other: corrected together, each would also take out what those before it no longer add, and
    on delhi that was worse than nothing (docs/log.md).

    Args:
        quantised: an int8 TFLite file.
        original: the float file that it was made from; operators have the same names.
        squares: calibration films, uint8 [N, 224, 224].

    Returns:
        The number of convolutions corrected.
    """
    graph = TFLiteGraph(quantised)
    tensors = {operator.output: operator.index for operator in TFLiteGraph(bytearray(original)).operators}
    layers = [one for one in graph.operators if one.kind in CONVOLUTIONS and _correctable(graph, one)]
    layers = [one for one in layers if one.output in tensors]
    wanted = mean_by_channel(original, [tensors[one.output] for one in layers], squares)
    for one in layers:
        found = mean_by_channel(quantised, [one.index], squares)
        _shift(graph, one, found[one.index] - wanted[tensors[one.output]])
    return len(layers)


def _correctable(graph: TFLiteGraph, operator: Operator) -> bool:
    given = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    stored = given and graph.int32_of(operator.inputs[2]) is not None
    return stored and graph.is_int8(operator.index)


def _shift(graph: TFLiteGraph, operator: Operator, surplus: NDArray[np.float64]) -> None:
    """Subtract a mean surplus, float64 [C] in real numbers, from the stored biases."""
    stored = graph.int32_of(operator.inputs[2])
    if stored is None:
        raise ValueError(f"{operator.output} has no bias of its own")
    steps = np.rint(surplus / graph.scale_of(operator.inputs[2])).astype(np.int64)
    limits = np.iinfo(np.int32)
    stored[:] = np.clip(stored.astype(np.int64) - steps, limits.min, limits.max).astype(np.int32)
