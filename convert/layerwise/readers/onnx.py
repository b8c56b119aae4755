"""ONNX Runtime with every intermediate tensor as an output: the reference's nodes, their rounding noise, a file's.

Optimisation is off, so that the nodes are those of the file. One film at a time bounds the memory: all tensors of
one film through ResNet50 are some 130 MB.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_graph import Graph, Node, load_onnx, read_graph
from convert.layerwise.compare import NodeReference, levels_of, sum_films
from convert.layerwise.compare import compare as compare_file
from convert.layerwise.graph import (
    BEFORE_BIAS,
    INPUT,
    FileOperation,
    LayerGraph,
    Match,
    Tensors,
    as_rows,
    match_by_node_name,
    why_skipped,
)
from convert.layerwise.noise import Sums, add_sums
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "litert"
LEAST_NAMED = 0.9  # of the nodes; a faulty file lacks one or two, a file of another exporter nearly all
DRAWS = 2  # of rounding, each on all films: the noise power of a node with few values, twice


class OnnxReader:
    """A file that returns the tensor of every node, or of some nodes."""

    def __init__(self, path: Path, nodes: Iterable[str] | None = None) -> None:
        self.file = read_graph(path)
        wanted = None if nodes is None else set(nodes)
        self._nodes = [node for node in self.file.nodes if wanted is None or node.name in wanted]
        self._model = load_onnx(path)
        known = {value.name for value in self._model.graph.output}
        tensors = [node.outputs[0] for node in self._nodes if node.outputs[0] not in known]
        self._model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
        self._operations: tuple[FileOperation, ...] = ()
        self._session: Any = None

    def _open(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        model = self._model.SerializeToString()
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by node."""
        self._session = self._session or self._open()
        image = np.ascontiguousarray(as_model_input(model_input[None]).transpose(0, 3, 1, 2))
        values = self._session.run([node.outputs[0] for node in self._nodes], {self.file.input: image})
        pairs = list(zip(self._nodes, values, strict=True))
        rows = {node.name: as_rows(value, channels_first=True) for node, value in pairs}
        self._operations = tuple(self._describe(node, value.dtype, rows[node.name]) for node, value in pairs)
        return rows

    def graph(self) -> LayerGraph:
        """Return the nodes; a film must have run."""
        return LayerGraph(self._operations)

    def _describe(self, node: Node, dtype: np.dtype[Any], rows: NDArray[np.float32]) -> FileOperation:
        return FileOperation(
            key=node.name,
            op=node.op,
            sources=_sources(self.file, node),
            shape=(rows.shape[0], rows.shape[1]),
            outputs=tuple(name for name in node.outputs if name in self.file.outputs),
            skipped=why_skipped(node.op, dtype),
        )

    def perturb(self, generator: np.random.Generator) -> None:
        """Move every float32 weight that is not zero to its neighbour above or below."""
        for tensor in self._model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                weights = numpy_helper.to_array(tensor)
                towards = np.where(generator.random(weights.shape) < 0.5, np.float32(-math.inf), np.float32(math.inf))
                moved = np.where(weights == 0, weights, np.nextafter(weights, towards)).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
        self._session = None


def write_reference(request: dict[str, Any]) -> dict[str, Any]:
    """Write a NodeReference from folder/films.npy: 0.npz and so on, and graph.json.

    Args:
        request: artefact; folder; nodes (names, null for all of them).
    """
    reference = NodeReference(Path(request["folder"]))
    reader = OnnxReader(Path(request["artefact"]), request["nodes"])
    for index, model_input in enumerate(reference.model_inputs):
        rows = reader.run(model_input)
        np.savez(reference.folder / f"{index}.npz", allow_pickle=False, **rows, **_before_bias(reader.file, rows))
    (reference.folder / "graph.json").write_text(json.dumps(reader.graph().to_json()))
    return {}


def _before_bias(graph: Graph, rows: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return BatchNormalization and Gemm less the constant that they add last: TFLite may add that one later."""
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


# --- rounding noise ---
# How far rounding alone moves each node: the reference again, every weight moved by its last bit, up or down.
# A deep network amplifies what its first layers round, a random one more than a trained one. Where a float32 run
# that differs in the last bits is far from another, no file can be nearer, and none is called bad for it.


def write_rounding_noise(request: dict[str, Any]) -> dict[str, Any]:
    """Write noise.json: how far rounding moves each node, in dB as a file's levels are; nodes that stay are left out.

    Args:
        request: folder of a NodeReference, with model.onnx.
    """
    reference = NodeReference(Path(request["folder"]))
    graph, films = reference.graph, len(reference.model_inputs)
    matches = [Match(one.key, one.key, "name", before_bias=False, agreement=1.0) for one in graph.operations]
    sums: dict[str, Sums] = {}
    for draw in range(DRAWS):
        reader = OnnxReader(reference.folder / "model.onnx", graph.by_key)
        reader.perturb(np.random.default_rng([0, draw * films]))
        sums = add_sums(sums, sum_films(graph, matches, reader, reference.films(), same_patterns=True))
    values = {one.key: films * one.shape[0] * one.shape[1] for one in graph.operations}
    levels = levels_of(matches, sums, "float32")
    noise = {key: one.db - sampling_margin_db(values[key]) for key, one in levels.items() if math.isfinite(one.db)}
    (reference.folder / "noise.json").write_text(json.dumps(noise))
    return {}


def sampling_margin_db(values: int) -> float:
    """Return how many dB the noise power of so many values may exceed the power in `DRAWS` times as many.

    The 99 % quantile of F: 10 dB for the one margin of three films drawn twice, nothing for a feature map.
    """
    from scipy.stats import f

    return 10 * math.log10(f.ppf(0.99, values, DRAWS * values))


# --- definitions ---
# How a node of one ONNX graph is defined differently from its namesake in another: op, inputs, attributes, constants.


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Compare a file; request: artefact, and what `convert.layerwise.compare.compare` reads."""
    reader = OnnxReader(Path(request["artefact"]))
    reference = read_graph(Path(request["reference"]) / "model.onnx")
    named = {node.name for node in reader.file.nodes}
    share = sum(node.name in named for node in reference.nodes) / len(reference.nodes)
    note = "" if share > LEAST_NAMED else f"only {share:.0%} of its nodes have the names of today's export"

    def match(graph: LayerGraph, file: LayerGraph, *_: Tensors) -> list[Match]:
        return match_by_node_name(graph, file)

    def changes(names: Iterable[str]) -> dict[str, str]:
        return node_changes(reference, reader.file, names)

    return compare_file(request, reader, match=match, changes=changes) | {"note": note}


def node_changes(reference: Graph, graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Return the differences at each of some nodes, where there are any.

    Args:
        reference: the graph of the fresh export.
        graph: that of the file.
        names: of nodes of the reference.
    """
    wanted, given = ({node.name: node for node in one.nodes} for one in (reference, graph))
    found = {name: _changes(reference, wanted[name], graph, given.get(name)) for name in names if name in wanted}
    return {name: ", ".join(changes) for name, changes in found.items() if changes}


def _changes(reference: Graph, wanted: Node, graph: Graph, given: Node | None) -> list[str]:
    if given is None:
        return [f"no counterpart ({wanted.op})"]
    changes = [f"op {given.op} for {wanted.op}"] if given.op != wanted.op else []
    before, now = _sources(reference, wanted), _sources(graph, given)
    if before != now:
        changes.append(f"reads {' and '.join(now)} for {' and '.join(before)}")
    for name in sorted(wanted.attributes.keys() | given.attributes.keys()):
        one, other = (
            "none" if node.attributes.get(name) is None else node.attributes[name] for node in (wanted, given)
        )
        if one != other:
            changes.append(f"attribute {name} {other} for {one}")
    pairs = zip(_constants(reference, wanted), _constants(graph, given), strict=False)
    return changes + [text for index, (one, other) in enumerate(pairs) if (text := _constant(index, one, other))]


def _sources(graph: Graph, node: Node) -> tuple[str, ...]:
    makers = {name: other.name for other in graph.nodes for name in other.outputs} | {graph.input: INPUT}
    return tuple(makers[name] for name in node.inputs if name in makers)


def _constants(graph: Graph, node: Node) -> list[NDArray[Any]]:
    return [graph.constants[name] for name in node.inputs if name in graph.constants]


def _constant(index: int, wanted: NDArray[Any], given: NDArray[Any]) -> str:
    if wanted.shape != given.shape:
        return f"constant {index} of shape {given.shape} for {wanted.shape}"
    differ = int((wanted != given).sum())  # NaN differs from everything
    if not differ:
        return ""
    largest = np.abs(given.astype(np.float64) - wanted.astype(np.float64)).max()
    return f"constant {index} with {differ} of {wanted.size} values changed, by up to {largest:.3g}"
