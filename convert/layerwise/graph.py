"""ONNX, Keras and TFLite graphs in one plain form, and which node of one is which node of the other; numpy only.

Tensors are [positions, channels] of one film: ONNX's [1, C, H, W] and [49, C], TFLite's [1, H, W, C] and
[1, 49, C] are the same numbers in the same order then.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT = "(input)"  # the film, where an operation reads it
BEFORE_BIAS = " before its bias"  # output of a node less the constant that it adds last

_STORED = "changes how numbers are stored, computes none"
_MOVED = "moves values, or puts zeros around them, computes none"
SHAPES = "arithmetic on shapes, not on the film"
NOT_COMPUTING = {
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE", "Identity"), _STORED),
    **dict.fromkeys(("RESHAPE", "TRANSPOSE", "PAD", "PADV2", "SQUEEZE", "EXPAND_DIMS"), _MOVED),
    **dict.fromkeys(("Reshape", "Transpose", "Pad", "Squeeze", "Unsqueeze", "Flatten"), _MOVED),
    **dict.fromkeys(("SHAPE", "Shape"), SHAPES),
}

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FileOperation:
    """One node of an ONNX graph, one operation of a TFLite file, or one call of a Keras layer."""

    key: str  # the node's name, or the operation's index in the file
    op: str
    sources: tuple[str, ...]  # keys of the operations that it reads, data first; constants are left out
    shape: tuple[int, int]  # of its output: positions, channels
    names: tuple[str, ...] = ()  # TFLite's names of its output: one for each layer that was fused into it
    outputs: tuple[str, ...] = ()  # outputs of the network that it computes
    skipped: str | None = None  # why it is not compared; None where it computes
    integer: bool = False  # its output is stored as integers that represent real numbers
    exact: str = ""  # of its names the node itself, without a number of its call, as our own TFLite files have it


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Operations in an order in which they can be computed."""

    operations: tuple[FileOperation, ...]

    @property
    def by_key(self) -> dict[str, FileOperation]:
        """Every operation by its key."""
        return {one.key: one for one in self.operations}

    @property
    def compute(self) -> tuple[FileOperation, ...]:
        """The operations that compute something from the film."""
        return tuple(one for one in self.operations if one.skipped is None)

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Return, for each operation, the computing operations (or the film) that it reads, through skipped ones."""
        known = self.by_key
        found = {one.key: [_computing_source(source, known) for source in one.sources] for one in self.operations}
        return {key: tuple(name for name in names if name is not None) for key, names in found.items()}

    def network_outputs(self) -> dict[str, str]:
        """Return the computing operation behind each output of the network."""
        known = self.by_key
        pairs = ((name, _computing_source(one.key, known)) for one in self.operations for name in one.outputs)
        return {name: key for name, key in pairs if key is not None}

    def nearest(self, seen: Container[str]) -> dict[str, set[str]]:
        """Return, for each operation, the nearest operations before it that are in `seen`."""
        found: dict[str, set[str]] = {INPUT: set()}
        for one in self.operations:
            found[one.key] = set().union(*({key} if key in seen else found[key] for key in one.sources))
        return found

    def relu_patterns(self) -> dict[str, set[str]]:
        """Return, for each node, the pre-activations whose signs select the ReLU pattern that it depends on."""
        found: dict[str, set[str]] = {INPUT: set()}
        for one in self.operations:
            found[one.key] = set().union(*(found[source] for source in one.sources))
            if one.op == "Greater":
                found[one.key] |= set(one.sources[:1])
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values ready for JSON."""
        return [asdict(one) for one in self.operations]

    @classmethod
    def from_json(cls, rows: list[dict[str, Any]]) -> LayerGraph:
        """Read what `to_json` returned."""
        tuples = ("sources", "shape", "names", "outputs")
        return cls(tuple(FileOperation(**(row | {name: tuple(row[name]) for name in tuples})) for row in rows))


def _computing_source(key: str, known: dict[str, FileOperation]) -> str | None:
    """Return the computing operation behind a chain of skipped ones; None where the chain starts at a constant."""
    while key != INPUT and known[key].skipped is not None:
        if not known[key].sources:
            return None
        key = known[key].sources[0]
    return key


def as_rows(array: NDArray[Any], *, channels_first: bool = False) -> NDArray[np.float32]:
    """Return the tensor of one film as float32 [positions, channels].

    Args:
        array: any rank, the batch of one first; a scalar is one position of one channel.
        channels_first: it is an image in ONNX's layout, [1, C, H, W].
    """
    values = array.astype(np.float32, copy=False)
    if channels_first and values.ndim == 4:
        values = values.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1))


def why_skipped(op: str, dtype: np.dtype[Any], *, quantized: bool = False) -> str | None:
    """Return why an operation is not compared, or None: unquantized int32 and int64 are shapes."""
    if op not in NOT_COMPUTING and dtype in (np.int32, np.int64) and not quantized:
        return SHAPES
    return NOT_COMPUTING.get(op)


# --- matching ---
# Which ONNX node a TFLite operation ends in: by name, else by position and shape, confirmed on one film.
# TensorFlow fuses padding, convolution, BatchNorm and ReLU into one operation, names its output after all of
# them, and adds a number where a layer is called again.

# Correlation on one film: float32 files reach 1 - 1e-9, other nodes of the same shape stay below 0.99.
CONFIRMED = 0.999
# 1 less the correlation, where a node that follows a name is taken for it. The worst node of a ResNet50's int8 file has
# 18 dB, which is 0.008; its first BatchNorm lies 0.13 from what the ReLU makes of it. The node also has to be four
# times nearer than the name.
UNCONFIRMED = 0.05


@dataclass(frozen=True, slots=True)
class Match:
    """One operation and the node that it ends in."""

    operation: str  # key in the file's graph
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

    One or two values have no correlation: there it is 1 less their relative distance, at least 0.
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


def best_scale(product: NDArray[np.float64], power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor that brings each channel nearest to its reference; an equalization's is never negative.

    Args:
        product: sum of tensor times reference, [C].
        power: sum of the tensor squared, [C].
    """
    scale: NDArray[np.float64] = np.maximum(product, 0.0) / np.maximum(power, 1e-300)
    return scale


def match_graphs(nodes: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:
    """Match a file's computing operations with the nodes that they end in.

    Args:
        nodes: the ONNX graph.
        file: the file's graph.
        reference: outputs of the nodes for one film, and of some of them before their bias.
        tensors: outputs of the file's operations for the same film.

    Returns:
        at most one match for each operation, in the file's order.
    """
    matcher = _Matcher(nodes, file, reference, tensors)
    for operation in file.compute:
        matcher.match(operation)
    return _inside_nodes(list(matcher.found.values()), file, reference, tensors)


def match_like(known: list[Match], model: LayerGraph, file: LayerGraph) -> list[Match] | None:
    """Give a file the matches of another one that has the same operations in the same order.

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


def match_by_node_name(graph: LayerGraph, file: LayerGraph) -> list[Match]:
    """Match the nodes of another ONNX graph: by name, or by the output that they compute, where the shape is the same.

    An output may be computed by another node than its namesake: what came after that one is part of the network.
    """
    known, ends = file.by_key, {name: one.key for one in file.operations for name in one.outputs}
    pairs = [
        (one, next((ends[name] for name in one.outputs if name in ends), one.key))
        for one in graph.operations
        if one.skipped != SHAPES
    ]
    return [
        Match(key, one.key, "name", before_bias=False, agreement=0.0)
        for one, key in pairs
        if key in known and known[key].shape == one.shape
    ]


def misfits(graph: LayerGraph, file: LayerGraph, matches: list[Match]) -> dict[str, tuple[int, int]]:
    """Return the shapes of unmatched operations that bear a node's name: another stride, window or padding."""
    layers = {one.key.replace("/", "."): one.key for one in graph.compute}
    taken, used = {one.node for one in matches}, {one.operation for one in matches}
    order = {one.key: place for place, one in enumerate(graph.operations)}
    found: dict[str, tuple[int, int]] = {}
    for one in file.compute:
        stems = [part.rsplit("_", 1)[0] for name in one.names for part in name.split("/")]
        named = max((layers[stem] for stem in stems if stem in layers), key=order.__getitem__, default=None)
        if named is not None and one.key not in used and named not in taken and graph.by_key[named].shape != one.shape:
            found[named] = one.shape
    return found


def covered_nodes(matches: list[Match], nodes: LayerGraph, file: LayerGraph) -> set[str]:
    """Return the computing nodes that a matched operation ends in, or that were fused into it.

    Fused are those between the nodes that its inputs end in and its own. Where an input is not
    matched, or the way back does not end at them, only the node itself counts.
    """
    node_of, inputs, node_inputs = {one.operation: one.node for one in matches}, file.inputs(), nodes.inputs()
    found: set[str] = set()
    for match in matches:
        found.add(match.node)
        before = [key if key == INPUT else node_of.get(key) for key in inputs[match.operation]]
        if None not in before and match.node not in before:
            found |= _between(match.node, {name for name in before if name is not None}, node_inputs)
    return found


def _between(end: str, stops: set[str], inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    found, waiting = {end}, list(inputs[end])
    while waiting:
        name = waiting.pop()
        if name in stops or name in found:
            continue
        if name == INPUT:  # past the nodes that it should start from: the way back is another one
            return {end}
        found.add(name)
        waiting += inputs[name]
    return found


class _Matcher:
    """The matches found so far, in the file's order."""

    def __init__(self, nodes: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> None:
        self.found: dict[str, Match] = {}
        self._nodes, self._reference, self._tensors = nodes.compute, reference, tensors
        self._computing = {one.key for one in nodes.compute}
        self._order = {one.key: place for place, one in enumerate(nodes.operations)}
        self._node_inputs, self._inputs = nodes.inputs(), file.inputs()
        self._layers = {one.key.replace("/", "."): one.key for one in nodes.compute}  # as Keras names its layers
        self._moving = {one.key.replace("/", ".") for one in nodes.operations} - set(self._layers)
        outputs = nodes.network_outputs()
        self._outputs = {key: outputs[name] for name, key in file.network_outputs().items() if name in outputs}
        self._agreements: dict[tuple[str, str], float] = {}

    def match(self, operation: FileOperation) -> None:
        """Match one operation, or leave it out."""
        how, node = "output", self._outputs.get(operation.key)
        if node is None:
            how, node = "name", self._by_name(operation)
        if node is None and not self._only_moves(operation):
            how, node = "place", self._by_place(operation)
        if node is not None:
            agrees = self._agreement(operation, node)
            self.found[operation.key] = Match(operation.key, node, how, before_bias=False, agreement=agrees)

    def _only_moves(self, operation: FileOperation) -> bool:
        """Whether an operation bears the name of a node that computes nothing: it holds what an earlier one computed.

        After few steps a BatchNorm hardly differs from what it reads but in scale, and no correlation tells them apart.
        """
        parts = [part for name in operation.names for part in name.split("/")]
        return any(part in self._moving or re.sub(r"_\d+$", "", part) in self._moving for part in parts)

    def _agreement(self, operation: FileOperation, node: str) -> float:
        pair = operation.key, node
        if pair not in self._agreements:
            self._agreements[pair] = agreement(self._reference[node], self._tensors[operation.key])
        return self._agreements[pair]

    def _fits(self, operation: FileOperation, node: str) -> bool:
        return self._reference[node].shape == operation.shape

    def _by_name(self, operation: FileOperation) -> str | None:
        """Return the node of the best name whose shape fits; a name that the film confirms goes first.

        A file of our own begins with the very node that the tensor is of, and needs no film for it.
        A file of an earlier export may name what was fused last (a ReLU) otherwise than this graph: then the nodes
        that follow the best name, one reading nothing but the other, are looked at too.
        """
        own = self._layers.get(operation.exact)
        if own is not None and self._fits(operation, own):
            return own
        names = [node for node in dict.fromkeys(self._named(operation)) if self._fits(operation, node)]
        confirmed = next((node for node in names if self._agreement(operation, node) >= CONFIRMED), None)
        if confirmed is not None or not names:
            return confirmed
        distances = {node: self._distance(operation, node) for node in (names[0], *self._followers(names[0]))}
        nearest = min(distances, key=distances.__getitem__)
        return nearest if distances[nearest] < min(distances[names[0]] / 4, UNCONFIRMED) else names[0]

    def _distance(self, operation: FileOperation, node: str) -> float:
        """Return 1 less the correlation, after an equalization's scales are taken off."""
        reference, tensor = self._reference[node].astype(np.float64), self._tensors[operation.key].astype(np.float64)
        return 1 - agreement(reference, tensor * best_scale((tensor * reference).sum(0), (tensor * tensor).sum(0)))

    def _followers(self, node: str) -> Iterator[str]:
        while True:
            readers = [key for key, inputs in self._node_inputs.items() if node in inputs and key in self._computing]
            if len(readers) != 1 or set(self._node_inputs[readers[0]]) != {node}:
                return
            if self._reference[node].shape != self._reference[readers[0]].shape:
                return
            node = readers[0]
            yield node

    def _named(self, operation: FileOperation) -> Iterator[str]:
        """Yield nodes by how well the name fits: a call's number taken off, as it is, then any call of that layer."""
        segments = [segment for name in operation.names for segment in name.split("/")]
        stems = [re.sub(r"_\d+$", "", segment) for segment in segments]
        families = {re.sub(r"(_\d+)+$", "", segment) for segment in segments}
        calls = [layer for layer in self._layers if re.sub(r"(_\d+)+$", "", layer) in families]
        for layers in (stems, segments, calls):
            nodes = [self._layers[layer] for layer in layers if layer in self._layers]
            yield from sorted(nodes, key=self._order.__getitem__, reverse=True)  # it ends in the last of them

    def _by_place(self, operation: FileOperation) -> str | None:
        """Return the one node with the same inputs and op, else the one of its shape that agrees best.

        Without a name, and without that proof of its place, only a correlation above CONFIRMED will do.
        """
        taken = {one.node for one in self.found.values()}
        free = [node for node in self._nodes if node.key not in taken and self._fits(operation, node.key)]
        reads = {self.found[key].node if key in self.found else key for key in self._inputs[operation.key]}
        near = [node for node in free if set(self._node_inputs[node.key]) == reads]
        same = [node for node in near if node.op.casefold() == operation.op.replace("_", "").casefold()]
        if len(same) == 1:
            return same[0].key
        for candidates in (near, free):
            agreements = {node.key: self._agreement(operation, node.key) for node in candidates}
            best = max(agreements, key=agreements.__getitem__, default=None)
            if best is not None and agreements[best] >= CONFIRMED:
                return best
        return None


def _inside_nodes(matches: list[Match], file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:
    """Match an operation that feeds another of the same node to the place before that node's bias.

    Without a reference for that place it is left out: no tensor of the ONNX graph corresponds to it.
    """
    inputs, node_of = file.inputs(), {one.operation: one.node for one in matches}
    inside = {key for one in matches for key in inputs[one.operation] if node_of.get(key) == one.node}
    kept = []
    for match in matches:
        place = f"{match.node}{BEFORE_BIAS}"
        if match.operation not in inside:
            kept.append(match)
        elif place in reference:
            found = agreement(reference[place], tensors[match.operation])
            kept.append(replace(match, before_bias=True, agreement=found))
    return kept
