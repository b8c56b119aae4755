"""One file against the reference, film by film, inside the process that can open it; the same for every format.

numpy only. A format gives an `Opened`; matching, sums, judgement and reason are here.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.layer_graph import INPUT, SHAPES, LayerGraph
from convert.layer_match import Match, Tensors, match_graphs
from convert.layer_noise import Sums
from convert.trace_judge import BUDGETS, Budget, Found, Level, best_scale, find_first, level_of, seen_feeds
from convert.trace_reason import explain, look_at
from convert.trace_report import FirstBad

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 2**30  # malloc.h; bytes
Matcher = Callable[[LayerGraph, LayerGraph, Tensors, Tensors], list[Match]]
Changes = Callable[[tuple[str, ...]], Mapping[str, str]]


class Opened(Protocol):
    """A file whose tensors in between can be read."""

    def answer(self, square: NDArray[np.uint8]) -> Tensors:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by operation."""
        ...

    def graph(self) -> LayerGraph:
        """Return its operations; a film must have run."""
        ...


def look(
    request: dict[str, Any], opened: Opened, *, match: Matcher = match_graphs, changes: Changes | None = None
) -> dict[str, Any]:
    """Compare every tensor that can be matched with its node, and judge.

    Args:
        request: path, precision; reference (folder with films.npy, graph.json, noise.json, 0.npz and so on).
        opened: the file.
        match: which operation ends in which node.
        changes: says, for some nodes, how they are written otherwise than in the reference.

    Returns:
        levels by node (dB), seen, drop, and `first`, the fields of a FirstBad or null.
    """
    _keep_memory()
    folder = Path(request["reference"])
    graph = LayerGraph.from_json(json.loads((folder / "graph.json").read_text()))
    squares = np.load(folder / "films.npy", allow_pickle=False)
    budget = budget_of(request["precision"])
    with ExitStack() as stack:
        reference = [stack.enter_context(np.load(folder / f"{i}.npz", allow_pickle=False)) for i in range(len(squares))]
        tensors = opened.answer(squares[0])
        file = opened.graph()
        matches = [one for one in match(graph, file, reference[0], tensors) if _comparable(one, reference[0], tensors)]
        odd = misfits(graph, file, matches, tensors)
        levels = measure(graph, matches, opened, squares, reference, request["precision"], first=tensors)
        found = find_first(graph, levels, odd, budget, json.loads((folder / "noise.json").read_text()))
        first = None
        if found is not None:
            shape = odd.get(found.node, ())
            kind = _other_shape(shape) if shape else _kind(found, graph, matches, opened, squares, reference)
            first = _first_bad(request["path"], found, graph, kind, changes, shape)
    compute = {one.key for one in graph.compute}
    order = [one.key for one in graph.operations if one.key in levels]
    return {
        "levels": {key: levels[key].db for key in order},
        "nodes": len(compute),
        "seen": len(compute & set(levels)),
        "drop": _largest_drop(graph, levels, budget),
        "first": first,
    }


def _keep_memory() -> None:
    """Let glibc keep what is freed: every film's tensors come and go, and mapping them anew took half of the time.

    convert.isolate asks for the contrary, for converters that hold on to what they free. Other C libraries have
    no mallopt, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(parameter, KEPT)


def _comparable(match: Match, reference: Tensors, tensors: Tensors) -> bool:
    return reference[match.reference].size == tensors[match.operation].size


def budget_of(precision: str) -> Budget:
    """Return the budget of a precision; that of int8 for one that is not known."""
    return BUDGETS.get(precision, BUDGETS["int8"])


def measure(
    graph: LayerGraph,
    matches: list[Match],
    opened: Opened,
    squares: NDArray[np.uint8],
    reference: list[Any],
    precision: str,
    *,
    first: Tensors | None = None,
) -> dict[str, Level]:
    """Return the level of every node that a tensor was seen of.

    A film counts at a lock, and behind it, only where the lock's pre-activation has the reference's signs:
    where it has not, the map jumps by right. That nothing is NaN is asked of every film.

    Args:
        graph: the reference.
        matches: which operation ends in which of its nodes.
        opened: the file.
        squares: films, uint8 [N, 224, 224].
        reference: what the nodes give, film by film.
        precision: of the file.
        first: what the file gave for the first film, where it is known.
    """
    behind = locks_before(graph)
    sums: dict[str, Sums] = {}
    nan: set[str] = set()
    for square, wanted in zip(squares, reference, strict=True):
        given = opened.answer(square) if first is None else first
        first = None
        signs = _signs(matches, wanted, given, set().union(*behind.values()))
        for one in matches:
            rows = given[one.operation].reshape(wanted[one.reference].shape)  # the map is [7, 7], its node [49, 1]
            if not np.isfinite(rows).all():
                nan.add(one.operation)
            if behind[one.node] & signs:
                continue
            before = sums.get(one.operation, Sums.none(rows.shape[1]))
            sums[one.operation] = before.add(wanted[one.reference], rows)
    levels: dict[str, Level] = {}
    for one in matches:
        if one.operation in nan:
            levels[one.node] = Level(math.nan)
        elif one.operation in sums and not (one.before_bias and sums[one.operation].count.max() < 2):
            level = level_of(sums[one.operation], precision=precision, before_bias=one.before_bias)
            old = levels.get(one.node, level)
            levels[one.node] = old if not old.db >= level.db else level  # the worst; NaN is worse than any
    return levels


def locks_before(graph: LayerGraph) -> dict[str, set[str]]:
    """Return, for each node, the pre-activations of the locks that it is or depends on."""
    found: dict[str, set[str]] = {INPUT: set()}
    for one in graph.operations:
        found[one.key] = set().union(*(found[source] for source in one.sources))
        if one.op == "Greater":
            found[one.key] |= set(one.sources[:1])
    return found


def _signs(matches: list[Match], wanted: Tensors, given: Tensors, asked: set[str]) -> set[str]:
    """Return the nodes of which this film's tensor has other signs than the reference's."""
    pairs = [(one.node, wanted[one.node], given[one.operation]) for one in matches if one.node in asked]
    return {node for node, one, other in pairs if one.shape == other.shape and ((one > 0) != (other > 0)).any()}


def misfits(graph: LayerGraph, file: LayerGraph, matches: list[Match], tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what bears a node's name and was matched with none: another stride, window or padding."""
    layers = {one.key.replace("/", "."): one.key for one in graph.compute}
    taken, used = {one.node for one in matches}, {one.operation for one in matches}
    order = {one.key: place for place, one in enumerate(graph.operations)}
    found: dict[str, tuple[int, ...]] = {}
    for one in file.compute:
        if one.key in used or one.key not in tensors:
            continue
        stems = [part.rsplit("_", 1)[0] for name in one.names for part in name.split("/")]
        named = sorted((layers[stem] for stem in stems if stem in layers), key=order.__getitem__)
        if named and named[-1] not in taken and graph.by_key[named[-1]].shape != one.shape:
            found[named[-1]] = one.shape
    return found


def by_own_name(graph: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:  # noqa: ARG001
    """Match the nodes of another ONNX graph: by name, or by the output that they give, where the shape is the same.

    What gives an output may be another node than its namesake: what came after that one is part of the network. A
    matcher.
    """
    known, ends = file.by_key, {name: one.key for one in file.operations for name in one.outputs}
    pairs = [
        (one, next((ends[name] for name in one.outputs if name in ends), one.key))
        for one in graph.operations
        if one.glue != SHAPES
    ]
    return [
        Match(key, one.key, "name", before_bias=False, agreement=0.0)
        for one, key in pairs
        if key in known and known[key].shape == one.shape
    ]


def _first_bad(
    path: str, found: Found, graph: LayerGraph, kind: str, changes: Changes | None, given: tuple[int, ...]
) -> dict[str, Any]:
    """Return the fields; where the file says at which of the nodes in question it is written otherwise, that one."""
    changed = changes(found.one_of) if changes is not None else {}
    node = next((one for one in found.one_of if one in changed), found.node)
    operation, known = graph.by_key[node], graph.by_key
    look = look_at([operation.op] if node in changed else [known[key].op for key in found.one_of])
    written = "; ".join(f"{key} in the file: {text}" for key, text in changed.items())
    bad = FirstBad(
        path=path,
        node=node,
        op=operation.op,
        shape=operation.shape,
        error_db=found.level_db,
        feeds=tuple(one.key for one in graph.operations if node in one.sources),
        reason="; ".join(said for said in (kind, look, written) if said),
        before_db=found.before_db,
        one_of=found.one_of,
        given=given,
    )
    return asdict(bad)


def _other_shape(shape: tuple[int, ...]) -> str:
    return (
        f"its shape is another, {shape[0]} places x {shape[1]} channels: stride, window, padding or a weight's layout"
    )


def _kind(
    found: Found,
    graph: LayerGraph,
    matches: list[Match],
    opened: Opened,
    squares: NDArray[np.uint8],
    reference: list[Any],
) -> str:
    """Say what kind of error the found node shows; inside its bias, or brought back to scale, as it was judged."""
    match = next(one for one in matches if one.node == found.node)
    given = np.stack([opened.answer(square)[match.operation] for square in squares])
    wanted = np.stack([film[match.reference] for film in reference])
    tensor = given.reshape(wanted.shape).astype(np.float64)
    if found.rescaled:
        tensor = tensor * best_scale((tensor * wanted).sum(axis=(0, 1)), (tensor**2).sum(axis=(0, 1)))
    inside = {source for key in found.one_of for source in graph.by_key[key].sources} - {INPUT, found.node}
    sources = {key: np.stack([film[key] for film in reference]) for key in sorted(inside) if key in reference[0]}
    return explain(wanted, tensor, sources)


def _largest_drop(graph: LayerGraph, levels: Mapping[str, Level], budget: Budget) -> float | None:
    """Return the largest drop behind what was seen, in dB; None where none can be told (float32 has no limit)."""
    feeds = seen_feeds(graph, levels)
    before = {node: min((levels[key].db for key in feeds[node]), default=math.inf) for node in levels}
    drops = [budget.drop(one.db, before[node]) for node, one in levels.items()]
    return max((one for one in drops if math.isfinite(one)), default=None)
