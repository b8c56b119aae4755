"""ONNX -> ONNX of the same function whose channels have more equal ranges, for the quantizer alone.

FRAMEWORK = "litert"

One int8 scale has to hold all channels of a tensor: a channel that never passes 1 beside one that
reaches 20 has twelve steps left. The factors balance what channels reach on the calibration films
against the weights that read them (Xiao 2022, arXiv 2211.10438, eq. 4), over whole residual
streams (convert.quantization.equalization).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_graph import Graph, Node, load_plain, read_graph, zeros_only
from convert.parity.inputs import evenly
from convert.worker import reuse_memory
from tbconv.contract.errors import ConversionError
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import read_films

# --- channel groups ---
# Which channels of a graph may be rescaled without changing what it computes, found from the graph alone.
#
# ReLU, max pooling, zero padding and sums pass a positive factor on, channel by channel. So all
# tensors that such nodes connect share one factor a channel: whoever writes into them divides by
# it, whoever reads multiplies (Nagel 2019, arXiv 1906.04721, for pairs of layers; here for whole
# residual streams).

PASSES_ON = ("Relu", "MaxPool", "AveragePool", "Identity")  # f(x / s) = f(x) / s for s > 0, channel by channel


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Tensors that share one factor a channel, and the layers around them."""

    tensors: tuple[str, ...]
    writers: tuple[Node, ...]  # BatchNormalization, or Conv with no BatchNormalization behind it
    readers: tuple[Node, ...]  # Conv
    measured: tuple[str, ...]  # those tensors that a quantizer stores: what no ReLU is fused behind


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """Return every group that can be rescaled, in the order of the graph.

    A group with any other reader or writer, with a graph output in it, that a convolution in channel
    groups reads, or around which weights are shared is left out whole.
    """
    roots = _join(graph)
    written = {node.outputs[0]: node for node in graph.nodes}
    read = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            read[name].append(node)
    members = defaultdict(list)
    for name in [graph.input, *written]:
        members[roots(name)].append(name)
    found = [_group(tuple(names), graph, written, read) for names in members.values()]
    return [group for group in found if group is not None]


class _Roots:
    """Union of names: two joined names have one root."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name

    def join(self, one: str, other: str) -> None:
        self._parent[self(one)] = self(other)


def _join(graph: Graph) -> _Roots:
    roots = _Roots()
    for node in graph.nodes:
        if _passes_on(node, graph):
            for name in node.inputs:
                if name and name not in graph.constants:
                    roots.join(name, node.outputs[0])
    return roots


def _passes_on(node: Node, graph: Graph) -> bool:
    if node.op == "Pad":
        fill = node.inputs[2] if len(node.inputs) > 2 else ""
        return not fill or (fill in graph.constants and zeros_only(graph.constants[fill]))
    if node.op == "Add":
        return not any(name in graph.constants for name in node.inputs)
    return node.op in PASSES_ON


def _group(
    tensors: tuple[str, ...], graph: Graph, written: dict[str, Node], read: dict[str, list[Node]]
) -> ChannelGroup | None:
    inside = set(tensors)
    if graph.input in inside or inside & set(graph.outputs):
        return None
    makers = [written[name] for name in tensors]
    writers = [node for node in makers if not _passes_on(node, graph)]
    readers = {node.outputs[0]: node for name in tensors for node in read[name] if not _passes_on(node, graph)}
    if not writers or not readers or not all(_may_read(node, inside, graph, read) for node in readers.values()):
        return None
    if not all(_may_write(node, graph, read) for node in writers):
        return None
    if len(_channels(writers, readers.values(), graph)) > 1:
        return None
    measured = tuple(name for name in tensors if not _fused_away(name, read))
    return ChannelGroup(tensors, tuple(writers), tuple(readers.values()), measured)


def _may_read(node: Node, inside: set[str], graph: Graph, read: dict[str, list[Node]]) -> bool:
    whole = node.op == "Conv" and node.attributes.get("group", 1) == 1
    return whole and node.inputs[0] in inside and _owned(node.inputs[1:2], graph, read)


def _may_write(node: Node, graph: Graph, read: dict[str, list[Node]]) -> bool:
    return node.op in ("BatchNormalization", "Conv") and _owned(node.inputs[1:], graph, read)


def _owned(names: tuple[str, ...], graph: Graph, read: dict[str, list[Node]]) -> bool:
    """Whether weights are stored and read once: shared ones would scale elsewhere, too."""
    return all(name in graph.constants and len(read[name]) == 1 for name in names if name)


def _channels(writers: list[Node], readers: Iterable[Node], graph: Graph) -> set[int]:
    """Return the numbers of channels around a group: several where a Pad or a broadcast sum changes them."""
    into = {graph.constants[node.inputs[1]].shape[1] for node in readers}
    return into | {len(graph.constants[node.inputs[1]]) for node in writers}


def _fused_away(name: str, read: dict[str, list[Node]]) -> bool:
    """Whether a tensor exists only inside one fused operation: a ReLU is its only reader."""
    return len(read[name]) == 1 and read[name][0].op in ("Relu", "Identity")


# --- equalize ---

BALANCE = 0.5  # how much of the unevenness moves into the weights; measured in docs/log.md
LARGEST_FACTOR = 100.0  # a channel that is dead on the calibration films is not blown up
FILMS = 32  # calibration films whose largest values count, at most
BATCH = 2  # every tensor of a batch is kept: 45 MB a film


def equalize(request: dict[str, Any]) -> dict[str, Any]:
    """Write the equalized graph, with the BatchNorms of dense layers folded.

    Args:
        request: onnx, films (path of calibration films), out; balance (0 to 1) may be given.

    Returns:
        converter, and how many groups and channels were rescaled.

    Raises:
        ConversionError: there are no calibration films.
    """
    source = Path(request["onnx"])
    graph = read_graph(source)
    groups = channel_groups(graph)
    model_inputs = evenly(read_films(Path(request["films"])).model_inputs, FILMS)
    if not len(model_inputs):
        raise ConversionError(
            "there are no calibration films",
            why="what each channel reaches is measured on them",
            fix="train again: tbconv train --data DIR --out RUN",
        )
    reached = measure_channels(source, [name for group in groups for name in group.measured], model_inputs)
    constants = dict(graph.constants)
    for group in groups:
        rescale(constants, group, factors(graph, group, reached, request.get("balance", BALANCE)))
    _write(source, constants, Path(request["out"]))
    channels = sum(len(reached[group.measured[0]]) for group in groups)
    return {"converter": f"tbconv's equalization, onnx {onnx.__version__}", "groups": len(groups), "channels": channels}


def factors(graph: Graph, group: ChannelGroup, reached: dict[str, NDArray[np.float32]], balance: float) -> Any:
    """Return the factor of each channel, float32 [C]: what its tensors are divided by.

    Args:
        graph: its constants are the weights.
        group: of the graph.
        reached: by tensor, the largest |value| of each channel, [C].
        balance: 0 makes the weights even, 1 the activations.
    """
    activation = np.max([reached[name] for name in group.measured], axis=0).astype(np.float64)
    weight = np.max([np.abs(graph.constants[node.inputs[1]]).max((0, 2, 3)) for node in group.readers], axis=0)
    live = (activation > 0) & (weight > 0)
    factor = np.ones_like(activation)
    factor[live] = activation[live] ** balance / weight[live] ** (1 - balance)
    middle = np.exp(np.log(factor[live]).mean()) if live.any() else 1.0
    factor[live] /= middle
    return np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)


def rescale(constants: dict[str, NDArray[Any]], group: ChannelGroup, factor: NDArray[np.float32]) -> None:
    """Divide what is written into the group by the factor and multiply what reads it: the function stays."""
    for node in group.writers:
        names = node.inputs[1:3]  # weight and bias of Conv, scale and bias of BatchNormalization
        for name in (name for name in names if name):
            shape = (-1,) + (1,) * (constants[name].ndim - 1)
            constants[name] = constants[name] / factor.reshape(shape)
    for node in group.readers:
        constants[node.inputs[1]] = constants[node.inputs[1]] * factor.reshape(1, -1, 1, 1)


def measure_channels(source: Path, names: list[str], model_inputs: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return by tensor the largest |value| that each channel reaches on the films, float32 [C]."""
    largest: dict[str, NDArray[np.float32]] = {}
    if not names:  # ONNX Runtime takes no graph without outputs
        return largest
    session = _session_with(source, names)
    with reuse_memory():
        for start in range(0, len(model_inputs), BATCH):
            films = as_model_input(model_inputs[start : start + BATCH]).transpose(0, 3, 1, 2)
            for name, value in zip(names, session.run(names, {"image": np.ascontiguousarray(films)}), strict=True):
                found = np.maximum(value.max((0, 2, 3)), -value.min((0, 2, 3)))
                largest[name] = np.maximum(largest.get(name, found), found)
    return largest


def _session_with(source: Path, names: list[str]) -> onnxruntime.InferenceSession:
    model = load_plain(source)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # what it holds back for the next batch is memory that others want
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _write(source: Path, constants: dict[str, NDArray[Any]], place: Path) -> None:
    model = load_plain(source)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    stored |= {node.output[0]: node.attribute[0].t for node in model.graph.node if _is_tensor(node)}
    for name, tensor in stored.items():
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(constants[name]), tensor.name))
    fold_dense(model)
    onnx.save(model, str(place))


def _is_tensor(node: onnx.NodeProto) -> bool:
    """Whether a node stores a tensor; what is written as plain attributes are axes and sizes, which stay."""
    return bool(node.op_type == "Constant" and node.attribute[0].name == "value")


# --- fold dense ---
# Fold a BatchNorm into the dense layer that reads it, for the reduced files: the head's weights are then stored once.
#
# TensorFlow's converter folds it where a film's one vector passes and not where its 49 places do, and
# stores the same dense layer twice, folded and not.

EPSILON = 1e-5  # ONNX's own default


def fold_dense(model: onnx.ModelProto) -> int:
    """Fold, in place, every BatchNormalization whose readers are all Gemm nodes with the same stored weights.

    Two BatchNorms in front of the same weights (a film's vector and its places) have to be the same.

    Returns:
        The number of BatchNormalization nodes taken out.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [pair for node in model.graph.node if (pair := _pair(model, node)) is not None]
    changed: set[str] = set()
    for gemm, norm in pairs:
        if gemm.input[1] not in changed:  # a film's vector and its places share the layer: folded once
            _fold(constants, gemm, norm)
            changed |= set(gemm.input[1:])
    for gemm, norm in pairs:
        gemm.input[0] = norm.input[0]
        model.graph.node.remove(norm)
    _store(model, constants, changed)
    return len(pairs)


def _pair(model: onnx.ModelProto, norm: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """Return the Gemm that a BatchNormalization can go into, and the BatchNormalization."""
    gemm = _only_reader(model, norm)
    if norm.op_type != "BatchNormalization" or gemm is None or not _plain(gemm):
        return None
    stored = {tensor.name for tensor in model.graph.initializer}
    whole = stored.issuperset((*norm.input[1:], *gemm.input[1:]))
    return (gemm, norm) if whole and _mates_agree(model, gemm, norm) else None


def _only_reader(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    name = node.output[0]
    readers = [one for one in model.graph.node if name in one.input]
    asked_for = name in {value.name for value in model.graph.output}
    return readers[0] if len(readers) == 1 and not asked_for else None


def _plain(node: onnx.NodeProto) -> bool:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    whole = len(node.input) == 3 and not scaled and not attributes.get("transA", 0)
    return bool(node.op_type == "Gemm" and whole)


def _mates_agree(model: onnx.ModelProto, gemm: onnx.NodeProto, norm: onnx.NodeProto) -> bool:
    """Whether every node that reads these weights is the same layer, with a BatchNormalization of its own."""
    made = {node.output[0]: node for node in model.graph.node}
    mates = [node for node in model.graph.node if set(gemm.input[1:]) & set(node.input)]
    before = [made.get(mate.input[0]) for mate in mates]
    return all(_twins(mate, gemm) for mate in mates) and all(
        one is not None and _twins(one, norm) and _only_reader(model, one) is not None for one in before
    )


def _twins(one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    """Whether two nodes compute the same of their first input."""
    alike = one.op_type == other.op_type and list(one.attribute) == list(other.attribute)
    return bool(alike and one.input[1:] == other.input[1:])


def _fold(constants: dict[str, NDArray[Any]], gemm: onnx.NodeProto, norm: onnx.NodeProto) -> None:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in (*norm.attribute, *gemm.attribute)}
    scale, offset, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:5])
    factor = scale / np.sqrt(variance + attributes.get("epsilon", EPSILON))
    shift = offset - mean * factor
    weight, bias = (constants[name].astype(np.float64) for name in gemm.input[1:3])
    across = attributes.get("transB", 0)  # [out, in]
    constants[gemm.input[1]] = (weight * (factor if across else factor[:, None])).astype(np.float32)
    constants[gemm.input[2]] = (bias + (weight @ shift if across else shift @ weight)).astype(np.float32)


def _store(model: onnx.ModelProto, constants: dict[str, NDArray[Any]], changed: set[str]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(constants[tensor.name]), tensor.name))
