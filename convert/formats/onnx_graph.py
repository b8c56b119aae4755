"""An ONNX graph as plain Python, nodes with attributes and constants as arrays: whoever walks a graph reads it here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from tbconv.contract.errors import ArtefactError, ConversionError, printable

SMALL = 1024  # numbers of a constant that shape inference may need to see: targets of Reshape, axes, pads


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed."""

    input: str
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    input_shape: tuple[int, ...] = ()  # of the input, ONNX's order; 0 where a size is not fixed
    opset: int = 18
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of tensors, as far as they are inferred


def read_graph(path: Path) -> Graph:
    """Read a graph of one input; functions become the nodes that they stand for, the rest is as of `graph_of`."""
    return graph_of(load_plain(path), path.name)


def graph_of(model: onnx.ModelProto, file: str = "the model") -> Graph:
    """Return a graph of one input without functions; `Constant` nodes become constants.

    Nodes without a name are named after their operation and place, and a name that stands twice gets a number.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: dict[str, Node] = {}
    for index, proto in enumerate(model.graph.node):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        if proto.op_type == "Constant":
            constants[proto.output[0]] = _stored(attributes)
        else:
            name = _unique(proto.name or f"{proto.op_type}_{index}", nodes)
            nodes[plain_name(name)] = Node(name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes)
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"a graph of one input is needed, {file} has {[value.name for value in inputs]}")
    return Graph(
        inputs[0].name,
        tuple(value.name for value in model.graph.output),
        tuple(nodes.values()),
        constants,
        _sizes(inputs[0]),
        next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1),
        infer_shapes(model),
    )


def load_onnx(path: Path, *, third_party: bool = False) -> onnx.ModelProto:
    """Load a file that is whole in itself, as our exporter writes it.

    Args:
        path: the file.
        third_party: it is no bundle's, but one to convert: its weights may lie beside it, and are not loaded; which of
            its operations can be converted is judged later, and ONNX Runtime brings those of no other maker.

    Raises:
        ArtefactError: it reads its numbers from other files, or has operations of others' domains or loops, which
            ONNX does not bound.
        ConversionError: it is no ONNX file.
    """
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ConversionError(f"{path.name} is no ONNX file", why=printable(error), fix="export it again") from error
    outside = sorted(
        one.name
        for one in tensors_of(model)
        if is_external(one) and not (third_party and all(lies_beside(path.parent, at) for at in locations(one)))
    )
    if outside:
        why = f"{len(outside)} tensors such as {outside[0]} lie in other files"
        raise _refused(path, why, third_party=third_party)
    if third_party:
        return model
    own = {(one.domain, one.name) for one in model.functions}
    odd = sorted(
        f"{node.domain}::{node.op_type}"
        for node in nodes_of(model)
        if (node.domain not in STANDARD and (node.domain, node.op_type) not in own) or node.op_type in UNBOUNDED
    )
    if odd:
        why = f"it has the operation {odd[0]}, which no exporter of ours writes"
        raise _refused(path, why, third_party=False)
    return model


CONVERT_AGAIN = "convert the run on this machine: tbconv convert RUN --out BUNDLE"
STANDARD = ("", "ai.onnx")
UNBOUNDED = ("Loop", "Scan")


def _refused(path: Path, why: str, *, third_party: bool) -> ArtefactError:
    again = "export it with its weights inside, or in files of its own folder" if third_party else CONVERT_AGAIN
    fix = f"{again}; nothing of this file was run"
    return ArtefactError(f"{path.name} is refused before it is opened", why=printable(why), fix=fix)


def lies_beside(folder: Path, name: str) -> bool:
    """Whether a name is that of a file within a folder, reached through no link: any other is a file of the machine."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or not name.isprintable():
        return False
    ways = [folder.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    try:
        return ways[-1].is_file() and not any(way.is_symlink() for way in ways)
    except OSError:  # a name that is too long
        return False


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's numbers lie in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or bool(tensor.external_data)


def locations(tensor: onnx.TensorProto) -> list[str]:
    """Return the files in which a tensor's numbers lie, as it names them."""
    return [entry.value for entry in tensor.external_data if entry.key == "location"] or [""]


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node: of the graph, of the graphs within it, and of functions."""
    yield from nodes_in([*model.graph.node, *(node for one in model.functions for node in one.node)])


def nodes_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, and those of the graphs within them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [inner for one in node.attribute for graph in (one.g, *one.graphs) for inner in graph.node]


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor: of graphs at any depth, and of attributes."""
    nodes = list(nodes_of(model))
    graphs = [model.graph, *(graph for node in nodes for one in node.attribute for graph in (one.g, *one.graphs))]
    for graph in graphs:
        yield from graph.initializer
        yield from (part for one in graph.sparse_initializer for part in (one.values, one.indices))
    for one in (one for node in nodes for one in node.attribute):
        yield from (one.t, *one.tensors)
        yield from (
            part for sparse in (one.sparse_tensor, *one.sparse_tensors) for part in (sparse.values, sparse.indices)
        )


def load_plain(path: Path) -> onnx.ModelProto:
    """Load a file, functions written out: torch's exporter leaves some where it did not optimise."""
    model = load_onnx(path)
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def plain_name(name: str) -> str:
    """Return a node's name in the characters that Keras and TensorFlow allow: without slashes and colons."""
    return re.sub(r"[^A-Za-z0-9_.\-]", ".", name)


def zeros_only(values: NDArray[Any]) -> bool:
    """Whether an array holds nothing but zeros."""
    return not np.any(values)


def _unique(name: str, taken: dict[str, Node]) -> str:
    candidate, number = name, 0
    while plain_name(candidate) in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _stored(attributes: dict[str, Any]) -> NDArray[Any]:
    """Return what a Constant node holds: a tensor, or numbers written as attributes."""
    if "value" in attributes:
        return np.asarray(numpy_helper.to_array(attributes["value"]))
    [(kind, value)] = attributes.items()
    return np.asarray(value, np.float32 if "float" in kind else np.int64)


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(int(size.dim_value) for size in value.type.tensor_type.shape.dim)


def infer_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that onnx infers, on a copy of the graph without its weights."""
    stored = model.graph.initializer
    large = {tensor.name: tensor for tensor in stored if int(np.prod(tensor.dims)) > SMALL}
    inputs = [onnx.helper.make_tensor_value_info(name, one.data_type, list(one.dims)) for name, one in large.items()]
    given = [value for value in model.graph.input if value.name not in large]
    small = [tensor for tensor in stored if tensor.name not in large]
    graph = onnx.helper.make_graph(model.graph.node, "shapes", [*given, *inputs], model.graph.output, small)
    light = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except onnx.shape_inference.InferenceError:  # shapes then only lack in what an error says
        return {}
    return {value.name: _sizes(value) for value in [*inferred.value_info, *inferred.input, *inferred.output]}


# --- static values ---
# What a graph computes from stored numbers and from shapes alone, computed before any layer is made.
#
# Exporters write a bias of zeros as Expand and Cast, and the target of a Reshape as Shape, Gather and Concat.
# The batch stands in such a shape as BATCH, and may be moved, but not calculated with.

BATCH = 2**31 - 1  # stands for the batch; larger than any real size
MOST_FOLDED = 1 << 28  # rows of a film that are folded into the batch, or numbers of a film that a Size counts
MOVES = ("Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze", "Where")
CALCULATES = ("Add", "Div", "Exp", "MatMul", "Mul", "Neg", "Sigmoid", "Softmax", "Sqrt", "Sub", "Tanh")  # of a film
# as a float the batch would pass for a number
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT32, onnx.TensorProto.UINT64)
LARGEST_IR = 10


def shape_of(node: Node, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return what a Shape node gives for sizes, BATCH among them."""
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(sizes))
    return np.array(sizes, np.int64)[start:end]


def is_static(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether all that a node reads is known, and the batch, if it is among it, is only moved."""
    read = [name for name in node.inputs[: 1 if node.op == "CastLike" else None] if name]
    if not read or (len(node.outputs) != 1 and node.op != "Split") or not all(name in constants for name in read):
        return False
    moves = node.op in MOVES and not (node.op == "Cast" and node.attributes["to"] not in INTEGERS)
    counts = _multiplies_batch(node, constants) or _divides_batch(node, constants)
    harmless = node.op == "Shape" or _asks_for_minus(node, constants) or counts
    return moves or harmless or not reads_batch(node, constants)


def _multiplies_batch(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether a node gives a multiple of the batch, as exporters fold heads into it: BATCH times whole numbers."""
    if node.op != "Mul":
        return False
    if any(constants[name].size != 1 or constants[name].dtype != np.int64 for name in node.inputs):
        return False
    least, most = sorted(int(constants[name].reshape(())) for name in node.inputs)
    return least >= 1 and 1 <= batches_in(most) * least <= MOST_FOLDED and not batches_in(least)


def _divides_batch(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether a node takes a multiple of the batch apart, as exporters take windows out of it, and nothing is left."""
    if node.op != "Div" or any(constants[name].size != 1 or constants[name].dtype != np.int64 for name in node.inputs):
        return False
    whole, part = (int(constants[name].reshape(())) for name in node.inputs)
    return batches_in(whole) > 0 and 1 <= part < BATCH and batches_in(whole) % part == 0


def _asks_for_minus(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether a node compares with numbers below zero, as exporters look for sizes of -1: no batch is one."""
    return node.op == "Equal" and any(one.size and (one < 0).all() for one in (constants[name] for name in node.inputs))


def repeated_by_batch(node: Node, constants: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Return what a node repeats for each film, [1, ...], such as a class token; None where it does not."""
    if node.op not in ("Expand", "Tile") or not all(name in constants for name in node.inputs):
        return None
    stored, target = (constants[name] for name in node.inputs)
    if node.op == "Tile":
        alone = stored.ndim == len(target) and stored.shape[0] == 1 and target[0] == BATCH
        return np.tile(stored, [1, *(int(one) for one in target[1:])]) if alone and not _has_batch(target[1:]) else None
    if list(target).count(BATCH) != 1 or target[0] != BATCH or (stored.ndim == len(target) and stored.shape[0] != 1):
        return None
    if stored.ndim > len(target):
        return None
    sizes = (1, *(int(size) for size in target[1:]))
    return np.broadcast_to(stored, np.broadcast_shapes(stored.shape, sizes))


def moved_in_film(
    node: Node, films: Mapping[str, NDArray[Any]], constants: dict[str, NDArray[Any]], opset: int
) -> NDArray[Any] | None:
    """Return one film's stored numbers, [1, ...], once a node has laid them out anew; None where it does more."""
    given = {name: films[name] if name in films else constants.get(name) for name in node.inputs if name}
    if not any(name in films for name in given) or any(one is None for one in given.values()):
        return None
    known = {name: one for name, one in given.items() if one is not None}
    if node.op in CALCULATES:
        return _calculated(node, films, known, opset)
    laid = node.op in ("Cast", "Identity", "Reshape", "Transpose") and node.attributes.get("perm", [0])[0] == 0
    if not laid or node.inputs[0] not in films:
        return None
    if node.op == "Reshape":
        target = np.where(known[node.inputs[1]] == BATCH, 1, known[node.inputs[1]])
        if target[0] not in (0, 1, -1) or _has_batch(target):
            return None
        known[node.inputs[1]] = target
    [made] = evaluate(node, known, opset)
    return made if made.shape[:1] == (1,) else None


def _calculated(
    node: Node, films: Mapping[str, NDArray[Any]], known: dict[str, NDArray[Any]], opset: int
) -> NDArray[Any] | None:
    """Return what a node calculates of one film's stored numbers, [1, ...]; None where films would get mixed."""
    rank = max(array.ndim for name, array in known.items() if name in films)
    axis = node.attributes.get("axis", -1) % rank if node.op == "Softmax" else rank
    if node.op == "Softmax" and opset < 13:  # onnx's own evaluator doesn't flatten what lies behind the axis
        return None
    matrix = node.op == "MatMul" and (rank < 3 or not all(array.ndim in (2, rank) for array in known.values()))
    fits = all(array.ndim == rank if name in films else array.ndim <= rank for name, array in known.items())
    if not fits or matrix or axis == 0 or reads_batch(node, known):
        return None
    [made] = evaluate(node, known, opset)
    return made if made.ndim == rank and made.shape[0] == 1 else None


def _has_batch(sizes: NDArray[Any]) -> bool:
    return any(batches_in(one) for one in sizes)


def reads_batch(node: Node, constants: dict[str, NDArray[Any]]) -> bool:
    """Whether the batch is among what a node reads."""
    known = [constants[name] for name in node.inputs if name in constants]
    return any(array.dtype.kind in "iu" and any(batches_in(one) for one in array.reshape(-1)) for array in known)


def batches_in(size: Any) -> int:
    """Return how many rows of each film a size counts: those that BATCH is multiplied by; 0 where it is none."""
    rows, rest = divmod(int(size), BATCH)
    return rows if not rest and 1 <= rows <= MOST_FOLDED else 0


def evaluate(node: Node, constants: dict[str, NDArray[Any]], opset: int) -> list[NDArray[Any]]:
    """Return what a static node gives, an array an output, by ONNX's own reference."""
    if node.op == "CastLike":  # like a tensor of the film's: all of these are float32
        return [np.asarray(constants[node.inputs[0]], np.float32)]
    read = {name: constants[name] for name in node.inputs if name}
    made = onnx.helper.make_node(node.op, node.inputs, node.outputs, **node.attributes)
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in read.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs]
    graph = onnx.helper.make_graph([made], "static", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=LARGEST_IR)
    return [np.asarray(one) for one in ReferenceEvaluator(model).run(None, read)]
