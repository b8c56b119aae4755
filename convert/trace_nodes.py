"""How a node of one ONNX graph is written otherwise than its namesake in another: op, inputs, attributes, constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layer_graph import INPUT
from convert.onnx_graph import Graph, Node


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
