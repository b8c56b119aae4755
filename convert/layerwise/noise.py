"""The noise of a tensor against its reference, and the budgets by which a node is judged; numpy only.

Sums instead of tensors: any number of films fits into memory, and the scale that an equalization put on each
channel can still be fitted afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import INPUT, LayerGraph, best_scale
from tbconv.contract.statistics import decibels

CLEAR = 0.02  # of a channel's power: 17 dB, beyond which noise of int8 moves a fitted scale by less than `NEAR_POWER`
MOST = 0.9  # of the clear channels; a few have hardly any values
NEAR_POWER = 0.1  # of a power of two, in its exponent: 7 %
OFF = 0.05  # a fitted scale further from 1 counts as a rescaled channel; int8 noise alone moves it less


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over films and positions, float64 [C] each."""

    signal: NDArray[np.float64]  # reference squared
    product: NDArray[np.float64]  # reference times tensor
    tensor: NDArray[np.float64]  # tensor squared
    noise: NDArray[np.float64]  # difference squared
    first: NDArray[np.float64]  # reference
    other: NDArray[np.float64]  # tensor
    count: NDArray[np.float64]  # 1

    @classmethod
    def none(cls, channels: int) -> Sums:
        """Return the sums of no film."""
        return cls.of(np.zeros((7, channels), np.float64))

    @classmethod
    def of(cls, stacked: NDArray[np.float64]) -> Sums:
        """Read what `stacked` returned."""
        return cls(*stacked)

    def add(self, reference: NDArray[np.floating], tensor: NDArray[np.floating]) -> Sums:
        """Return the sums with one more film.

        Args:
            reference: output of the node, [positions, C].
            tensor: output of the operation, of the same shape.

        Raises:
            ValueError: the shapes differ.
        """
        if reference.shape != tensor.shape:
            raise ValueError(f"shapes differ: {reference.shape} and {tensor.shape}")
        wanted, given = reference.astype(np.float64), tensor.astype(np.float64)
        difference = given - wanted
        pairs = ((wanted, wanted), (wanted, given), (given, given), (difference, difference))
        products = [np.einsum("pc,pc->c", one, other) for one, other in pairs]
        count = np.full(wanted.shape[1], float(len(wanted)))
        return self.plus(Sums.of(np.stack([*products, wanted.sum(axis=0), given.sum(axis=0), count])))

    def plus(self, other: Sums) -> Sums:
        """Return the sums over both sets of films."""
        return Sums.of(self.stacked() + other.stacked())

    def stacked(self) -> NDArray[np.float64]:
        """Return the sums as [7, C]."""
        return np.stack([self.signal, self.product, self.tensor, self.noise, self.first, self.other, self.count])

    def centred(self) -> Sums:
        """Return the sums of both less their mean over films and positions, channel by channel."""
        counted = np.maximum(self.count, 1)
        first, other = self.first / counted, self.other / counted
        pairs = ((first, first), (first, other), (other, other), (other - first, other - first))
        squares = (self.signal, self.product, self.tensor, self.noise)
        centred = [np.maximum(sums - counted * one * two, 0.0) for sums, (one, two) in zip(squares, pairs, strict=True)]
        return Sums.of(np.stack([*centred, 0 * first, 0 * other, self.count]))


def add_sums(one: Mapping[str, Sums], other: Mapping[str, Sums]) -> dict[str, Sums]:
    """Return the sums by operation over the films of both."""
    return {**one, **{key: one[key].plus(sums) if key in one else sums for key, sums in other.items()}}


@dataclass(frozen=True, slots=True)
class Noise:
    """How far one tensor is from its reference."""

    sqnr_db: float  # after the fitted scales where `rescaled`; inf where nothing differs, NaN where it is not finite
    as_is_db: float
    rescaled: bool
    scales: tuple[
        float, float
    ]  # restore a channel's scale: the 10th and 90th percentile, or, where few channels moved by
    # powers of two, the least and the largest; 1, 1 where not rescaled


def judge_noise(sums: Sums, *, before_bias: bool = False, evened: bool = False) -> Noise:
    """Return the SQNR of a tensor, its channels brought back to scale where they were rescaled.

    Args:
        sums: of the tensor and its reference.
        before_bias: compare both without each channel's mean, since the bias comes later: a folded BatchNorm
            moves a part of what stood before that bias into it.
        evened: the file may come from an equalized graph, where a few channels alone may have moved, by powers of two.
    """
    if before_bias:
        sums = sums.centred()
    as_is = decibels(sums.signal.sum(), sums.noise.sum())
    silent = sums.tensor == 0
    scale = np.where(silent, 1.0, sums.product / np.where(silent, 1.0, sums.tensor))  # least squares, by channel
    left = np.maximum(sums.signal - scale * sums.product, 0.0)
    live = (sums.signal > 0) & (sums.tensor > 0) & np.isfinite(scale)
    few = evened and _is_by_powers(sums, scale, left, live)
    if not (few or _is_rescaled(sums, scale, left, live)):
        return Noise(as_is, as_is, rescaled=False, scales=(1.0, 1.0))
    low, high = np.quantile(scale[live], (0.0, 1.0) if few else (0.1, 0.9)).tolist()
    return Noise(decibels(sums.signal.sum(), left.sum()), as_is, rescaled=True, scales=(low, high))


def _is_rescaled(sums: Sums, scale: NDArray[np.float64], left: NDArray[np.float64], live: NDArray[np.bool_]) -> bool:
    """Whether most channels are off by a scale that noise does not explain.

    Noise of power n (relative to the signal) that is independent of the signal leaves n / (1 + n) after
    the best scale; a channel counts where the scale leaves less than half of that. Most channels: a
    fault in one filter is a fault, not a rescaling.
    """
    if live.sum() < 2:
        return False
    relative = sums.noise[live] / sums.signal[live]
    explained = left[live] / sums.signal[live] < relative / (1 + relative) / 2
    off = (scale[live] > 0) & (np.abs(scale[live] - 1) > OFF)
    return bool((explained & off).mean() > 0.5)


def _is_by_powers(sums: Sums, scale: NDArray[np.float64], left: NDArray[np.float64], live: NDArray[np.bool_]) -> bool:
    """Whether channels are off by powers of two that are not all the same, as an equalization leaves them.

    One filter that is wrong by such a factor looks alike; it comes to light at its reader.
    """
    clear = live & (scale > 0) & (left < CLEAR * sums.signal)
    powers = np.log2(scale[clear])
    nearest = np.round(powers)
    return len(set(nearest.tolist())) > 1 and bool((np.abs(powers - nearest) < NEAR_POWER).mean() >= MOST)


# --- budgets ---
# When a node counts as bad, and which one is the first: the one place with the budgets of `verify --trace`.
#
# A node is judged by its worst channel, so that one wrong filter of 2048 is not averaged away by the others; a
# channel quieter than the mean one is held to the mean's power. The order is that of the reference graph.

LEAST_UNEVEN = 1.05  # 90th over 10th percentile of an equalization's scales; a fault of the whole tensor has one scale
LEAST_COUNT = 2  # values a channel for which something is left without their mean


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits that a clean file of one precision keeps at every node."""

    floor_db: float  # of the level at a node
    drop_db: float  # from the worst level that it reads, both cut at `ceiling_db`
    ceiling_db: float  # above it nothing is lost that matters
    quiet_db: float = -math.inf  # a node of more float32 noise than this has a lower floor, dB for dB

    def floor_at(self, noise_db: float) -> float:
        """Return the floor, in dB, of a node whose level moves to `noise_db` by rounding alone (inf: by none)."""
        return self.floor_db - max(0.0, self.quiet_db - noise_db)

    def is_broken(self, level_db: float, before_db: float, noise_db: float = math.inf) -> bool:
        """Whether a level, in dB, is below the floor or too far below the node's inputs; NaN always is."""
        return not level_db >= self.floor_at(noise_db) or self.drop(level_db, before_db) > self.drop_db

    def drop(self, level_db: float, before_db: float) -> float:
        """Return how far a level, in dB, is below the node's inputs, both cut at the ceiling."""
        before, level = min(before_db, self.ceiling_db), min(level_db, self.ceiling_db)
        return 0.0 if before == level else before - level  # exact behind exact


# Fixed on clean bundles: ResNet50 kermany and delhi, resnet10 of seed 0, 3 to 4 phantoms each (docs/trace.md);
# resnet10 of seeds 11 and 12 then kept to them. Lowest clean level: float32 106 dB, float16 43, dynamic 15,
# int8 6; largest clean drop: float16 11 dB, dynamic 10, int8 13. Floors lie 5 to 16 dB below, drops 7 to 9 above.
# int8's floor is above 0 dB, the level of a channel that is dead or has the wrong sign.
# No node of these four moves further than to 106 dB by its last bits; where one does, its floor is lowered. Of
# resnet50 of random weights (seed 11, down to 87 dB), 105 would have done, 5 dB of margin included.
QUIET_DB = 106.0
# A float32 node may be ten times its own noise away, 20 dB, as the certificate allows of the outputs
# (convert.parity.verdicts.TIMES_NOISE): what is CERTIFIED is not bad here.
TIMES_NOISE_DB = 20.0
BUDGETS = {
    "float32": Budget(floor_db=90.0, drop_db=math.inf, ceiling_db=math.inf, quiet_db=90.0 + TIMES_NOISE_DB),
    "float16": Budget(floor_db=33.0, drop_db=20.0, ceiling_db=60.0, quiet_db=QUIET_DB),
    "dynamic": Budget(floor_db=7.0, drop_db=18.0, ceiling_db=30.0, quiet_db=QUIET_DB),
    "int8": Budget(floor_db=1.0, drop_db=20.0, ceiling_db=30.0, quiet_db=QUIET_DB),
}


@dataclass(frozen=True, slots=True)
class Level:
    """How far one node is from its reference, over all films on which it can be judged."""

    db: float  # of the worst channel; inf where nothing differs, NaN of NaN
    rescaled: bool = False  # an equalization evened its channels; they were brought back to scale first


@dataclass(frozen=True, slots=True)
class BrokenBudget:
    """The first node that is out of its budget."""

    node: str
    one_of: tuple[str, ...]  # it and the nodes before it of which no tensor was seen, in the graph's order
    level_db: float  # NaN where there is no number: another shape, or NaN
    before_db: float  # the worst level of its inputs
    rescaled: bool = False  # its channels were brought back to scale first


def level_of(sums: Sums, *, precision: str, before_bias: bool) -> Level:
    """Return the level of one node.

    Args:
        sums: over the films, by channel.
        precision: of the file; an int8 file comes from an equalized graph.
        before_bias: the operation ends before the node's bias, of which a folded BatchNorm may have moved a part.
    """
    if not np.isfinite(sums.noise).all():
        return Level(math.nan)
    kept = sums.centred() if before_bias else sums
    found = judge_noise(kept, evened=precision == "int8")
    low, high = found.scales
    rescaled = found.rescaled and precision == "int8" and high > LEAST_UNEVEN * low
    noise = kept.noise
    if rescaled:
        noise = np.maximum(kept.signal - best_scale(kept.product, kept.tensor) * kept.product, 0.0)
    power = np.maximum(np.maximum(kept.signal, kept.signal.mean()), 1e-300)  # a quiet channel: the mean one's
    worst = float((noise / power).max())
    return Level(math.inf if worst == 0 else -10 * math.log10(worst), rescaled)


def find_first(
    graph: LayerGraph,
    levels: Mapping[str, Level],
    misfits: Container[str],
    budget: Budget,
    noise: Mapping[str, float] | None = None,
) -> BrokenBudget | None:
    """Return the first node, in the graph's order, that is out of its budget or of another shape.

    Args:
        graph: the reference.
        levels: by node; a node without one was not seen.
        misfits: nodes of another shape.
        budget: of the file's precision.
        noise: how far rounding alone moves a node, in dB by node.
    """
    moved = noise or {}
    before = levels_before(graph, levels)
    for one in graph.operations:
        level, read = levels.get(one.key), before[one.key]
        if one.key in misfits:
            return BrokenBudget(one.key, _unseen(graph, one.key, levels), math.nan, read)
        if level is not None and budget.is_broken(level.db, read, moved.get(one.key, math.inf)):
            return BrokenBudget(one.key, _unseen(graph, one.key, levels), level.db, read, level.rescaled)
    return None


def levels_before(graph: LayerGraph, levels: Mapping[str, Level]) -> dict[str, float]:
    """Return the worst level that each node reads, in dB: -inf of NaN, inf where no tensor was seen before it."""
    seen = {key: -math.inf if math.isnan(one.db) else one.db for key, one in levels.items()}
    return {key: min((seen[name] for name in names), default=math.inf) for key, names in graph.nearest(seen).items()}


def _unseen(graph: LayerGraph, end: str, levels: Mapping[str, Level]) -> tuple[str, ...]:
    """Return a node and the nodes before it that were not seen, back to the nearest that were.

    A rescaled node is right up to its scales, of which a wrong one comes to light at its reader: it is in
    question too, with what is fused into it, but nothing further back.
    """
    known, found, waiting = graph.by_key, {end}, [(name, False) for name in graph.by_key[end].sources]
    while waiting:
        name, behind = waiting.pop()
        seen, rescaled = name in levels, name in levels and levels[name].rescaled
        if name == INPUT or name in found or (seen and (behind or not rescaled)):
            continue
        found.add(name)
        waiting += [(source, behind or rescaled) for source in known[name].sources]
    return tuple(one.key for one in graph.operations if one.key in found)
