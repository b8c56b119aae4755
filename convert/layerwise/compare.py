"""One file against the reference, film by film, in the process that opened it; the same for every format; numpy only.

A format's module in `convert.layerwise.readers` opens its `Reader`; matching, sums and judgement are here.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import (
    INPUT,
    LayerGraph,
    Match,
    Tensors,
    agreement,
    best_scale,
    match_graphs,
    match_like,
    misfits,
)
from convert.layerwise.noise import (
    BUDGETS,
    LEAST_COUNT,
    BrokenBudget,
    Level,
    Sums,
    find_first,
    level_of,
    levels_before,
)

THRESHOLDS = (-1, -3)  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
KEPT, DEFAULT = 2**30, 2**16  # bytes; convert.worker.RETURN_MEMORY
Matcher = Callable[[LayerGraph, LayerGraph, Tensors, Tensors], list[Match]]
Changes = Callable[[tuple[str, ...]], Mapping[str, str]]
Films = Iterable[tuple[NDArray[np.uint8], Tensors]]  # a model input, uint8 [224, 224], and the reference's tensors


class Reader(Protocol):
    """A file whose intermediate tensors can be read."""

    def run(self, model_input: NDArray[np.uint8]) -> Tensors:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by operation."""
        ...

    def graph(self) -> LayerGraph:
        """Return its operations; a film must have run."""
        ...


@dataclass(frozen=True, slots=True)
class NodeReference:
    """A folder with films.npy, graph.json, and 0.npz and so on: the tensor of each node, film by film."""

    folder: Path
    proof_db: dict[str, float] = field(default_factory=dict)  # its outputs against PyTorch eager; inf: no difference

    @property
    def graph(self) -> LayerGraph:
        """The nodes."""
        return LayerGraph.from_json(json.loads((self.folder / "graph.json").read_text()))

    @property
    def model_inputs(self) -> NDArray[np.uint8]:
        """The films, uint8 [N, 224, 224]."""
        model_inputs: NDArray[np.uint8] = np.load(self.folder / "films.npy", allow_pickle=False)
        return model_inputs

    @property
    def noise_db(self) -> dict[str, float]:
        """How far rounding alone moves a node, in dB by node; nodes that do not move are left out."""
        found: dict[str, float] = json.loads((self.folder / "noise.json").read_text())
        return found

    def films(self) -> Iterator[tuple[NDArray[np.uint8], Tensors]]:
        """Yield each film with the tensors of its nodes, which are read from disk one by one."""
        for index, model_input in enumerate(self.model_inputs):
            with np.load(self.folder / f"{index}.npz", allow_pickle=False) as tensors:
                yield model_input, tensors


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first node of one file whose output leaves its budget."""

    path: str  # of the artefact
    node: str  # of the reference graph; empty where the file cannot be run at all
    op: str
    shape: tuple[int, ...]  # of its output for one film in the reference: positions, channels
    error_db: float  # the worst channel's (convert.layerwise.noise); NaN where there is no number
    feeds: tuple[str, ...]  # nodes that read it
    reason: str  # the kind of error, and what to check
    before_db: float = math.nan  # the worst level of its inputs; inf at the film
    one_of: tuple[str, ...] = ()  # nodes that the fault may lie in: it, and those fused into it
    given: tuple[int, ...] = ()  # shape of the file's output, where that is another

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FirstBad:
        """Read the fields of one after a passage through JSON."""
        tuples = ("shape", "feeds", "one_of", "given")
        return cls(**(fields | {name: tuple(fields[name]) for name in tuples}))


def compare(
    request: dict[str, Any], reader: Reader, *, match: Matcher = match_graphs, changes: Changes | None = None
) -> dict[str, Any]:
    """Compare every tensor that can be matched with its node.

    Args:
        request: path; precision; reference (folder of a NodeReference); like (another file's operations and
            matches, or null); sums (.npz to write by operation, or null); judge (name the first bad node?).
        reader: of the file.
        match: finds the node that each operation ends in.
        changes: returns, for some nodes, how the file defines them differently from the reference.

    Returns:
        operations, matches; where it judges, also levels by node (dB), seen, drop, and `first`, the fields of a
        FirstBad or null.
    """
    reference = NodeReference(Path(request["reference"]))
    graph = reference.graph
    with _memory_kept():
        tensors = reader.run(reference.model_inputs[0])
        file = reader.graph()
        with np.load(reference.folder / "0.npz", allow_pickle=False) as arrays:
            matches = _match(request["like"], match, graph, file, dict(arrays), tensors)
        answer = {"operations": file.to_json(), "matches": [asdict(one) for one in matches]}
        if request["sums"] is not None:
            sums = sum_films(graph, matches, reader, reference.films(), first=tensors)
            np.savez(request["sums"], allow_pickle=False, **{key: one.stacked() for key, one in sums.items()})
        if request["judge"]:
            sums = sum_films(graph, matches, reader, reference.films(), first=tensors, same_patterns=True)
            levels = levels_of(matches, sums, request["precision"])
            answer |= _judge(request, reference, reader, matches, levels, misfits(graph, file, matches), changes)
    return answer


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Let glibc keep freed memory meanwhile: mapping every film's tensors anew took half of the time.

    `convert.worker` sets the contrary, for converters that hold on to what they free. Other C libraries have
    no mallopt, and need none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    for parameter in THRESHOLDS:
        mallopt(parameter, KEPT)
    try:
        yield
    finally:
        for parameter in THRESHOLDS:
            mallopt(parameter, DEFAULT)


def _match(
    like: dict[str, Any] | None, match: Matcher, graph: LayerGraph, file: LayerGraph, nodes: Tensors, tensors: Tensors
) -> list[Match]:
    """Return the matches whose tensors have as many values as their nodes: those of a like file, or new ones."""
    found = None
    if like is not None:  # its tensors confirm matches that a noisy file's cannot
        known = [Match(**one) for one in like["matches"]]
        found = match_like(known, LayerGraph.from_json(like["operations"]), file)
    found = match(graph, file, nodes, tensors) if found is None else found
    return [one for one in found if nodes[one.reference].size == tensors[one.operation].size]


def sum_films(
    graph: LayerGraph,
    matches: list[Match],
    reader: Reader,
    films: Films,
    *,
    first: Tensors | None = None,
    same_patterns: bool = False,
) -> dict[str, Sums]:
    """Return the sums of each matched operation against its node.

    Args:
        graph: the reference.
        matches: operations and their nodes.
        reader: of the file.
        films: with the reference's tensors.
        first: the file's tensors of the first film, where they are known.
        same_patterns: leave a film out at a ReLU pattern of the evidence map, and behind it, where the signs of
            its pre-activation are not the reference's: there the map jumps legitimately. NaN always counts.
    """
    patterns = graph.relu_patterns() if same_patterns else {}
    gates = set().union(*patterns.values())
    sums: dict[str, Sums] = {}
    for model_input, reference in films:
        tensors, first = reader.run(model_input) if first is None else first, None
        flipped = {
            one.node
            for one in matches
            if one.node in gates and _signs_differ(reference[one.node], tensors[one.operation])
        }
        for one in matches:
            wanted = reference[one.reference]
            rows = tensors[one.operation].reshape(wanted.shape)  # the map is [7, 7], its node [49, 1]
            if flipped & patterns.get(one.node, set()) and np.isfinite(rows).all():
                continue
            sums[one.operation] = sums.get(one.operation, Sums.none(rows.shape[1])).add(wanted, rows)
    return sums


def _signs_differ(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> bool:
    return wanted.shape == given.shape and bool(((wanted > 0) != (given > 0)).any())


def levels_of(matches: list[Match], sums: Mapping[str, Sums], precision: str) -> dict[str, Level]:
    """Return the level of every node of which a tensor was seen: that of its worst operation.

    Args:
        matches: operations and their nodes.
        sums: by operation.
        precision: of the file.
    """
    levels: dict[str, Level] = {}
    for one in matches:
        if one.operation not in sums:
            continue
        level = level_of(sums[one.operation], precision=precision, before_bias=one.before_bias)
        if one.before_bias and sums[one.operation].count.max() < LEAST_COUNT and not math.isnan(level.db):
            continue
        old = levels.get(one.node, level)
        levels[one.node] = old if not old.db >= level.db else level  # NaN is worse than any
    return levels


def _judge(
    request: dict[str, Any],
    reference: NodeReference,
    reader: Reader,
    matches: list[Match],
    levels: dict[str, Level],
    shapes: Mapping[str, tuple[int, int]],
    changes: Changes | None,
) -> dict[str, Any]:
    graph, budget = reference.graph, BUDGETS.get(request["precision"], BUDGETS["int8"])
    found = find_first(graph, levels, shapes, budget, reference.noise_db)
    bad = None
    if found is not None:
        shape = shapes.get(found.node, ())
        changed = changes(found.one_of) if changes is not None else {}
        kind = _other_shape(shape) if shape else _kind(found, matches, reader, reference)
        bad = _first_bad(request["path"], found, graph, kind, changed, shape)
    before = levels_before(graph, levels)
    drops = [budget.drop(one.db, before[key]) for key, one in levels.items()]
    computing = {one.key for one in graph.compute}
    return {
        "levels": {one.key: levels[one.key].db for one in graph.operations if one.key in levels},
        "nodes": len(computing),
        "seen": len(computing & set(levels)),
        "drop": max((one for one in drops if math.isfinite(one)), default=None),
        "first": None if bad is None else asdict(bad),
    }


def _first_bad(
    path: str, found: BrokenBudget, graph: LayerGraph, kind: str, changed: Mapping[str, str], given: tuple[int, ...]
) -> FirstBad:
    """Return the first bad node; of the nodes in question the first that the file defines differently, if any."""
    node = next((one for one in found.one_of if one in changed), found.node)
    operation, known = graph.by_key[node], graph.by_key
    check = what_to_check([operation.op] if node in changed else [known[key].op for key in found.one_of])
    written = "; ".join(f"{key} in the file: {text}" for key, text in changed.items())
    return FirstBad(
        path=path,
        node=node,
        op=operation.op,
        shape=operation.shape,
        error_db=found.level_db,
        feeds=tuple(one.key for one in graph.operations if node in one.sources),
        reason="; ".join(part for part in (kind, check, written) if part),
        before_db=found.before_db,
        one_of=found.one_of,
        given=given,
    )


def _other_shape(shape: tuple[int, ...]) -> str:
    return f"its shape is {shape[0]} positions x {shape[1]} channels: stride, window, padding or a weight's layout"


def _kind(found: BrokenBudget, matches: list[Match], reader: Reader, reference: NodeReference) -> str:
    """Return the kind of error of the node; before its bias, or brought back to scale, as it was judged."""
    match = next(one for one in matches if one.node == found.node)
    graph = reference.graph.by_key
    inside = {source for key in found.one_of for source in graph[key].sources} - {INPUT, found.node}
    given, wanted = [], []
    sources: dict[str, list[NDArray[np.float32]]] = {}
    for model_input, nodes in reference.films():
        given.append(reader.run(model_input)[match.operation])
        wanted.append(nodes[match.reference])
        for key in sorted(inside & set(nodes)):
            sources.setdefault(key, []).append(nodes[key])
    node = np.stack(wanted)
    tensor = np.stack(given).reshape(node.shape).astype(np.float64)
    if found.rescaled:
        tensor = tensor * best_scale((tensor * node).sum(axis=(0, 1)), (tensor**2).sum(axis=(0, 1)))
    return explain(node, tensor, {key: np.stack(tensors) for key, tensors in sources.items()})


# --- diagnosis ---
# What kind of error a node's output shows, and what to check: the one place that guesses at causes.
#
# Each test tries whether one simple change of the reference explains the file's output.

EXPLAINED = 0.1  # of the error's power may be left by a change that explains it
WHOLLY = 1e-3
FEW = 0.125  # share of the channels: an error in no more of them is one of single filters
LOUD = 30.0  # times the median channel's noise power: more than reduced precision causes by itself
NAMED_CHANNELS = 4
LIKE = 0.99  # correlation of a permuted channel with its reference
SHIFTS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # pixels; half of one is what SAME for explicit padding does at stride 2
CHECK = {
    "Conv": "its weights (layout, input channels), bias, padding, stride and groups",
    "BatchNormalization": "its gamma, beta, mean, variance and epsilon",
    "Gemm": "its weights (transposed?) and bias",
    "MatMul": "its weights (transposed?)",
    "Add": "its inputs: a residual dropped or taken from elsewhere, or a constant",
    "Sub": "the constant that it subtracts: the mean of the normalisation",
    "Div": "the constant that it divides by: the deviation of the normalisation",
    "Mul": "the constant or the second tensor that it multiplies by",
    "Relu": "the kind of activation, and whether it is present",
    "MaxPool": "the kind of pooling, its window, stride and padding",
    "AveragePool": "the kind of pooling, its window, stride and padding",
    "ReduceMean": "the axes of the mean",
    "Sigmoid": "the kind of activation, and whether it is applied exactly once",
    "Pad": "the padding's width, side and value",
    "Transpose": "the order of its axes",
    "Reshape": "the order of its values",
}

Tensor = NDArray[np.float64]  # [films, positions, channels]


def what_to_check(ops: Sequence[str]) -> str:
    """Return what can be wrong with nodes of some ops: with one alone, or with those that were fused."""
    known = [op for op in dict.fromkeys(ops) if op in CHECK] or list(ops[:1])
    hints = [CHECK.get(op, "its attributes and constants") for op in known]
    if len(known) < 2:
        return f"check {hints[0]}"
    return "check " + ", or ".join(f"{op}: {hint}" for op, hint in zip(known, hints, strict=True))


def explain(
    reference: NDArray[np.floating], given: NDArray[np.floating], sources: Mapping[str, NDArray[np.floating]]
) -> str:
    """Return a phrase that names the kind of error.

    Args:
        reference: the node's output, [films, positions, channels].
        given: the file's output, of the same shape.
        sources: the node's inputs by name, of any shape.
    """
    wanted, got = reference.astype(np.float64), given.astype(np.float64)
    if phrase := _not_finite(got) or _constant(wanted, got) or _passed_on(wanted, got, sources):
        return phrase
    tests = (_transposed, _few_channels, _affine, _clipped, _shifted, _permuted, _at_the_border)
    found = (phrase for test in tests if (phrase := test(wanted, got)))
    return next(found, f"it differs everywhere (correlation {agreement(wanted, got):.3f})")


def _not_finite(got: Tensor) -> str:
    bad = ~np.isfinite(got)
    if not bad.any():
        return ""
    channels = int(bad.any(axis=(0, 1)).sum())
    return f"NaN or Inf in {bad.sum()} of {bad.size} values, {channels} of {bad.shape[2]} channels: a weight or a scale"


def _constant(wanted: Tensor, got: Tensor) -> str:
    constant = got.size > 1 and np.ptp(got) == 0 and np.ptp(wanted) > 0
    return (
        f"every value is {got.flat[0]:.3g}: a range or a scale that clips everything, or zeroed weights"
        if constant
        else ""
    )


def _passed_on(wanted: Tensor, got: Tensor, sources: Mapping[str, NDArray[np.floating]]) -> str:
    power = _power(got - wanted)
    for name, values in sources.items():
        if values.shape != got.shape or not got.any():
            continue
        source = values.astype(np.float64)
        for tensor, relation in ((source, "it equals"), (np.maximum(source, 0), "it equals the ReLU of")):
            if _power(got - tensor) < EXPLAINED**2 * power:
                return f"{relation} the output of {name}: an operation between was omitted, or its other input dropped"
    return ""


def _transposed(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 2:
        return ""
    transposed = _image(wanted, side).transpose(0, 2, 1, 3).reshape(wanted.shape)
    if _explains(transposed, wanted, got):
        return "it equals the reference with height and width swapped: a transpose, or a kernel in the layout [W, H]"
    return ""


def _few_channels(wanted: Tensor, got: Tensor) -> str:
    noise = ((got - wanted) ** 2).sum(axis=(0, 1))
    loud = np.flatnonzero(noise > LOUD * np.median(noise))
    order = loud[np.argsort(noise[loud])[::-1]]
    if not 0 < len(loud) <= max(1, FEW * len(noise)) or len(noise) < 8 or noise[loud].sum() < noise.sum() / 2:
        return ""
    named = ", ".join(str(one) for one in order[:NAMED_CHANNELS])
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
        (away - away.mean(), f"a constant offset of {away.mean():.3g}: a bias, or an omitted mean"),
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
    return next((phrase for share in shares for left, phrase in tries if _power(left) < share * power), "")


def _clipped(wanted: Tensor, got: Tensor) -> str:
    if wanted.min() >= 0 > got.min():
        return f"values down to {got.min():.3g} where the reference has none below 0: a ReLU is missing or a leaky one"
    if got.min() >= 0 > wanted.min() and _explains(np.maximum(wanted, 0), wanted, got):
        return "it equals the reference's ReLU: one activation too many"
    if got.max() < wanted.max() and _explains(np.minimum(wanted, got.max()), wanted, got):
        return f"it is cut off at {got.max():.3g}: ReLU6 for ReLU, or too small a range"
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
        f"it matches the reference shifted by {best[0]:g}, {best[1]:g} pixels (correlation {found[best]:.3f}, "
        f"unshifted {found[0.0, 0.0]:.3f}): padding on the wrong sides (SAME for explicit zeros), or another stride"
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
    return f"{moved.sum()} of {channels} channels are permuted ({swapped}): their order"


def _at_the_border(wanted: Tensor, got: Tensor) -> str:
    side = _side(wanted)
    if side < 5:
        return ""
    noise = (_image(got - wanted, side) ** 2).sum(axis=(0, 3))
    if noise[1:-1, 1:-1].sum() > EXPLAINED * noise.sum():
        return ""
    return "it differs only at the border: the padding's value or width, or whether it is counted"


def _explains(change: Tensor, wanted: Tensor, got: Tensor) -> bool:
    return _power(got - change) < EXPLAINED * _power(got - wanted)


def _power(values: NDArray[np.floating]) -> float:
    return float(np.square(values).sum())


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
