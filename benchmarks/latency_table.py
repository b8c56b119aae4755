"""From milliseconds to medians, ratios, the Markdown table and the bars: the arithmetic, apart from the asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32, INT8 = "float32", "int8"
REFERENCE = "TFLite float32"
FASTER, SHARE = 2.0, 0.40  # the bars of int8 on one thread: against the best float32 runtime, and of REFERENCE


@dataclass(frozen=True, slots=True)
class Timed:
    """One contender at one number of threads."""

    name: str
    kind: str
    version: str
    threads: int
    milliseconds: NDArray[np.float64]  # [rounds, films]
    cpu_milliseconds: NDArray[np.float64]  # [rounds, films], of all its threads: other programs hardly reach it

    def __post_init__(self) -> None:
        shape = self.milliseconds.shape
        if len(shape) != 2 or not self.milliseconds.size or self.cpu_milliseconds.shape != shape:
            raise ValueError(f"milliseconds are [rounds, films], got {shape} and {self.cpu_milliseconds.shape}")

    @property
    def median(self) -> float:
        """Median over all rounds and films, ms."""
        return float(np.median(self.milliseconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The middle half of all rounds and films, ms."""
        low, high = np.percentile(self.milliseconds, [25, 75])
        return float(low), float(high)

    @property
    def fastest(self) -> float:
        """The fastest film, ms: on a busy machine the nearest to what a quiet one would show."""
        return float(self.milliseconds.min())

    @property
    def cpu_median(self) -> float:
        """Median CPU time over all rounds and films, ms."""
        return float(np.median(self.cpu_milliseconds))

    def share_of(self, other: Timed) -> Share:
        """Return this latency divided by another's, within each round."""
        shares = np.median(self.milliseconds, axis=1) / np.median(other.milliseconds, axis=1)
        return Share(float(np.median(shares)), float(shares.min()), float(shares.max()))


@dataclass(frozen=True, slots=True)
class Share:
    """A ratio of latencies: median over the rounds, and the lowest and highest round."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar and whether it holds."""

    sentence: str
    met: bool


def best_float32(timed: list[Timed], threads: int) -> Timed:
    """Return the fastest float32 runtime at a number of threads."""
    return min((one for one in timed if one.kind == FLOAT32 and one.threads == threads), key=lambda one: one.median)


def reference(timed: list[Timed], threads: int) -> Timed:
    """Return the float32 TFLite file at a number of threads."""
    return next(one for one in timed if one.name == REFERENCE and one.threads == threads)


def table(timed: list[Timed]) -> str:
    """Return the Markdown table of the README."""
    lines = [
        "| runtime | threads | median ms (middle half) | fastest ms | CPU ms | x float32 TFLite | x best float32 |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in sorted(timed, key=lambda one: (one.threads, one.median)):
        low, high = one.quartiles
        of_reference = one.share_of(reference(timed, one.threads)).median
        of_best = one.share_of(best_float32(timed, one.threads)).median
        times = f"{one.median:.1f} ({low:.1f} to {high:.1f}) | {one.fastest:.1f} | {one.cpu_median:.1f}"
        lines.append(f"| {one.name} | {one.threads} | {times} | {of_reference:.2f} | {of_best:.2f} |")
    rounds, films = timed[0].milliseconds.shape
    best = {threads: best_float32(timed, threads).name for threads in sorted({one.threads for one in timed})}
    named = ", ".join(f"{name} at {threads}" for threads, name in best.items())
    return "\n".join(
        [*lines, "", f"n = {rounds} rounds x {films} films each; best float32 runtime by threads: {named}."]
    )


def bars(timed: list[Timed]) -> list[Bar]:
    """Return int8's two bars on one thread; none where one thread or int8 was not measured."""
    int8 = next((one for one in timed if one.kind == INT8 and one.threads == 1), None)
    if int8 is None:
        return []
    best = best_float32(timed, 1)
    against, of = int8.share_of(best), int8.share_of(reference(timed, 1))
    faster = 1 / against.median
    return [
        Bar(
            f"int8 on one thread is {faster:.2f} x faster ({1 / against.highest:.2f} to {1 / against.lowest:.2f} by"
            f" round) than {best.name}, the best float32 runtime (bar {FASTER}): {_word(faster >= FASTER)}",
            faster >= FASTER,
        ),
        Bar(
            f"int8 on one thread takes {of.median:.2f} x ({of.lowest:.2f} to {of.highest:.2f} by round) the latency of"
            f" {REFERENCE} (bar {SHARE:.2f}): {_word(of.median <= SHARE)}",
            of.median <= SHARE,
        ),
    ]


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def csv_row(one: Timed, timed: list[Timed], *, run: str, around: dict[str, Any]) -> dict[str, Any]:
    """Return one contender as a row: milliseconds to 0.1, ratios to 0.01."""
    low, high = one.quartiles
    rounds, films = one.milliseconds.shape
    return {
        **around,
        "bundle": run,
        "runtime": one.name,
        "runtime_version": one.version,
        "threads": one.threads,
        "rounds": rounds,
        "films_a_round": films,
        "median_ms": round(one.median, 1),
        "lower_quartile_ms": round(low, 1),
        "upper_quartile_ms": round(high, 1),
        "fastest_ms": round(one.fastest, 1),
        "cpu_median_ms": round(one.cpu_median, 1),
        "x_float32_tflite": round(one.share_of(reference(timed, one.threads)).median, 2),
        "x_best_float32": round(one.share_of(best_float32(timed, one.threads)).median, 2),
        "best_float32": best_float32(timed, one.threads).name,
    }
