"""Biases of the last layers in int8, shifted by what their answers lack on average.

Rounding of weights and activations shifts the mean of a channel, and what shifts every film the same way flips
decisions in one direction (Nagel 2019, arXiv 1906.04721, section 4.2; here measured instead of derived). It is taken
out only where int8 hands over to float32 for good: by then it is the sum of all shifts before, and one layer's biases
make up for it. Every shift is whole steps of an int32 bias, and the file says which (`Scheme.declaration`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from convert.formats.tflite.int8 import MOVES, WEIGHTED, Scheme
from convert.formats.tflite.plain import Operation, Plain
from convert.quantization.statistics import Films, Statistics, run_kept

LEAST_OPEN = (
    0.25  # of a channel's places that a ReLU lets through: what hardly passes is not blown up to make up for it
)


def shift_biases(
    plain: Plain, scheme: Scheme, data: bytes, statistics: Statistics, films: Films, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.int32]]:
    """Return by layer how many steps each of its biases is shifted by, int32 [outputs].

    Args:
        plain: the network.
        scheme: of its file.
        data: the file, without shifts.
        statistics: what the tensors reach in float32 on the same films.
        films: uint8 or float32 [N, H, W, C].
        weights: how much each of them counts, [N]: films near a decision more than others.
    """
    found: dict[str, NDArray[np.int32]] = {}
    ends = last_layers(plain, scheme)
    sums = {name: np.zeros(len(statistics[name].low)) for name in ends}
    for film, tensors in enumerate(run_kept(data, plain, list(ends), films, integer=True)):
        for name, values in tensors.items():
            grid = scheme.grids[name]
            rows = values.reshape(-1, len(sums[name])).astype(np.float64)
            lacks = grid.scale * (rows.mean(axis=0) - grid.zero) - statistics[name].films[film]
            sums[name] += weights[film] * lacks
    for name, layer in ends.items():
        if layer.output.name in found:
            continue
        reached = statistics[name]
        surplus = sums[name] / weights.sum()
        counted = np.maximum((reached.below + reached.above).sum(axis=1), 1)
        passed = (reached.below.sum(axis=1) + reached.above[:, 1:].sum(axis=1)) / counted
        step = scheme.grids[layer.inputs[0].name].scale * scheme.steps[layer.output.name].scale.astype(np.float64)
        by = np.rint(surplus / np.maximum(passed, LEAST_OPEN) / step)
        found[layer.output.name] = -np.clip(by, -(1 << 24), 1 << 24).astype(np.int32)
    return found


def last_layers(plain: Plain, scheme: Scheme) -> dict[str, Operation]:
    """Return by tensor, where int8 hands over to float32, the layer whose biases can make up for its shift."""
    made = {one.output.name: one for one in plain.operations}
    before_int8: set[str] = set()  # tensors of which an operation in int8 makes something
    handed = {one.name for one in plain.outputs.values()}
    for one in reversed(plain.operations):
        inside = one.output.name in scheme.integer
        given = {tensor.name for tensor in one.inputs}
        before_int8 |= given if inside or one.output.name in before_int8 else set()
        handed |= set() if inside else given
    handed = {name for name in handed if name in scheme.integer and name not in before_int8}
    readers = plain.readers()
    found = {name: _layer_of(made[name], made, readers, scheme) for name in sorted(handed)}
    return {name: one for name, one in found.items() if one is not None}


def _layer_of(one: Operation, made: Mapping[str, Operation], readers: Counter[str], scheme: Scheme) -> Operation | None:
    """Return the layer that gives a tensor, or one term of the sum that gives it, and that nothing else reads."""
    if one.kind in WEIGHTED:
        return one if one.output.name in scheme.steps else None
    if one.kind not in (*MOVES, "add", "mean", "relu"):
        return None
    for tensor in one.inputs:
        before = made.get(tensor.name)
        if before is not None and readers[tensor.name] == 1 and tensor.sizes[-1] == one.output.sizes[-1]:
            layer = _layer_of(before, made, readers, scheme)
            if layer is not None:
                return layer
    return None
