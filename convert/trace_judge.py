"""When a node counts as bad, and which one is the first: the one place with the budgets of `verify --trace`.

numpy only. A node is judged by its worst channel, so that one wrong filter of 2048 is not drowned by the
others; a channel quieter than the mean one is held to the mean's power. The order is that of the reference graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.layer_graph import INPUT, LayerGraph
from convert.layer_noise import Sums, judge_noise

LEAST_UNEVEN = 1.05  # 90th over 10th percentile of an equalisation's scales; a fault of the whole tensor has one scale


@dataclass(frozen=True, slots=True)
class Budget:
    """What a clean file of one precision keeps to at every node."""

    floor_db: float  # of the level at a node
    drop_db: float  # from the worst level that it reads, both cut at `ceiling_db`
    ceiling_db: float  # above it nothing is lost that matters
    quiet_db: float = -math.inf  # a node of more float32 noise than this has a lower floor, dB for dB

    def floor_at(self, noise_db: float) -> float:
        """Return the floor, in dB, of a node whose level moves to `noise_db` by rounding alone (inf: by none)."""
        return self.floor_db - max(0.0, self.quiet_db - noise_db)

    def is_broken(self, level_db: float, before_db: float, noise_db: float = math.inf) -> bool:
        """Whether a level, in dB, is below the floor or too far below what the node reads; NaN always is."""
        if not level_db >= self.floor_at(noise_db):
            return True
        return self.drop(level_db, before_db) > self.drop_db

    def drop(self, level_db: float, before_db: float) -> float:
        """Return how far a level, in dB, is below what the node reads, both cut at the ceiling."""
        before, level = min(before_db, self.ceiling_db), min(level_db, self.ceiling_db)
        return 0.0 if before == level else before - level  # exact behind exact


# Fixed on clean bundles: ResNet50 kermany and delhi, resnet10 of seed 0, 3 to 4 phantoms each (docs/trace.md);
# resnet10 of seeds 11 and 12 then kept to them. Lowest clean level: float32 106 dB, float16 43, dynamic 15,
# int8 6; largest clean drop: float16 11 dB, dynamic 10, int8 13. Floors lie 5 to 16 dB below, drops 7 to 9 above.
# int8's floor is above 0 dB, where a channel that is dead or turned around stands.
# No node of these four moves further than to 106 dB by its last bits; where one does, its floor gives way. Of
# resnet50 of random weights (seed 11, down to 87 dB), 105 would have done, 5 dB of margin included.
QUIET_DB = 106.0
BUDGETS = {
    "float32": Budget(floor_db=90.0, drop_db=math.inf, ceiling_db=math.inf, quiet_db=QUIET_DB),
    "float16": Budget(floor_db=33.0, drop_db=20.0, ceiling_db=60.0, quiet_db=QUIET_DB),
    "dynamic": Budget(floor_db=7.0, drop_db=18.0, ceiling_db=30.0, quiet_db=QUIET_DB),
    "int8": Budget(floor_db=1.0, drop_db=20.0, ceiling_db=30.0, quiet_db=QUIET_DB),
}


@dataclass(frozen=True, slots=True)
class Level:
    """How far one node is from its reference, over all films on which it can be judged."""

    db: float  # of the worst channel; inf where nothing differs, NaN of NaN
    rescaled: bool = False  # an equalisation evened its channels; they were brought back to scale first


@dataclass(frozen=True, slots=True)
class Found:
    """The first bad node."""

    node: str
    one_of: tuple[str, ...]  # it and those before it that no tensor was seen of, in the graph's order
    level_db: float  # NaN where there is no number: another shape, or NaN
    before_db: float  # the worst level of what it reads
    rescaled: bool = False  # its channels were brought back to scale first


def level_of(sums: Sums, *, precision: str, before_bias: bool) -> Level:
    """Return the level of one node.

    Args:
        sums: over the films, by channel.
        precision: of the file; an int8 file comes from an equalised graph.
        before_bias: the operation ends before the node's bias, of which a folded BatchNorm may have moved a part.
    """
    kept = sums.centred() if before_bias else sums
    found = judge_noise(kept)
    low, high = found.scales
    if found.rescaled and precision == "int8" and high > LEAST_UNEVEN * low:
        return Level(_worst_channel(kept, _left(kept)), rescaled=True)
    return Level(_worst_channel(kept, kept.noise))


def best_scale(product: NDArray[np.float64], power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor that brings each channel nearest to its reference; an equalisation's is never negative.

    Args:
        product: sum of tensor times reference, [C].
        power: sum of the tensor squared, [C].
    """
    scale: NDArray[np.float64] = np.maximum(product, 0.0) / np.maximum(power, 1e-300)
    return scale


def _left(sums: Sums) -> NDArray[np.float64]:
    """Return the noise of each channel after its best scale."""
    scale = best_scale(sums.product, sums.tensor)
    left: NDArray[np.float64] = np.maximum(sums.signal - scale * sums.product, 0.0)
    return left


def _worst_channel(sums: Sums, noise: NDArray[np.float64]) -> float:
    """Return the worst channel's noise against its own power or the mean channel's, the larger; in dB."""
    power = np.maximum(sums.signal, sums.signal.mean())
    if not np.isfinite(power).all() or not np.isfinite(noise).all():
        return math.nan
    worst = float((noise / np.maximum(power, 1e-300)).max())
    return math.inf if worst == 0 else -10 * math.log10(worst)


def find_first(
    graph: LayerGraph,
    levels: Mapping[str, Level],
    misfits: Mapping[str, object],
    budget: Budget,
    noise: Mapping[str, float] | None = None,
) -> Found | None:
    """Return the first node, in the graph's order, that is out of its budget or of another shape.

    Args:
        graph: the reference.
        levels: by node; what is not in it was not seen.
        misfits: nodes of another shape.
        budget: of the file's precision.
        noise: how far rounding alone moves a node, in dB by node (convert.runners.onnx_noise).
    """
    moved = noise or {}
    feeds = seen_feeds(graph, levels)
    for one in graph.operations:
        before = min((_db(levels[key]) for key in feeds[one.key]), default=math.inf)
        if one.key in misfits:
            return Found(one.key, _unseen(graph, one.key, levels), math.nan, before)
        if one.key in levels and budget.is_broken(levels[one.key].db, before, moved.get(one.key, math.inf)):
            level = levels[one.key]
            return Found(one.key, _unseen(graph, one.key, levels), level.db, before, level.rescaled)
    return None


def seen_feeds(graph: LayerGraph, levels: Mapping[str, Level]) -> dict[str, set[str]]:
    """Return, for each node, the nearest nodes before it of which a tensor was seen."""
    found: dict[str, set[str]] = {INPUT: set()}
    for one in graph.operations:
        found[one.key] = set()
        for source in one.sources:
            found[one.key] |= {source} if source in levels else found[source]
    return found


def _unseen(graph: LayerGraph, end: str, levels: Mapping[str, Level]) -> tuple[str, ...]:
    """Return a node and those before it that were not seen, back to the nearest that were.

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


def _db(level: Level) -> float:
    return -math.inf if math.isnan(level.db) else level.db
