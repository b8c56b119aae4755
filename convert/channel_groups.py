"""Which channels of a graph may be rescaled without changing what it computes, found from the graph alone.

ReLU, max pooling, zero padding and sums pass a positive factor on, channel by channel. So all
tensors that such nodes connect share one factor a channel: whoever writes into them divides by
it, whoever reads multiplies (Nagel 2019, arXiv 1906.04721, for pairs of layers; here for whole
residual streams).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from convert.onnx_graph import Graph, Node, zeros_only

PASSES_ON = ("Relu", "MaxPool", "AveragePool", "Identity")  # f(x / s) = f(x) / s for s > 0, channel by channel


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Tensors that share one factor a channel, and the layers around them."""

    tensors: tuple[str, ...]
    writers: tuple[Node, ...]  # BatchNormalization, or Conv with no BatchNormalization behind it
    readers: tuple[Node, ...]  # Conv
    measured: tuple[str, ...]  # those tensors that a quantiser stores: what no ReLU is fused behind


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
