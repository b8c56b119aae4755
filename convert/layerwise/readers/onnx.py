"""ONNX Runtime with every tensor in between as an output: what each node gives, film by film.

Optimisation is off, so that the nodes are those of the file. One film at a time bounds the
memory: all tensors of one film through ResNet50 are some 130 MB.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_graph import Graph, Node, read_graph
from convert.layerwise.graph import BEFORE_BIAS, INPUT, LayerGraph, Match, Operation, as_rows, why_glue
from convert.layerwise.trace_worker import by_own_name, look, measure
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "litert"

LEAST_NAMED = 0.9  # of the nodes; a mutant lacks one or two, a file of another exporter nearly all


def trace(request: dict[str, Any]) -> dict[str, Any]:
    """Write what the nodes give to folder/0.npz, 1.npz and so on: float32 [positions, channels] by node name.

    Args:
        request: artefact; images (.npy, uint8 [N, 224, 224]); folder; nodes (names, null for all of them).
    """
    graph, model_inputs = read_graph(Path(request["artefact"])), np.load(request["images"], allow_pickle=False)
    nodes = [node for node in graph.nodes if request["nodes"] is None or node.name in set(request["nodes"])]
    session = open_traced(onnx.load(request["artefact"]), [node.outputs[0] for node in nodes])
    operations: list[Operation] = []
    for index, model_input in enumerate(model_inputs):
        image = as_model_input(model_input[None]).transpose(0, 3, 1, 2)
        values = session.run([node.outputs[0] for node in nodes], {graph.input: np.ascontiguousarray(image)})
        rows = {node.name: as_rows(value, channels_first=True) for node, value in zip(nodes, values, strict=True)}
        operations = [_describe(graph, n, v, rows[n.name]) for n, v in zip(nodes, values, strict=True)]
        np.savez(Path(request["folder"]) / f"{index}.npz", allow_pickle=False, **rows, **_before_bias(graph, rows))
    return {"operations": [asdict(one) for one in operations]}


def open_traced(model: onnx.ModelProto, tensors: list[str]) -> Any:
    """Open a model, unoptimised, that gives these tensors too; the model is changed in place."""
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _describe(graph: Graph, node: Node, value: NDArray[Any], rows: NDArray[np.float32]) -> Operation:
    makers = {name: other.name for other in graph.nodes for name in other.outputs} | {graph.input: INPUT}
    return Operation(
        key=node.name,
        op=node.op,
        sources=tuple(makers[name] for name in node.inputs if name in makers),
        shape=(rows.shape[0], rows.shape[1]),
        outputs=tuple(name for name in node.outputs if name in graph.outputs),
        glue=why_glue(node.op, value.dtype),
    )


def _before_bias(graph: Graph, rows: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return what BatchNormalization and Gemm give less what they add last: TFLite may add it in an operation apart."""
    offsets = {node.name: _offset(graph, node) for node in graph.nodes if node.name in rows}
    return {f"{name}{BEFORE_BIAS}": rows[name] - offset for name, offset in offsets.items() if offset is not None}


def _offset(graph: Graph, node: Node) -> NDArray[np.float32] | None:
    constants = [graph.constants.get(name) for name in node.inputs[1:]]
    if any(one is None for one in constants):
        return None
    if node.op == "Gemm" and len(constants) == 2:
        return constants[1]
    if node.op == "BatchNormalization":
        scale, shift, mean, variance = (np.asarray(one, np.float64) for one in constants)
        added: NDArray[np.float64] = shift - mean * scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        return added.astype(np.float32)
    return None


class OpenedOnnx:
    """A file of which every node answers."""

    def __init__(self, path: Path) -> None:
        self.read = read_graph(path)
        self._session = open_traced(onnx.load(path), [node.outputs[0] for node in self.read.nodes])
        self._operations: tuple[Operation, ...] = ()

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by node."""
        nodes, image = self.read.nodes, as_model_input(model_input[None]).transpose(0, 3, 1, 2)
        asked = {self.read.input: np.ascontiguousarray(image)}
        values = self._session.run([node.outputs[0] for node in nodes], asked)
        rows = {node.name: as_rows(value, channels_first=True) for node, value in zip(nodes, values, strict=True)}
        self._operations = tuple(_describe(self.read, n, v, rows[n.name]) for n, v in zip(nodes, values, strict=True))
        return rows

    def graph(self) -> LayerGraph:
        """Return the nodes; a film must have run."""
        return LayerGraph(self._operations)


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Judge a file; request: artefact, and what `convert.layerwise.trace_worker.look` reads."""
    opened, reference = OpenedOnnx(Path(request["artefact"])), read_graph(Path(request["reference"]) / "model.onnx")
    named = {node.name for node in opened.read.nodes}
    share = sum(node.name in named for node in reference.nodes) / len(reference.nodes)
    note = "" if share > LEAST_NAMED else f"only {share:.0%} of its nodes have the names of today's export"
    changes = partial(node_changes, reference, opened.read)
    return look(request, opened, match=by_own_name, changes=changes) | {"note": note}


# --- trace nodes ---
# How a node of one ONNX graph is written otherwise than its namesake in another: op, inputs, attributes, constants.


def node_changes(reference: Graph, graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Say what differs at each of some nodes.

    Args:
        reference: the graph exported anew.
        graph: that of the file.
        names: of nodes of the reference.
    """
    wanted, given = ({node.name: node for node in one.nodes} for one in (reference, graph))
    found = {name: _changes(reference, wanted[name], graph, given.get(name)) for name in names if name in wanted}
    return {name: ", ".join(said) for name, said in found.items() if said}


def _changes(reference: Graph, wanted: Node, graph: Graph, given: Node | None) -> list[str]:
    if given is None:
        return [f"no counterpart ({wanted.op})"]
    said = [f"op {given.op} for {wanted.op}"] if given.op != wanted.op else []
    before, now = _sources(reference, wanted), _sources(graph, given)
    if before != now:
        said.append(f"reads {' and '.join(now)} for {' and '.join(before)}")
    for name in sorted(wanted.attributes.keys() | given.attributes.keys()):
        one, other = wanted.attributes.get(name), given.attributes.get(name)
        if one != other:
            said.append(f"attribute {name} {_short(other)} for {_short(one)}")
    pairs = zip(_constants(reference, wanted), _constants(graph, given), strict=False)
    return said + [text for index, (one, other) in enumerate(pairs) if (text := _constant(index, one, other))]


def _sources(graph: Graph, node: Node) -> list[str]:
    makers = {name: other.name for other in graph.nodes for name in other.outputs} | {graph.input: INPUT}
    return [makers[name] for name in node.inputs if name in makers]


def _constants(graph: Graph, node: Node) -> list[NDArray[Any]]:
    return [graph.constants[name] for name in node.inputs if name in graph.constants]


def _constant(index: int, wanted: NDArray[Any], given: NDArray[Any]) -> str:
    if wanted.shape != given.shape:
        return f"constant {index} of shape {given.shape} for {wanted.shape}"
    differ = int((wanted != given).sum())  # NaN differs from everything
    if not differ:
        return ""
    away = np.abs(given.astype(np.float64) - wanted.astype(np.float64)).max()
    return f"constant {index} with {differ} of {wanted.size} values changed, by up to {away:.3g}"


def _short(value: object) -> str:
    return "none" if value is None else str(value)


# --- noise ---
# How far rounding alone moves each node: ONNX Runtime again, every weight moved by its last bit, up or down.
#
# A deep network amplifies what its first layers round, a random one more than a trained one. Where a float32 run
# that differs in the last bits stands far from another, no file can stand nearer, and none is called bad for it.


class Shaken:
    """The reference with other last bits: answers the films in turn, once a shake."""

    def __init__(self, path: Path, graph: LayerGraph, films: int, seed: int) -> None:
        self._path, self._films, self._seed, self._asked = path, films, seed, 0
        self._nodes = [(node.name, node.output[0]) for node in onnx.load(path).graph.node]
        self._nodes = [(name, tensor) for name, tensor in self._nodes if name in graph.by_key]
        self._session: Any = None

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by node."""
        if self._asked % self._films == 0:
            model = shake(onnx.load(self._path), np.random.default_rng([self._seed, self._asked]))
            self._session = open_traced(model, [tensor for _, tensor in self._nodes])
        self._asked += 1
        image = np.ascontiguousarray(as_model_input(model_input[None]).transpose(0, 3, 1, 2))
        asked = {self._session.get_inputs()[0].name: image}
        values = self._session.run([tensor for _, tensor in self._nodes], asked)
        pairs = zip(self._nodes, values, strict=True)
        return {name: as_rows(value, channels_first=True) for (name, _), value in pairs}

    def graph(self) -> LayerGraph:
        """Nobody asks: its nodes are the reference's."""
        raise NotImplementedError


def shake(model: onnx.ModelProto, generator: np.random.Generator) -> onnx.ModelProto:
    """Move every float32 weight that is not zero to its neighbour above or below; the model is changed in place."""
    for held in model.graph.initializer:
        if held.data_type == onnx.TensorProto.FLOAT:
            weights = numpy_helper.to_array(held)
            towards = np.where(generator.random(weights.shape) < 0.5, np.float32(-math.inf), np.float32(math.inf))
            moved = np.where(weights == 0, weights, np.nextafter(weights, towards)).astype(np.float32)
            held.CopyFrom(numpy_helper.from_array(moved, held.name))
    return model


def listen(request: dict[str, Any]) -> dict[str, Any]:
    """Return the noise of each node, in dB as a file's levels are, less what few numbers may be lucky by.

    Nodes that last bits do not move are left out.

    Args:
        request: reference (folder with model.onnx, films.npy, graph.json, 0.npz and so on), shakes.
    """
    folder = Path(request["reference"])
    graph = LayerGraph.from_json(json.loads((folder / "graph.json").read_text()))
    model_inputs = np.load(folder / "films.npy", allow_pickle=False)
    matches = [Match(one.key, one.key, "name", before_bias=False, agreement=1.0) for one in graph.operations]
    shaken, shakes = Shaken(folder / "model.onnx", graph, len(model_inputs), seed=0), request["shakes"]
    with ExitStack() as stack:
        wanted = [
            stack.enter_context(np.load(folder / f"{i}.npz", allow_pickle=False)) for i in range(len(model_inputs))
        ]
        films = np.concatenate([model_inputs] * shakes)
        levels = measure(graph, matches, shaken, films, wanted * shakes, "float32")
    values = {one.key: len(model_inputs) * one.shape[0] * one.shape[1] for one in graph.operations}
    moved = {key: one.db - luck_db(values[key], shakes) for key, one in levels.items() if math.isfinite(one.db)}
    return {"noise": moved}


def luck_db(values: int, shakes: int) -> float:
    """Return how many dB the power of noise in so many numbers may stand above that in `shakes` times as many.

    The 99 % quantile of F: 10 dB for the one margin of three films heard twice, nothing for a feature map.
    """
    from scipy.stats import f

    return 10 * math.log10(f.ppf(0.99, values, shakes * values))
