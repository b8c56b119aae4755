"""Functions that exporters write out as several nodes, put back together: the operations that opset 17 and 20 have."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from convert.formats.onnx_graph import Graph, Node
from convert.formats.ops.walk import IMAGE_RANK

LOWEST = float(np.finfo(np.float32).min)  # some exporters write it for minus infinity


def fuse_gelu(graph: Graph) -> Graph:
    """Return a graph whose x * (1 + erf(x / sqrt(2))) / 2 are Gelu nodes, as opset 20 has them."""
    nodes = {node.outputs[0]: node for node in graph.nodes}
    for erf in [node for node in graph.nodes if node.op == "Erf"]:
        chain = _gelu_of(erf, nodes, graph)
        if chain:
            source, last, inner = chain
            nodes[last.outputs[0]] = Node(last.name, "Gelu", (source,), last.outputs, {})
            _drop_unread(nodes, inner, graph)
    return replace(graph, nodes=tuple(nodes.values()))


def _gelu_of(erf: Node, nodes: dict[str, Node], graph: Graph) -> tuple[str, Node, list[str]] | None:
    """Return what a Gelu reads, its last node, and the tensors in between from the last on; None where it is none."""

    def other(node: Node, name: str) -> str | float:
        """Return the second input of a node: its name, or the number that is stored there."""
        [found] = [one for one in node.inputs if one != name] or [name]
        stored = graph.constants.get(found)
        return found if stored is None or stored.size != 1 else float(stored.reshape(()))

    def is_near(value: str | float, number: float) -> bool:
        return not isinstance(value, str) and math.isclose(value, number, rel_tol=1e-6)

    scaled = nodes.get(erf.inputs[0])
    if scaled is None or scaled.op not in ("Mul", "Div") or len(scaled.inputs) != 2:
        return None
    source = next((one for one in scaled.inputs if one not in graph.constants), "")
    factor = other(scaled, source)
    root = is_near(factor, math.sqrt(2)) if scaled.op == "Div" else is_near(factor, math.sqrt(0.5))
    inner, last, lacks = [erf.inputs[0]], erf, ["one", "half", "source"]
    while root and lacks:
        readers = [node for node in nodes.values() if last.outputs[0] in node.inputs]
        if len(readers) != 1 or readers[0].op != ("Add" if "one" in lacks else "Mul") or len(readers[0].inputs) != 2:
            return None
        inner.insert(0, last.outputs[0])
        value, last = other(readers[0], last.outputs[0]), readers[0]
        half = nodes.get(value) if isinstance(value, str) else None
        if "one" in lacks and is_near(value, 1):
            lacks.remove("one")
        elif "half" in lacks and is_near(value, 0.5):
            lacks.remove("half")
        elif "source" in lacks and value == source:
            lacks.remove("source")
        elif lacks == ["half", "source"] and half and half.op == "Mul" and source in half.inputs:
            lacks = [] if is_near(other(half, source), 0.5) else [*lacks, "known"]
            inner.append(half.outputs[0])
        else:
            return None
    return (source, last, inner) if root else None


def fuse_layer_norm(graph: Graph) -> Graph:
    """Return a graph whose (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) over an axis is one node.

    It is a LayerNormalization without weights, with `axes` where opset 17 has `axis`.
    """
    nodes = {node.outputs[0]: node for node in graph.nodes}
    for quotient in [node for node in graph.nodes if node.op == "Div"]:
        found = _layer_norm_of(quotient, nodes, graph)
        if found:
            source, axes, epsilon, inner = found
            given = {"axes": axes, "epsilon": epsilon}
            nodes[quotient.outputs[0]] = Node(quotient.name, "LayerNormalization", (source,), quotient.outputs, given)
            _drop_unread(nodes, inner, graph)
    return replace(graph, nodes=tuple(nodes.values()))


def _layer_norm_of(
    quotient: Node, nodes: dict[str, Node], graph: Graph
) -> tuple[str, list[int], float, list[str]] | None:
    """Return what is normalised, over which axes, epsilon, and the tensors in between from the last on; or None."""

    def behind(name: str, op: str) -> Node:
        node = nodes[name]
        if node.op != op:
            raise KeyError(op)
        return node

    def mean_of(node: Node) -> tuple[str, list[int]]:
        axes = node.attributes.get("axes", graph.constants.get(node.inputs[-1]))
        if axes is None or not node.attributes.get("keepdims", 1):
            raise KeyError("axes")
        return node.inputs[0], [int(axis) for axis in axes]

    try:
        far, root = behind(quotient.inputs[0], "Sub"), behind(quotient.inputs[1], "Sqrt")
        total = behind(root.inputs[0], "Add")
        [stored] = [name for name in total.inputs if name in graph.constants]
        [variance] = [behind(name, "ReduceMean") for name in total.inputs if name != stored]
        mean = behind(far.inputs[1], "ReduceMean")
        square = nodes[variance.inputs[0]]
        epsilon, (source, axes) = graph.constants[stored], mean_of(mean)
        again = nodes[square.inputs[0]]
        whole = (
            _is_square(square, graph) and again.op == "Sub" and again.inputs == far.inputs == (source, mean.outputs[0])
        )
    except (KeyError, ValueError):
        return None
    if not whole or mean_of(variance)[1] != axes or len(axes) != 1 or epsilon.size != 1:
        return None
    between = [root, total, variance, square, again, far, mean]
    return source, axes, float(epsilon.reshape(())), [node.outputs[0] for node in between]


def _is_square(node: Node, graph: Graph) -> bool:
    if node.op == "Mul":
        return node.inputs[0] == node.inputs[1]
    exponent = graph.constants.get(node.inputs[-1])
    return node.op == "Pow" and exponent is not None and exponent.size == 1 and float(exponent.reshape(())) == 2


def fuse_pool_border(graph: Graph) -> Graph:
    """Return a graph whose borders of minus infinity are pads of the MaxPool behind them, where such can't win."""
    nodes = {node.outputs[0]: node for node in graph.nodes}
    for pad in [node for node in graph.nodes if node.op == "Pad"]:
        border, readers = (
            _infinite_border(pad, graph),
            [node for node in nodes.values() if pad.outputs[0] in node.inputs],
        )
        widened = [_with_border(node, border) if border else None for node in readers]
        if pad.outputs[0] not in graph.outputs and all(widened):
            nodes |= {
                one.outputs[0]: replace(one, inputs=(pad.inputs[0], *one.inputs[1:]))
                for one in widened
                if one is not None
            }
            _drop_unread(nodes, [pad.outputs[0]], graph)
    return replace(graph, nodes=tuple(nodes.values()))


def _infinite_border(pad: Node, graph: Graph) -> list[int] | None:
    """Return the border of minus infinity that a Pad puts around images: top, left, bottom, right; or None."""
    pads, fill = (graph.constants.get(name) for name in [*pad.inputs[1:], "", ""][:2])
    plain = pad.attributes.get("mode", b"constant") == b"constant" and not any(pad.inputs[3:])
    if not plain or pads is None or pads.size != 2 * IMAGE_RANK or fill is None or fill.size != 1:
        return None
    before, after = pads.reshape(2, IMAGE_RANK).tolist()
    inside = not any(before[:2] + after[:2]) and float(fill.reshape(())) <= LOWEST
    return [*before[2:], *after[2:]] if inside else None


def _with_border(pool: Node, border: list[int]) -> Node | None:
    """Return a MaxPool with more pads, as far as its kernel allows them; None of any other node."""
    given = pool.attributes
    ends = given.get("auto_pad", b"NOTSET") == b"NOTSET" and not given.get("ceil_mode", 0)  # which goes by the image
    if pool.op != "MaxPool" or not ends or len(pool.outputs) != 1 or len(given["kernel_shape"]) != 2:
        return None
    pads = [one + other for one, other in zip(given.get("pads", (0, 0, 0, 0)), border, strict=True)]
    if min(pads) < 0 or any(one >= kernel for one, kernel in zip(pads, [*given["kernel_shape"]] * 2, strict=True)):
        return None
    return replace(pool, attributes={**given, "pads": pads})


def _drop_unread(nodes: dict[str, Node], names: list[str], graph: Graph) -> None:
    """Take away the nodes that nobody reads any more, the last first."""
    for name in names:
        if name not in graph.outputs and not any(name in node.inputs for node in nodes.values()):
            nodes.pop(name, None)
