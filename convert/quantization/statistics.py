"""What each channel of each tensor reaches on films: ends, moments, and a histogram of eight bins an octave.

The float32 file of the very same network runs in LiteRT with all tensors kept, so these are the numbers that the int8
file has to hold. A bin is the exponent and the first three bits of a float32 number: to scale a channel by a power of
two (convert.quantization.equalization) moves its histogram by whole octaves, so that no film has to run again.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert.formats.tflite.int8 import Grid
from convert.formats.tflite.plain import Plain
from convert.formats.tflite.write import write_tflite
from convert.worker import reuse_memory
from tbconv.contract.errors import ConversionError

Films = NDArray[np.uint8] | NDArray[np.float32]  # [N, H, W, C], grey levels 0 to 255 or whatever the network takes
PER_OCTAVE = 8  # bins; their edges are at most an eighth apart
OCTAVES = 24  # below the largest number of the first films; what lies under them counts as zero
HEADROOM = 4  # octaves of them above it: other films may reach further
BINS = PER_OCTAVE * OCTAVES
MOST_CHANNELS = 4096  # a flattened image has more; its numbers are counted together
THREADS = 2
AT_ONCE = 8  # films that are counted together
MOST_COUNTED = 1 << 16  # numbers of a tensor and film that the histogram counts; ends and moments know all of them


@dataclass(slots=True)
class Channels:
    """One tensor, channel by channel."""

    low: NDArray[np.float64]  # [C]
    high: NDArray[np.float64]  # [C]
    total: NDArray[np.float64]  # [C], sum of all numbers
    squares: NDArray[np.float64]  # [C], sum of their squares
    counted: int  # numbers of a channel in these sums
    below: NDArray[np.float32]  # [C, BINS], how many negative numbers lie where, by their size
    above: NDArray[np.float32]  # [C, BINS], the same of positive ones and zeros
    base: int  # octave of the first bin: it begins at 2^base
    films: list[NDArray[np.float32]] = field(default_factory=list)  # mean of each channel, film by film, [C] each
    uncounted: list[NDArray[np.int32]] = field(default_factory=list)  # bins of numbers that no histogram has yet

    def count(self, each: int) -> None:
        """Add to the histogram what waits; one that was counted stands for `each`."""
        sides = (2, *self.above.shape)
        counts = each * np.bincount(np.concatenate(self.uncounted), minlength=2 * self.above.size).reshape(sides)
        self.above, self.below = self.above + counts[0], self.below + counts[1]
        self.uncounted = []

    @property
    def power(self) -> NDArray[np.float64]:
        """Return the mean square of each channel, [C]."""
        return self.squares / max(self.counted, 1)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Return the mean of each channel, [C]."""
        return self.total / max(self.counted, 1)

    @property
    def reach(self) -> NDArray[np.float64]:
        """Return the largest size of each channel, [C]."""
        return np.maximum(self.high, -self.low)

    def divided(self, exponents: NDArray[np.int64]) -> Channels:
        """Return what stands here if each channel is divided by a power of two."""
        if len(self.low) != len(exponents):
            raise ValueError(f"{len(exponents)} factors for {len(self.low)} channels")
        factor = np.exp2(-exponents.astype(np.float64))
        below, above = (_shifted(one, exponents) for one in (self.below, self.above))
        return replace(
            self,
            low=self.low * factor,
            high=self.high * factor,
            total=self.total * factor,
            squares=self.squares * factor**2,
            below=below,
            above=above,
            films=[(one * factor).astype(np.float32) for one in self.films],
        )


def _shifted(counts: NDArray[np.float32], octaves: NDArray[np.int64]) -> NDArray[np.float32]:
    """Move each row towards zero by so many octaves; what leaves an end stays in the last bin there."""
    moved = np.empty_like(counts)
    for octave in np.unique(octaves):
        rows, places = octaves == octave, np.clip(np.arange(BINS) - PER_OCTAVE * octave, 0, BINS - 1)
        onto = np.zeros((BINS, BINS), np.float32)
        onto[np.arange(BINS), places] = 1
        moved[rows] = counts[rows] @ onto
    return moved


Statistics = Mapping[str, Channels]  # by tensor


def measure(plain: Plain, names: Collection[str], films: Films) -> dict[str, Channels]:
    """Return what tensors reach on films.

    Args:
        plain: the network.
        names: of tensors.
        films: uint8 or float32 [N, H, W, C], as the network takes them.

    Raises:
        ConversionError: there are no films, or one leads to a number that is NaN or infinite.
    """
    found, sizes = dict[str, Channels](), dict[str, int]()
    with ThreadPoolExecutor(THREADS) as pool:
        for tensors in run_kept(write_tflite(plain, "float32"), plain, names, films):
            rows = {name: _rows(values) for name, values in tensors.items()}
            if not found:
                found = {name: _empty(one) for name, one in rows.items()}
                sizes = {name: one.size for name, one in rows.items()}
            list(pool.map(lambda name: _add(found[name], rows[name], name), rows))  # noqa: B023  (all end here)
    for name, one in found.items():
        if one.uncounted:
            one.count(_step(sizes[name]))
    if not found and names:
        raise ConversionError(
            "there are no calibration films",
            why="int8 needs the ranges that real films reach",
            fix="train again: tbconv train --data DIR --out RUN",
        )
    return found


def run_kept(
    data: bytes,
    plain: Plain,
    names: Collection[str],
    films: Films,
    *,
    integer: bool = False,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield for each film the tensors of a network as they are stored, [1, ...] each.

    Args:
        data: a file of it, in any precision.
        plain: the network.
        names: of its tensors.
        films: uint8 or float32 [N, H, W, C].
        integer: whether the steps are wanted of what is stored in float32 and in int8.
    """
    interpreter = open_kept(data)
    details = {one["name"]: one for one in interpreter.get_tensor_details()}
    [given] = interpreter.get_input_details()
    stored = {one.output.name: ";".join(one.names) for one in plain.operations} | {plain.image.name: given["name"]}
    wanted = {name: details[stored[name]] for name in names}
    if integer:
        wanted = {
            name: one if one["dtype"] is np.int8 else details[f"{stored[name]}/int8"] for name, one in wanted.items()
        }
    with reuse_memory():
        for film in films:
            interpreter.set_tensor(given["index"], film[None].astype(given["dtype"]))
            interpreter.invoke()
            yield {name: interpreter.get_tensor(one["index"]) for name, one in wanted.items()}


def open_kept(data: bytes) -> Interpreter:
    """Return an interpreter that keeps all tensors of a file, ready to run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that all tensors take memory: 45 MB of a ResNet50
        interpreter = Interpreter(model_content=data, num_threads=THREADS, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def _rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a tensor as [places, channels]."""
    channels = values.shape[-1]
    return values.reshape(-1, channels if channels <= MOST_CHANNELS else 1)


def _empty(rows: NDArray[np.float32]) -> Channels:
    channels, most = rows.shape[1], float(np.abs(rows).max(initial=0.0))
    base = int(np.frexp(most)[1]) - OCTAVES + HEADROOM if np.isfinite(most) else 0
    return Channels(
        low=np.zeros(channels),
        high=np.zeros(channels),
        total=np.zeros(channels),
        squares=np.zeros(channels),
        counted=0,
        below=np.zeros((channels, BINS), np.float32),
        above=np.zeros((channels, BINS), np.float32),
        base=base,
    )


def _add(found: Channels, rows: NDArray[np.float32], name: str) -> None:
    found.low = np.minimum(found.low, rows.min(axis=0))
    found.high = np.maximum(found.high, rows.max(axis=0))
    if not (np.isfinite(found.low).all() and np.isfinite(found.high).all()) or np.isnan(rows[0]).any():
        raise ConversionError(
            f"a calibration film leads to a value of {name} that is NaN or infinite",
            why="int8 needs ranges, and that has none",
            fix="train again: weights this large fit no float32",
        )
    total = rows.sum(axis=0, dtype=np.float64)
    found.total += total
    found.films.append((total / len(rows)).astype(np.float32))
    found.squares += np.einsum("pc,pc->c", rows, rows, dtype=np.float64)
    found.counted += len(rows)
    step, channels = _step(rows.size), rows.shape[1]
    part = np.ascontiguousarray(rows[found.counted % step :: step])  # other places on each film
    bits = part.view(np.uint32) >> 20  # sign, eight bits of exponent, three of the fraction
    places = (bits & 0x7FF).astype(np.int32) - PER_OCTAVE * (found.base + 127)
    np.clip(places, 0, BINS - 1, out=places)
    places += BINS * np.arange(channels, dtype=np.int32)
    places += BINS * channels * (bits >> 11).astype(np.int32)  # negative ones behind the others
    found.uncounted.append(places.reshape(-1))
    if len(found.uncounted) == AT_ONCE:
        found.count(step)


def _step(size: int) -> int:
    """Return of how many places of a tensor of so many numbers one is counted."""
    return max(1, -(-size // MOST_COUNTED))


SUBDIVIDED = 8  # points of a bin at which its rounding is looked at


def mean_on_grid(found: Channels, grid: Grid) -> NDArray[np.float64]:
    """Return the mean of each channel once its numbers are on a grid, as far as the histogram knows them: [C]."""
    points = _sizes(found.base, np.arange(BINS * SUBDIVIDED) / SUBDIVIDED + 0.5 / SUBDIVIDED)
    counted = np.maximum((found.below + found.above).sum(axis=1), 1)
    moved = np.zeros(len(found.low))
    for side, sign in ((found.below, -1.0), (found.above, 1.0)):
        error = (grid.round(sign * points) - sign * points).reshape(BINS, SUBDIVIDED).mean(axis=1)
        moved += side @ np.where(np.arange(BINS) == 0, 0.0, error)  # the first bin holds zeros above all
    return np.asarray(found.mean + moved / counted)


# --- ranges ---
# How much of what a tensor reaches its 256 steps span.


@dataclass(frozen=True, slots=True)
class Ends:
    """How ranges are chosen."""

    kind: str  # "all": the ends themselves; "share": all but the rarest numbers; "error": least mean square error
    left_out: float = 0.0  # of "share": of the numbers, beyond each end
    weighted: bool = False  # of "error": by what the readers of a channel make of it

    def __str__(self) -> str:
        """Say it in words."""
        if self.kind == "all":
            return "ranges from least to largest"
        if self.kind == "share":
            return f"ranges of all but {self.left_out:g} of the numbers at each end"
        return "ranges of least mean square error" + (", weighted by what reads them" if self.weighted else "")


TRIED = np.exp2(-np.arange(0, 33) / 8)  # shares of the largest number at which a range may end: 1 to 1/16


def choose_range(found: Channels, ends: Ends, weights: NDArray[np.float64] | None = None) -> tuple[float, float]:
    """Return the least and the largest number to be stored.

    Args:
        found: of the tensor.
        ends: how.
        weights: [C], what an error of a channel costs; None for the same.
    """
    low, high = min(float(found.low.min()), 0.0), max(float(found.high.max()), 0.0)
    if ends.kind == "all" or low == high:
        return low, high
    if ends.kind == "share":
        return -_quantile(found, found.below, ends.left_out, -low), _quantile(found, found.above, ends.left_out, high)
    chosen = (
        weights if ends.weighted and weights is not None and len(weights) == len(found.low) else np.ones(len(found.low))
    )
    below, above = (chosen @ side for side in (found.below, found.above))
    values = _sizes(found.base, np.arange(BINS) + 0.5)
    costs = {}
    for bottom in TRIED if low < 0 else TRIED[:1]:
        for top in TRIED if high > 0 else TRIED[:1]:
            if low < 0 < high and abs(np.log2(bottom / top)) > 2:
                continue
            scale = (high * top - low * bottom) / 255
            costs[bottom, top] = _cost(values, below, scale, -low * bottom) + _cost(values, above, scale, high * top)
    bottom, top = min(costs, key=lambda one: (costs[one], -one[0], -one[1]))
    return low * bottom, high * top


def _cost(values: NDArray[np.float64], counts: NDArray[np.float64], scale: float, end: float) -> float:
    """Return the summed square error of numbers of these sizes on steps of a scale that end there."""
    inside = np.where(values < scale / 2, np.minimum(values**2, scale**2 / 4), scale**2 / 12)
    return float(counts @ np.where(values > end, (values - end) ** 2, inside))


def _quantile(found: Channels, side: NDArray[np.float32], left_out: float, end: float) -> float:
    """Return the size beyond which lies no more than this share of all numbers, inside a bin in proportion."""
    counts = side.sum(axis=0, dtype=np.float64)
    total = found.below.sum(dtype=np.float64) + found.above.sum(dtype=np.float64)
    beyond = np.cumsum(counts[::-1])[::-1]
    over = np.flatnonzero(beyond > left_out * total)
    if not len(over):
        return 0.0
    last = int(over[-1])
    rest = beyond[last + 1] if last + 1 < BINS else 0.0
    part = (left_out * total - rest) / max(counts[last], 1e-300)
    return min(end, float(_sizes(found.base, np.array(last + 1 - part))))


def _sizes(base: int, places: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return which numbers lie at these places of the bins: within an octave its fraction is a straight line."""
    octaves, part = np.divmod(places, PER_OCTAVE)
    return np.asarray(np.exp2(base + octaves) * (1 + part / PER_OCTAVE))
