"""Channels of more equal reach before they are quantized: the same function, its numbers moved by powers of two.

One int8 grid has to hold all channels of a tensor: a channel that never passes 1 beside one that reaches 20 has twelve
steps left. Between two layers f(x / s) = f(x) / s holds for ReLU, pooling and borders of zeros, so that what writes a
channel may be divided by s and what reads it multiplied (Nagel 2019, arXiv 1906.04721). Here every s is a power of two:
not a bit of any weight changes but its exponent, and whoever reads the file can tell s from it. Only tensors with one
reader take part, never through an activation that has a scale of its own (ReLU6, hard swish).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convert.formats.tflite.int8 import STEPS, outputs_last
from convert.formats.tflite.plain import Operation, Plain
from convert.quantization.statistics import Channels, Statistics

PASSES_ON = ("average_pool", "border", "max_pool")  # f(x / s) = f(x) / s for s > 0, channel by channel
MOST_OCTAVES = 6  # a channel that is dead on the calibration films is not blown up
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the unevenness that moves into the weights


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer, what it gives, and the one layer that reads that."""

    writer: Operation
    tensors: tuple[str, ...]  # from what the writer gives to what the reader takes
    reader: Operation


def pairs(plain: Plain) -> list[Pair]:
    """Return every pair of layers between which channels may be moved, in the order of the network."""
    readers: dict[str, list[Operation]] = {}
    for one in plain.operations:
        for tensor in one.inputs:
            readers.setdefault(tensor.name, []).append(one)
    outputs = {one.name for one in plain.outputs.values()}
    found = []
    for writer in plain.operations:
        if writer.kind not in ("conv", "depthwise") or writer.options.get("most", math.inf) != math.inf:
            continue
        tensors, last = [writer.output.name], writer
        while True:
            following = readers.get(last.output.name, [])
            if len(following) != 1 or last.output.name in outputs:
                break
            last = following[0]
            if last.kind in PASSES_ON or (last.kind == "relu" and last.options["most"] == math.inf):
                tensors.append(last.output.name)
                continue
            if _takes_factors(last):
                found.append(Pair(writer, tuple(tensors), last))
            break
    return found


def _takes_factors(reader: Operation) -> bool:
    """Whether what a layer reads may be scaled: a depthwise one scales on, so a pair of its own begins there."""
    return reader.kind == "depthwise" or (reader.kind == "conv" and reader.options["groups"] == 1)


def equalize(plain: Plain, statistics: Statistics, share: float | None) -> tuple[Plain, dict[str, NDArray[np.int64]]]:
    """Return the same network with channels moved, and by how many octaves each was divided, by tensor.

    Args:
        plain: the network.
        statistics: of what its pairs write and read.
        share: of the unevenness that moves into the weights, 0 to 1; None takes for each pair the one that leaves the
            least error, as far as rounding to even steps can say.
    """
    operations = {one.output.name: one for one in plain.operations}
    moved: dict[str, NDArray[np.int64]] = {}
    for pair in pairs(plain):
        writer, reader = operations[pair.writer.output.name], operations[pair.reader.output.name]
        found = statistics[pair.tensors[-1]]
        weights = _reach_of_inputs(reader)
        if len(found.low) != len(weights):
            continue
        tried = {one: _octaves(found, weights, one) for one in (SHARES if share is None else (share,))}
        octaves = min(tried.values(), key=lambda one: _predicted_error(found, reader, one))
        if not octaves.any():
            continue
        moved |= dict.fromkeys(pair.tensors, octaves)
        operations[writer.output.name] = _divided(writer, octaves)
        operations[reader.output.name] = _multiplied(reader, octaves)
    return replace(plain, operations=tuple(operations[one.output.name] for one in plain.operations)), moved


def move(statistics: Statistics, moved: Mapping[str, NDArray[np.int64]]) -> dict[str, Channels]:
    """Return the statistics of an equalized network."""
    return {name: one.divided(moved[name]) if name in moved else one for name, one in statistics.items()}


def _octaves(found: Channels, weights: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """Return by which power of two each channel is divided."""
    live = (found.reach > 0) & (weights > 0)
    wanted = np.zeros(len(weights))
    wanted[live] = share * np.log2(found.reach[live]) - (1 - share) * np.log2(weights[live]) if share else 0.0
    if live.any():
        wanted[live] -= np.median(wanted[live])
    octaves: NDArray[np.int64] = np.clip(np.rint(wanted), -MOST_OCTAVES, MOST_OCTAVES).astype(np.int64)
    return octaves


def _reach_of_inputs(reader: Operation) -> NDArray[np.float64]:
    """Return the largest weight that reads each channel, relative to the largest of its output: [C]."""
    kernel = np.abs(reader.arrays["kernel"])
    if reader.kind == "depthwise":
        return np.asarray(kernel.max(axis=(0, 1, 3)))
    most = kernel.max(axis=(0, 1, 2))
    return np.asarray((kernel / np.where(most > 0, most, 1.0)).max(axis=(0, 1, 3)))


def _predicted_error(found: Channels, reader: Operation, octaves: NDArray[np.int64]) -> float:
    """Return the mean square error that rounding of what a layer reads and of its weights leaves in what it gives."""
    factor = np.exp2(octaves.astype(np.float64))
    kernel = reader.arrays["kernel"]
    depthwise = reader.kind == "depthwise"
    kernel = kernel * factor[:, None]
    low, high = (found.low / factor).min(), (found.high / factor).max()
    tensor_step = (high - low) / STEPS
    rows = outputs_last(kernel, reader.kind)
    weight_steps = np.abs(rows).max(axis=0) / (STEPS / 2)
    places = kernel.shape[0] * kernel.shape[1]
    power = found.power / factor**2
    each = np.repeat(power, kernel.shape[3]) if depthwise else np.full(kernel.shape[3], power.sum())
    return float((tensor_step**2 * np.square(rows).sum(axis=0) + weight_steps**2 * places * each).sum() / 12)


def _divided(writer: Operation, octaves: NDArray[np.int64]) -> Operation:
    factor = np.exp2(-octaves.astype(np.float64))
    arrays = dict(writer.arrays)
    kernel = arrays["kernel"]
    arrays["kernel"] = kernel * (factor.reshape(kernel.shape[2:]) if writer.kind == "depthwise" else factor)
    if "bias" in arrays:
        arrays["bias"] = arrays["bias"] * factor
    return replace(writer, arrays=arrays)


def _multiplied(reader: Operation, octaves: NDArray[np.int64]) -> Operation:
    factor = np.exp2(octaves.astype(np.float64))
    return replace(reader, arrays={**reader.arrays, "kernel": reader.arrays["kernel"] * factor[:, None]})
