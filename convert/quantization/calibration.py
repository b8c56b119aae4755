"""What the quantizer learns from calibration films: the range of each tensor, and the mean error of each bias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert.quantization.tflite_graph import Operator, TFLiteGraph
from convert.worker import reuse_memory
from tbconv.contract.errors import ConversionError

# --- ranges ---
# The range of each tensor that int8 has to span: all but the rarest values that calibration films reach.
#
# TFLite's converter spans the largest value ever seen. One letter of a film's marker then takes half of the
# 256 steps; docs/log.md has what leaving out one value in 100,000 gained.

LEFT_OUT = 1e-5  # share of values beyond each end; of 0, 1e-6, 1e-5, 1e-4 it kept decisions best (docs/log.md)
BINS = 4096
PASSES_ON = ("PAD", "PADV2", "MAX_POOL_2D", "RESHAPE")  # the range of the input is that of the output
IMAGE_RANK = 4  # [N, H, W, C]; behind the body a vector of few values has no tail to leave out


@dataclass(slots=True)
class Histogram:
    """Counts of values in [-limit, limit), whose limit doubles when a value lies beyond it."""

    limit: float = 1.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values of any shape.

        Raises:
            ConversionError: a value is NaN or infinite, for which no limit is wide enough.
        """
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise ConversionError(
                "a calibration film leads to a value that is NaN or infinite",
                why="int8 needs ranges, and that has none",
                fix="train again: weights this large fit no float32",
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        while max(-self.low, self.high) >= self.limit:
            self._double()
        scaled = values.ravel() + np.float32(self.limit)  # no less than 0, and rounded up to BINS at most
        scaled *= np.float32(BINS / 2 / self.limit)
        found = np.bincount(scaled.astype(np.int64), minlength=BINS + 1)
        found[BINS - 1] += found[BINS]
        self.counts += found[:BINS]

    def range(self, left_out: float) -> tuple[float, float]:
        """Return the ends beyond which lies no more than this share of the values, zero inside."""
        edges = np.linspace(-self.limit, self.limit, BINS + 1)
        below = np.cumsum(self.counts) / self.counts.sum()
        low = edges[int(np.searchsorted(below, left_out, side="right"))]
        high = edges[min(int(np.searchsorted(below, 1 - left_out)) + 1, BINS)]
        return min(0.0, max(float(low), self.low)), max(0.0, min(float(high), self.high))

    def _double(self) -> None:
        halves = self.counts.reshape(-1, 2).sum(1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS // 4 + BINS // 2] = halves
        self.limit *= 2


def set_ranges(calibrated: bytearray, model_inputs: NDArray[np.uint8], *, left_out: float = LEFT_OUT) -> int:
    """Write the ranges that the films reach into a calibrated float file, in place.

    What comes before the first convolution keeps its range: there the whole grey scale is needed.

    Args:
        calibrated: what TensorFlow's converter gives with `_experimental_calibrate_only`.
        model_inputs: calibration films, uint8 [N, 224, 224].
        left_out: share of the values of an image tensor beyond each end; 0 spans all of them.

    Returns:
        The number of tensors whose range was set.
    """
    graph = TFLiteGraph(calibrated)
    first = next(i for i, operator in enumerate(graph.operators) if operator.kind == "CONV_2D")
    wanted = [operator for operator in graph.operators[first:] if graph.range_of(operator.index) is not None]
    histograms = _count(calibrated, wanted, model_inputs)
    ranges: dict[int, tuple[float, float]] = {}
    for operator in wanted:
        share = left_out if operator.rank == IMAGE_RANK else 0.0
        inherited = ranges.get(operator.inputs[0]) if operator.kind in PASSES_ON else None
        ranges[operator.index] = inherited or histograms[operator.index].range(share)
        _write(graph, operator, ranges[operator.index])
    return len(ranges)


def _count(data: bytearray, wanted: list[Operator], model_inputs: NDArray[np.uint8]) -> dict[int, Histogram]:
    tensors, histograms = Intermediates(data), {operator.index: Histogram() for operator in wanted}
    with reuse_memory():
        for model_input in model_inputs:
            tensors.run(model_input)
            for tensor, histogram in histograms.items():
                histogram.add(tensors.value(tensor))
    return histograms


def _write(graph: TFLiteGraph, operator: Operator, found: tuple[float, float]) -> None:
    stored = graph.range_of(operator.index)
    if stored is not None:
        stored[0][0], stored[1][0] = found


# --- intermediates ---
# What every operator of a TFLite file computes on a film: LiteRT with all tensors kept, for the quantizer.
#
# With all tensors kept XNNPACK takes each operator by itself (ai-edge-litert 2.1.2), so these are
# the kernels that serve, at their speed.

THREADS = 2


class Intermediates:
    """One file; `run` a film, then read tensors by index."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._interpreter = Interpreter(
            model_content=bytes(data), num_threads=THREADS, experimental_preserve_all_tensors=True
        )
        self._interpreter.allocate_tensors()
        [self._input] = self._interpreter.get_input_details()
        self._details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}

    def run(self, model_input: NDArray[np.uint8]) -> None:
        """Answer one film, uint8 [224, 224]."""
        film = model_input[None, :, :, None].astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], film)
        self._interpreter.invoke()

    def value(self, tensor: int) -> NDArray[np.float32]:
        """Return a tensor of the last film, int8 ones in real numbers."""
        stored = self._interpreter.get_tensor(tensor)
        scale, zero = self._details[tensor]["quantization"]
        return np.asarray(stored, np.float32) if not scale else np.float32(scale) * (stored.astype(np.float32) - zero)


def mean_by_channel(
    data: bytes | bytearray, tensors: list[int], model_inputs: NDArray[np.uint8]
) -> dict[int, NDArray[np.float64]]:
    """Return by tensor [N, H, W, C] the mean of each channel over films and places, float64 [C]."""

    def mean(value: NDArray[np.float32]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = value.mean((0, 1, 2), dtype=np.float64)
        return found

    rows = over_films(data, tensors, model_inputs, mean)
    return {tensor: np.mean(found, axis=0) for tensor, found in rows.items()}


def over_films[Found](
    data: bytes | bytearray,
    tensors: list[int],
    model_inputs: NDArray[np.uint8],
    read: Callable[[NDArray[np.float32]], Found],
) -> dict[int, list[Found]]:
    """Return by tensor what `read` makes of it, film by film."""
    intermediates = Intermediates(data)
    found: dict[int, list[Found]] = {tensor: [] for tensor in tensors}
    with reuse_memory():
        for model_input in model_inputs:
            intermediates.run(model_input)
            for tensor in tensors:
                found[tensor].append(read(intermediates.value(tensor)))
    return found


# --- correct bias ---
# Take out of an int8 file what rounding adds on average: channel by channel, from the input inwards.
#
# Rounding of weights and activations shifts the mean of a channel, and what shifts every film the same
# way flips decisions in one direction (Nagel 2019, arXiv 1906.04721, section 4.2; here measured on
# calibration films instead of derived). Only the int32 biases change, in place.

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def correct_bias(quantized: bytearray, original: bytes | bytearray, model_inputs: NDArray[np.uint8]) -> int:
    """Shift the biases of every int8 convolution so that its mean output is that of the float file, in place.

    One after the other: corrected together, each would also take out what those before it no longer add, and
    on delhi that was worse than nothing (docs/log.md).

    Args:
        quantized: an int8 TFLite file.
        original: the float file that it was made from; operators have the same names.
        model_inputs: calibration films, uint8 [N, 224, 224].

    Returns:
        The number of convolutions corrected.
    """
    graph = TFLiteGraph(quantized)
    tensors = {operator.output: operator.index for operator in TFLiteGraph(bytearray(original)).operators}
    layers = [one for one in graph.operators if one.kind in CONVOLUTIONS and _correctable(graph, one)]
    layers = [one for one in layers if one.output in tensors]
    wanted = mean_by_channel(original, [tensors[one.output] for one in layers], model_inputs)
    for one in layers:
        found = mean_by_channel(graph.until(one.index), [one.index], model_inputs)
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
