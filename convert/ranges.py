"""The range of each tensor that int8 has to span: all but the rarest values that calibration films reach.

TFLite's converter spans the largest value ever seen. One letter of a film's marker then takes half of the
256 steps; docs/log.md has what leaving out one value in 100,000 gained.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convert.intermediates import Intermediates
from convert.tflite_graph import Operator, TFLiteGraph
from tbconv.contract.errors import ConversionError

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
        bins = ((values.ravel() + np.float32(self.limit)) * np.float32(BINS / 2 / self.limit)).astype(np.int64)
        self.counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)

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


def set_ranges(calibrated: bytearray, squares: NDArray[np.uint8], *, left_out: float = LEFT_OUT) -> int:
    """Write the ranges that the films reach into a calibrated float file, in place.

    What comes before the first convolution keeps its range: there the whole grey scale is needed.

    Args:
        calibrated: what TensorFlow's converter gives with `_experimental_calibrate_only`.
        squares: calibration films, uint8 [N, 224, 224].
        left_out: share of the values of an image tensor beyond each end; 0 spans all of them.

    Returns:
        The number of tensors whose range was set.
    """
    graph = TFLiteGraph(calibrated)
    first = next(i for i, operator in enumerate(graph.operators) if operator.kind == "CONV_2D")
    wanted = [operator for operator in graph.operators[first:] if graph.range_of(operator.index) is not None]
    histograms = _count(calibrated, wanted, squares)
    ranges: dict[int, tuple[float, float]] = {}
    for operator in wanted:
        share = left_out if operator.rank == IMAGE_RANK else 0.0
        inherited = ranges.get(operator.inputs[0]) if operator.kind in PASSES_ON else None
        ranges[operator.index] = inherited or histograms[operator.index].range(share)
        _write(graph, operator, ranges[operator.index])
    return len(ranges)


def _count(data: bytearray, wanted: list[Operator], squares: NDArray[np.uint8]) -> dict[int, Histogram]:
    asked, histograms = Intermediates(data), {operator.index: Histogram() for operator in wanted}
    for square in squares:
        asked.ask(square)
        for tensor, histogram in histograms.items():
            histogram.add(asked.value(tensor))
    return histograms


def _write(graph: TFLiteGraph, operator: Operator, found: tuple[float, float]) -> None:
    stored = graph.range_of(operator.index)
    if stored is not None:
        stored[0][0], stored[1][0] = found
