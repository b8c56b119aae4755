"""One file against the reference, film by film, inside the process that can open it; the same for every format.

numpy only. A format gives an `Opened`; matching, sums, judgement and reason are here.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import INPUT, SHAPES, LayerGraph, Match, Tensors, agreement, match_graphs
from convert.layerwise.noise import BUDGETS, Budget, Found, Level, Sums, best_scale, find_first, level_of, seen_feeds
from convert.layerwise.trace_report import FirstBad

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 2**30  # malloc.h; bytes
Matcher = Callable[[LayerGraph, LayerGraph, Tensors, Tensors], list[Match]]
Changes = Callable[[tuple[str, ...]], Mapping[str, str]]


class Opened(Protocol):
    """A file whose tensors in between can be read."""

    def answer(self, model_input: NDArray[np.uint8]) -> Tensors:
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
    model_inputs = np.load(folder / "films.npy", allow_pickle=False)
    budget = budget_of(request["precision"])
    with ExitStack() as stack:
        reference = [
            stack.enter_context(np.load(folder / f"{i}.npz", allow_pickle=False)) for i in range(len(model_inputs))
        ]
        tensors = opened.answer(model_inputs[0])
        file = opened.graph()
        matches = [one for one in match(graph, file, reference[0], tensors) if _comparable(one, reference[0], tensors)]
        odd = misfits(graph, file, matches, tensors)
        levels = measure(graph, matches, opened, model_inputs, reference, request["precision"], first=tensors)
        found = find_first(graph, levels, odd, budget, json.loads((folder / "noise.json").read_text()))
        first = None
        if found is not None:
            shape = odd.get(found.node, ())
            kind = _other_shape(shape) if shape else _kind(found, graph, matches, opened, model_inputs, reference)
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

    convert.worker asks for the contrary, for converters that hold on to what they free. Other C libraries have
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
    model_inputs: NDArray[np.uint8],
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
        model_inputs: films, uint8 [N, 224, 224].
        reference: what the nodes give, film by film.
        precision: of the file.
        first: what the file gave for the first film, where it is known.
    """
    behind = locks_before(graph)
    sums: dict[str, Sums] = {}
    nan: set[str] = set()
    for model_input, wanted in zip(model_inputs, reference, strict=True):
        given = opened.answer(model_input) if first is None else first
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
    model_inputs: NDArray[np.uint8],
    reference: list[Any],
) -> str:
    """Say what kind of error the found node shows; inside its bias, or brought back to scale, as it was judged."""
    match = next(one for one in matches if one.node == found.node)
    given = np.stack([opened.answer(model_input)[match.operation] for model_input in model_inputs])
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


# --- trace reason ---
# What kind of error a node's output shows, and what to look at: the one place that guesses at causes.
#
# numpy only. Each test asks whether one simple change of the reference explains what the file gave.

EXPLAINED = 0.1  # of the error's power may be left by a change that is said to explain it
WHOLLY = 1e-3
FEW = 0.125  # of the channels at most are called some filters
LOUD = 30.0  # times the median channel's noise power: more than reduced precision spreads by itself
MOST_CHANNELS = 4  # named
LIKE = 0.99  # correlation with a moved reference that a moved answer reaches
SHIFTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # places; half of one is what SAME for explicit padding does at stride 2
LOOK = {
    "Conv": "its weights (layout, input channels), bias, padding, stride and groups",
    "BatchNormalization": "its gamma, beta, mean, variance and epsilon",
    "Gemm": "its weights (transposed?) and bias",
    "MatMul": "its weights (transposed?)",
    "Add": "what it adds: a residual dropped or taken from elsewhere, or a constant",
    "Sub": "the constant that it takes off: the mean of the normalisation",
    "Div": "the constant that it divides by: the deviation of the normalisation",
    "Mul": "the constant or the second tensor that it multiplies by",
    "Relu": "the kind of activation, and whether there is one",
    "MaxPool": "the kind of pooling, its window, stride and padding",
    "AveragePool": "the kind of pooling, its window, stride and padding",
    "ReduceMean": "the axes of the mean",
    "Sigmoid": "the kind of activation, and whether it is there once",
    "Pad": "how much is padded on which side, and with what",
    "Transpose": "the order of its axes",
    "Reshape": "the order in which values are laid out",
}

Tensor = NDArray[np.float64]  # [films, positions, channels]


def look_at(ops: Sequence[str]) -> str:
    """Say what of nodes of some ops can be wrong: of one alone, or of those that were fused."""
    known = [op for op in dict.fromkeys(ops) if op in LOOK] or list(ops[:1])
    said = [LOOK.get(op, "its attributes and constants") for op in known]
    if len(known) < 2:
        return f"look at {said[0]}"
    return "look at " + ", or ".join(f"{op}: {what}" for op, what in zip(known, said, strict=True))


def explain(
    reference: NDArray[np.floating], given: NDArray[np.floating], sources: Mapping[str, NDArray[np.floating]]
) -> str:
    """Say what kind of error it is.

    Args:
        reference: what it should give, [films, positions, channels].
        given: what the file gave, of the same shape.
        sources: what the node reads, by its name, of any shape.
    """
    wanted, got = reference.astype(np.float64), given.astype(np.float64)
    tests: tuple[Callable[[], str], ...] = (
        lambda: _not_finite(got),
        lambda: _constant(wanted, got),
        lambda: _passed_on(wanted, got, sources),
        lambda: _turned(wanted, got),
        lambda: _few_channels(wanted, got),
        lambda: _affine(wanted, got),
        lambda: _clipped(wanted, got),
        lambda: _shifted(wanted, got),
        lambda: _permuted(wanted, got),
        lambda: _at_the_border(wanted, got),
    )
    return next((said for test in tests if (said := test())), f"it differs all over (correlation {_like(wanted, got)})")


def _not_finite(got: Tensor) -> str:
    bad = ~np.isfinite(got)
    if not bad.any():
        return ""
    channels = int(bad.any(axis=(0, 1)).sum())
    return f"NaN or Inf in {bad.sum()} of {bad.size} values, {channels} of {bad.shape[2]} channels: a weight or a scale"


def _constant(wanted: Tensor, got: Tensor) -> str:
    constant = got.size > 1 and np.ptp(got) == 0 and np.ptp(wanted) > 0
    return (
        f"every value is {got.flat[0]:.3g}: a range or a scale that swallows all, or zeroed weights" if constant else ""
    )


def _passed_on(wanted: Tensor, got: Tensor, sources: Mapping[str, NDArray[np.floating]]) -> str:
    power = _power(got - wanted)
    for name, values in sources.items():
        if values.shape != got.shape or not got.any():
            continue
        source = values.astype(np.float64)
        for tensor, said in ((source, "it is"), (np.maximum(source, 0), "it is the ReLU of")):
            if _power(got - tensor) < EXPLAINED**2 * power:
                return f"{said} what {name} gives: an operation between was left out, or its other input dropped"
    return ""


def _turned(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 2:
        return ""
    turned = _image(wanted, side).transpose(0, 2, 1, 3).reshape(wanted.shape)
    if _explains(turned, wanted, got):
        return "it is the reference with height and width swapped: a transpose, or a kernel laid out [W, H]"
    return ""


def _few_channels(wanted: Tensor, got: Tensor) -> str:
    noise = ((got - wanted) ** 2).sum(axis=(0, 1))
    loud = np.flatnonzero(noise > LOUD * np.median(noise))
    order = loud[np.argsort(noise[loud])[::-1]]
    if not 0 < len(loud) <= max(1, FEW * len(noise)) or len(noise) < 8 or noise[loud].sum() < noise.sum() / 2:
        return ""
    named = ", ".join(str(one) for one in order[:MOST_CHANNELS])
    one = _affine(wanted[..., order], got[..., order])
    also = f"; there, {one}" if one else ""
    return f"{len(loud)} of {len(noise)} channels hold the error (channel {named}): single weights, or one scale{also}"


def _affine(wanted: Tensor, got: Tensor) -> str:
    """Try, from the simplest on: one offset, one factor, an offset or a factor a channel, both."""
    if wanted.shape[0] * wanted.shape[1] < 4:
        return ""
    flat, other = wanted.reshape(-1, wanted.shape[2]), got.reshape(-1, wanted.shape[2])
    power, away = _power(other - flat), other - flat
    scale = (flat * other).sum(axis=0) / np.maximum((flat**2).sum(axis=0), 1e-300)
    centred = flat - flat.mean(axis=0)
    slope = (centred * other).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-300)
    one_scale = float((flat * other).sum() / max((flat**2).sum(), 1e-300))
    tries = (
        (away - away.mean(), f"a constant offset of {away.mean():.3g}: a bias, or a mean left out"),
        (other - one_scale * flat, f"one factor of {one_scale:.3g}: a scale or a deviation"),
        (away - away.mean(axis=0), "a constant offset for each channel: a bias, or BatchNorm's mean or beta"),
        (
            other - scale * flat,
            f"a factor for each channel ({_span(scale)}): a scale, or BatchNorm's variance, epsilon",
        ),
        (
            other - other.mean(axis=0) - slope * centred,
            f"a factor ({_span(slope)}) and an offset for each channel: BatchNorm's epsilon, variance or mean",
        ),
    )
    shares = (WHOLLY, EXPLAINED)  # first what explains all of it, then what explains most
    return next((said for share in shares for left, said in tries if _power(left) < share * power), "")


def _clipped(wanted: Tensor, got: Tensor) -> str:
    if wanted.min() >= 0 > got.min():
        return f"values down to {got.min():.3g} where the reference has none below 0: a ReLU is missing or a leaky one"
    if got.min() >= 0 > wanted.min() and _explains(np.maximum(wanted, 0), wanted, got):
        return "it is the reference's ReLU: an activation too many"
    if got.max() < wanted.max() and _explains(np.minimum(wanted, got.max()), wanted, got):
        return f"it is cut off at {got.max():.3g}: ReLU6 for ReLU, or a range that is too small"
    return ""


def _shifted(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 5:
        return ""
    image, inner = _image(wanted, side), _image(got, side)[:, 1:-1, 1:-1]
    found = {(dy, dx): agreement(_moved(image, dy, dx), inner) for dy, dx in product(SHIFTS, SHIFTS)}
    best = max(found, key=found.__getitem__)
    if best == (0.0, 0.0) or 1 - found[best] > (1 - found[0.0, 0.0]) / 2:
        return ""
    return (
        f"it fits the reference moved by {best[0]:g}, {best[1]:g} places (correlation {found[best]:.3f}, unmoved "
        f"{found[0.0, 0.0]:.3f}): padding on the wrong sides (SAME for explicit zeros), or another stride"
    )


def _moved(image: Tensor, dy: float, dx: float) -> Tensor:
    """Return the inside of images [films, side, side, C] moved by (dy, dx) places, half ones interpolated."""
    for axis, step in ((1, dy), (2, dx)):
        low, high = math.floor(step), math.ceil(step)
        image = (np.roll(image, low, axis) + np.roll(image, high, axis)) / 2
    return image[:, 1:-1, 1:-1]


def _permuted(wanted: Tensor, got: Tensor) -> str:
    samples, channels = wanted.shape[0] * wanted.shape[1], wanted.shape[2]
    if samples < 16 or channels < 2:
        return ""
    one, other = (_standard(values.reshape(samples, channels)) for values in (wanted, got))
    likeness = other.T @ one
    best, own = likeness.argmax(axis=1), np.diagonal(likeness)
    moved = (best != np.arange(channels)) & (likeness.max(axis=1) > LIKE) & (own < LIKE)
    if moved.sum() < 2:
        return ""
    first = int(np.flatnonzero(moved)[0])
    swapped = f"channel {first} is the reference's {best[first]}"
    return f"{moved.sum()} of {channels} channels are those of others ({swapped}): their order"


def _at_the_border(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 5:
        return ""
    noise = (_image(got - wanted, side) ** 2).sum(axis=(0, 3))
    if noise[1:-1, 1:-1].sum() > EXPLAINED * noise.sum():
        return ""
    return "it differs at the border alone: what is padded with, how much, or whether padding is counted"


def _explains(change: Tensor, wanted: Tensor, got: Tensor) -> bool:
    return _power(got - change) < EXPLAINED * _power(got - wanted)


def _power(values: NDArray[np.floating]) -> float:
    return float(np.square(values).sum())


def _like(wanted: Tensor, got: Tensor) -> str:
    return f"{agreement(wanted, got):.3f}"


def _span(scale: NDArray[np.floating]) -> str:
    low, high = np.quantile(scale, (0.1, 0.9))
    return f"{low:.3g} to {high:.3g}"


def _standard(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = rows - rows.mean(axis=0)
    standard: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    return standard


def _side(tensor: Tensor) -> int:
    """Return the side of the square of positions; 0 where they are none."""
    side = math.isqrt(tensor.shape[1])
    return side if side * side == tensor.shape[1] else 0


def _image(tensor: Tensor, side: int) -> Tensor:
    return tensor.reshape(len(tensor), side, side, -1)
