"""Names in a third-party graph: each node and output gets one of its own that Keras and TensorFlow can bear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import onnx

IMAGE = "image"
PREFIX = "preprocess"  # of the nodes and constants of the front
# TensorFlow's own rule for scopes is [A-Za-z0-9.][A-Za-z0-9_.\\/>-]*; a signature's names are simpler.
NOT_IN_NODES, NOT_IN_OUTPUTS = re.compile(r"[^A-Za-z0-9_.\-/]"), re.compile(r"[^A-Za-z0-9_]")


def clear_names(model: onnx.ModelProto) -> None:
    """Rename tensors inside that bear a name which the front needs."""
    taken = names_in(model)
    for name in sorted(one for one in taken if one == IMAGE or one.startswith(f"{PREFIX}.")):
        new = fresh(f"{name.removeprefix(f'{PREFIX}.')}_inner", taken)
        rename_tensors(model, {name: new})
        taken.add(new)


def rename_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors wherever nodes, branches, constants, inputs and outputs refer to them."""
    for node in model.graph.node:
        rename_within(node, names)
    for owner in (*model.graph.initializer, *model.graph.output, *model.graph.input):
        owner.name = names.get(owner.name, owner.name)


def rename_within(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Rename what a node reads and gives, and what its branches and loops read of the graph around them."""
    for field in (node.input, node.output):
        for index, name in enumerate(field):
            field[index] = names.get(name, name)
    for graph in (one.g for one in node.attribute if one.HasField("g")):
        own = {one.name for one in (*graph.input, *graph.initializer)} | {
            out for one in graph.node for out in one.output
        }
        outer = {old: new for old, new in names.items() if old not in own}
        for one in graph.node:
            rename_within(one, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def name_outputs(model: onnx.ModelProto) -> dict[str, str]:
    """Give each output a name that a signature can bear; return new name by old one, where it changed."""
    changed: dict[str, str] = {}
    taken = names_in(model) | {IMAGE}
    for value in model.graph.output:
        wanted = NOT_IN_OUTPUTS.sub("_", value.name).strip("_") or "output"
        if wanted != value.name or wanted == IMAGE:
            changed[value.name] = fresh(wanted, taken)
            taken.add(changed[value.name])
    rename_tensors(model, changed)
    return changed


def name_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Give each node a name that is its own and legal in TensorFlow; return new name by old one, where it changed.

    Two names are the same where they differ in slashes alone: Keras allows none and gets dots. Nodes of the front keep
    theirs: they alone give tensors of such names (`clear_names`).
    """
    seen: set[str] = {node.name for node in model.graph.node if _is_of_front(node)}
    counted: Counter[str] = Counter()
    changed: dict[str, str] = {}
    for node in model.graph.node:
        if _is_of_front(node):
            continue
        old, base = node.name, NOT_IN_NODES.sub("_", node.name).lstrip("_-")
        if not base:
            base = f"{node.op_type}_{counted[node.op_type]}"
        counted[node.op_type] += 1
        node.name = fresh(base, seen)
        seen.add(node.name.replace("/", "."))
        if old and node.name != old:
            changed[old] = node.name
    return changed


def _is_of_front(node: onnx.NodeProto) -> bool:
    return bool(node.output) and node.output[0].startswith(f"{PREFIX}.")


def fresh(wanted: str, taken: Iterable[str]) -> str:
    """Return the name, or the first of name_1, name_2, ... that is free."""
    known, found, count = set(taken), wanted, 0
    while found.replace("/", ".") in known or found in known:
        count += 1
        found = f"{wanted}_{count}"
    return found


def names_in(model: onnx.ModelProto) -> set[str]:
    """Return the names of all tensors of a graph, and of its branches and loops."""
    return _names_of(model.graph)


def _names_of(graph: onnx.GraphProto) -> set[str]:
    found = {one.name for one in (*graph.initializer, *graph.input)}
    for node in graph.node:
        found |= {*node.input, *node.output}
        for inner in (one.g for one in node.attribute if one.HasField("g")):
            found |= _names_of(inner)
    return found
