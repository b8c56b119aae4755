"""ONNX and TFLite graphs in one plain form, and which node of one is which node of the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# --- layer graph ---
# An ONNX and a TFLite graph in one plain form, so that their operations can be compared one by one.
#
# numpy only. Tensors are [positions, channels] of one film: ONNX's [1, C, H, W] and [49, C], TFLite's
# [1, H, W, C] and [1, 49, C] are the same numbers in the same order then.

INPUT = "(input)"  # stands for the film where an operation reads it
BEFORE_BIAS = " before its bias"  # what a node gives, less the constant that it adds last

_STORED = "changes how numbers are stored, computes none"
_MOVED = "moves values, or puts zeros around them, computes none"
SHAPES = "arithmetic on shapes, not on the film"
GLUE = {
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "Identity"), _STORED),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "PAD", "PADV2", "SQUEEZE", "EXPAND_DIMS"), _MOVED),
    **dict.fromkeys(("Reshape", "Transpose", "Pad", "Squeeze", "Unsqueeze", "Flatten"), _MOVED),
    **dict.fromkeys(("SHAPE", "Shape"), SHAPES),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One node of an ONNX graph, or one operation of a TFLite file."""

    key: str  # the node's name, or the operation's index in the file
    op: str
    sources: tuple[str, ...]  # keys of those that it reads, data first; constants are left out
    shape: tuple[int, int]  # of what it gives: positions, channels
    names: tuple[str, ...] = ()  # what TFLite calls its output: one name a layer that was fused into it
    outputs: tuple[str, ...] = ()  # of the network, given by it
    glue: str | None = None  # why it is not compared; None where it computes
    integer: bool = False  # what it gives is stored as integers that stand for real numbers


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Operations in an order in which they can be computed."""

    operations: tuple[Operation, ...]

    @property
    def by_key(self) -> dict[str, Operation]:
        """Every operation by its key."""
        return {one.key: one for one in self.operations}

    @property
    def compute(self) -> tuple[Operation, ...]:
        """The operations that count: those that compute something from the film."""
        return tuple(one for one in self.operations if one.glue is None)

    def feeds(self) -> dict[str, tuple[str, ...]]:
        """Return, for each operation, the computing ones (or the film) that it reads, glue looked through."""
        known = self.by_key
        found = {one.key: [_behind_glue(source, known) for source in one.sources] for one in self.operations}
        return {key: tuple(name for name in names if name is not None) for key, names in found.items()}

    def giving(self) -> dict[str, str]:
        """Return which computing operation gives each output of the network, glue looked through."""
        known, found = self.by_key, {}
        for one in self.operations:
            for output in one.outputs:
                behind = _behind_glue(one.key, known)
                if behind is not None:
                    found[output] = behind
        return found

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> LayerGraph:
        """Read what a runner wrote."""
        lists = ("sources", "shape", "names", "outputs")
        return cls(tuple(Operation(**(row | {name: tuple(row[name]) for name in lists})) for row in rows))


def _behind_glue(key: str, known: dict[str, Operation]) -> str | None:
    """Return what computes behind a chain of glue; None where the chain starts at a constant."""
    while key != INPUT and known[key].glue is not None:
        if not known[key].sources:
            return None
        key = known[key].sources[0]
    return key


def as_rows(array: NDArray[Any], *, channels_first: bool = False) -> NDArray[np.float32]:
    """Return the tensor of one film as float32 [positions, channels].

    Args:
        array: any rank, the batch of one first; a scalar is one position of one channel.
        channels_first: it is an image as ONNX has it, [1, C, H, W].
    """
    values = array.astype(np.float32, copy=False)
    if channels_first and values.ndim == 4:
        values = values.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1))


def why_glue(op: str, dtype: np.dtype[Any], *, quantized: bool = False) -> str | None:
    """Return why an operation is not compared, or None: int32 and int64 that stand for no real number are shapes."""
    if op not in GLUE and dtype in (np.int32, np.int64) and not quantized:
        return SHAPES
    return GLUE.get(op)


# --- layer match ---
# Which ONNX node a TFLite operation ends in: by name, else by place and shape, confirmed on one film.
#
# numpy only. TensorFlow fuses padding, convolution, BatchNorm and ReLU into one operation, names its
# output after all of them, and adds a number where a layer is called again.

CONFIRMED = (
    0.999  # correlation on one film: float32 files reach 1 - 1e-9, other nodes of the same shape stay below 0.99
)

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Match:
    """One operation and the node that it ends in."""

    operation: str  # key in the TFLite graph
    node: str  # key in the ONNX graph
    how: str  # output | name | place | order
    before_bias: bool  # it ends inside the node: its bias comes with a later operation
    agreement: float  # correlation on one film

    @property
    def reference(self) -> str:
        """Name of the tensor that it is compared with."""
        return f"{self.node}{BEFORE_BIAS}" if self.before_bias else self.node


def agreement(reference: NDArray[np.floating], tensor: NDArray[np.floating]) -> float:
    """Return Pearson's correlation of two tensors; 1 where they are equal, 0 where one is constant or not finite.

    Of one or two values it says nothing: there it is 1 less their relative distance, at least 0.
    """
    if reference.shape != tensor.shape:
        return 0.0
    if np.array_equal(reference, tensor):
        return 1.0
    one, other = (values.astype(np.float64).ravel() for values in (reference, tensor))
    if len(one) < 3:
        found = max(0.0, 1 - float(np.linalg.norm(one - other) / max(float(np.linalg.norm(one)), 1e-300)))
    else:
        one, other = one - one.mean(), other - other.mean()
        power = float(np.sqrt((one @ one) * (other @ other)))
        found = float(one @ other) / power if power > 0 else 0.0
    return found if np.isfinite(found) else 0.0


def match_graphs(nodes: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:
    """Match a file's computing operations with the nodes that they end in.

    Args:
        nodes: the ONNX graph.
        file: the TFLite graph.
        reference: what nodes give for one film, and what some give before their bias.
        tensors: what operations give for the same film.

    Returns:
        at most one match an operation, in the file's order.
    """
    matcher = _Matcher(nodes, file, reference, tensors)
    for operation in file.compute:
        matcher.match(operation)
    return _look_inside(list(matcher.found.values()), file, reference, tensors)


def match_like(known: list[Match], model: LayerGraph, file: LayerGraph) -> list[Match] | None:
    """Give a file the matches of another one of the same operations in the same order.

    Args:
        known: matches of `model`, the float32 file.
        model: its graph.
        file: the graph of the reduced file.

    Returns:
        the matches, or None where the operations are not the same.
    """
    pairs = list(zip(model.compute, file.compute, strict=False))
    same = all((one.op, one.shape) == (other.op, other.shape) for one, other in pairs)
    if len(model.compute) != len(file.compute) or not same:
        return None
    keys = {one.key: other.key for one, other in pairs}
    return [replace(one, operation=keys[one.operation], how="order") for one in known]


def covered_nodes(matches: list[Match], nodes: LayerGraph, file: LayerGraph) -> set[str]:
    """Return the computing nodes that a matched operation ends in, or that were fused into it.

    Fused are those between the nodes that its inputs end in and its own. Where an input is not
    matched, or the way back does not end at them, only the node itself counts.
    """
    node_of, feeds, node_feeds = {one.operation: one.node for one in matches}, file.feeds(), nodes.feeds()
    found: set[str] = set()
    for match in matches:
        found.add(match.node)
        before = [key if key == INPUT else node_of.get(key) for key in feeds[match.operation]]
        if None not in before and match.node not in before:
            found |= _between(match.node, {name for name in before if name is not None}, node_feeds)
    return found


def _between(end: str, stops: set[str], feeds: Mapping[str, tuple[str, ...]]) -> set[str]:
    found, waiting = {end}, list(feeds[end])
    while waiting:
        name = waiting.pop()
        if name in stops or name in found:
            continue
        if name == INPUT:  # past the nodes that it should start from: the way back is another one
            return {end}
        found.add(name)
        waiting += feeds[name]
    return found


class _Matcher:
    """What is matched so far, in the file's order."""

    def __init__(self, nodes: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> None:
        self.found: dict[str, Match] = {}
        self._nodes, self._reference, self._tensors = nodes.compute, reference, tensors
        self._order = {one.key: place for place, one in enumerate(nodes.operations)}
        self._ops = {one.key: one.op for one in nodes.compute}
        self._node_feeds, self._feeds = nodes.feeds(), file.feeds()
        self._layers = {one.key.replace("/", "."): one.key for one in nodes.compute}  # as Keras names its layers
        giving = nodes.giving()
        self._outputs = {key: giving[name] for name, key in file.giving().items() if name in giving}
        self._asked: dict[tuple[str, str], float] = {}

    def match(self, operation: Operation) -> None:
        """Match one operation, or leave it out."""
        if operation.key in self._outputs:
            self._keep(operation, self._outputs[operation.key], "output")
        elif (named := self._by_name(operation)) is not None:
            self._keep(operation, named, "name")
        elif (placed := self._by_place(operation)) is not None:
            self._keep(operation, placed, "place")

    def _keep(self, operation: Operation, node: str, how: str) -> None:
        found = self._ask(operation, node)
        self.found[operation.key] = Match(operation.key, node, how, before_bias=False, agreement=found)

    def _ask(self, operation: Operation, node: str) -> float:
        pair = operation.key, node
        if pair not in self._asked:
            self._asked[pair] = agreement(self._reference[node], self._tensors[operation.key])
        return self._asked[pair]

    def _fits(self, operation: Operation, node: str) -> bool:
        return self._reference[node].shape == operation.shape

    def _by_name(self, operation: Operation) -> str | None:
        """Return the node of the best name whose shape fits; a name that the film confirms goes first."""
        names = [node for node in dict.fromkeys(self._named(operation)) if self._fits(operation, node)]
        confirmed = (node for node in names if self._ask(operation, node) >= CONFIRMED)
        return next(confirmed, names[0] if names else None)

    def _named(self, operation: Operation) -> Iterator[str]:
        """Yield nodes by how well the name fits: a call's number taken off, as it is, then any call of that layer."""
        segments = [segment for name in operation.names for segment in name.split("/")]
        stems = [re.sub(r"_\d+$", "", segment) for segment in segments]
        families = {re.sub(r"(_\d+)+$", "", segment) for segment in segments}
        kin = [layer for layer in self._layers if re.sub(r"(_\d+)+$", "", layer) in families]
        for layers in (stems, segments, kin):
            nodes = [self._layers[layer] for layer in layers if layer in self._layers]
            yield from sorted(nodes, key=self._order.__getitem__, reverse=True)  # it ends in the last of them

    def _by_place(self, operation: Operation) -> str | None:
        """Return the one node that reads what it reads and does the same, else the one of its shape that agrees best.

        Without a name, and without that proof of its place, only a correlation above CONFIRMED will do.
        """
        taken = {one.node for one in self.found.values()}
        free = [node.key for node in self._nodes if node.key not in taken and self._fits(operation, node.key)]
        reads = {self.found[key].node if key in self.found else key for key in self._feeds[operation.key]}
        near = [node for node in free if set(self._node_feeds[node]) == reads]
        same = [node for node in near if self._ops[node].casefold() == operation.op.replace("_", "").casefold()]
        if len(same) == 1:
            return same[0]
        for candidates in (near, free):
            asked = {node: self._ask(operation, node) for node in candidates}
            best = max(asked, key=asked.__getitem__, default=None)
            if best is not None and asked[best] >= CONFIRMED:
                return best
        return None


def _look_inside(matches: list[Match], file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:
    """Move an operation that feeds another of the same node to where it is: inside it, before the bias.

    Without a reference for that place it is left out: nothing of ONNX's is like it.
    """
    feeds, by_operation = file.feeds(), {one.operation: one for one in matches}
    inside = {key for one in matches for key in feeds[one.operation] if _same_node(by_operation.get(key), one)}
    kept = []
    for match in matches:
        place = f"{match.node}{BEFORE_BIAS}"
        if match.operation not in inside:
            kept.append(match)
        elif place in reference:
            found = agreement(reference[place], tensors[match.operation])
            kept.append(replace(match, before_bias=True, agreement=found))
    return kept


def _same_node(one: Match | None, other: Match) -> bool:
    return one is not None and one.node == other.node
