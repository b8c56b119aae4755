"""What is put in front of a foreign graph, and what is renamed in it: in place, on a copy.

The front is `image` [N, 1, S, S], grey 0..255 -> Concat to three channels -> Mul -> Add -> their network.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.foreign.admit import shape_of
from convert.foreign.normalise import Normalise

IMAGE = "image"
BATCH = "batch"
PREFIX = "preprocess"  # of the nodes and constants of the front
# TensorFlow's own rule for scopes is [A-Za-z0-9.][A-Za-z0-9_.\\/>-]*; a signature's names are simpler.
NOT_IN_NODES, NOT_IN_OUTPUTS = re.compile(r"[^A-Za-z0-9_.\-/]"), re.compile(r"[^A-Za-z0-9_]")


def add_front(model: onnx.ModelProto, value: onnx.ValueInfoProto, normalise: Normalise) -> None:
    """Put preprocessing before the input, which becomes `image`; the network's own nodes stay as they are."""
    inner, side = value.name, int(str(shape_of(value)[2]))
    nodes: list[onnx.NodeProto] = []
    last = IMAGE
    if len(normalise.mean) == 3:
        nodes.append(helper.make_node("Concat", [last] * 3, [f"{PREFIX}.grey"], f"{PREFIX}.Concat", axis=1))
        last = f"{PREFIX}.grey"
    if not normalise.changes_nothing:
        for op, numbers in (("Mul", normalise.scale), ("Add", normalise.offset)):
            constant, made = f"{PREFIX}.{op}.by", f"{PREFIX}.{op}.out"
            array = numbers.astype(np.float32).reshape(1, -1, 1, 1)
            model.graph.initializer.append(numpy_helper.from_array(array, constant))
            nodes.append(helper.make_node(op, [last, constant], [made], f"{PREFIX}.{op}"))
            last = made
    rename_tensors(model, {inner: last})
    value.name = IMAGE  # after the renaming, which would have taken it along
    batch = shape_of(value)[0]
    value.CopyFrom(helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, [batch, 1, side, side]))
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])


def clear_name(model: onnx.ModelProto, name: str) -> None:
    """Rename a tensor inside that bears a name which is needed."""
    taken = {one for node in model.graph.node for one in (*node.input, *node.output)}
    if name in taken:
        rename_tensors(model, {name: fresh(f"{name}_inner", taken)})


def rename_tensors(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename tensors wherever nodes, constants, inputs and outputs speak of them."""
    for node in model.graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
    for owner in (*model.graph.initializer, *model.graph.output, *model.graph.input):
        owner.name = names.get(owner.name, owner.name)


def name_outputs(model: onnx.ModelProto) -> dict[str, str]:
    """Give each output a name that a signature can bear; return new name by old one, where it changed."""
    changed: dict[str, str] = {}
    taken = {one for node in model.graph.node for one in (*node.input, *node.output)} | {IMAGE}
    for value in model.graph.output:
        wanted = NOT_IN_OUTPUTS.sub("_", value.name).strip("_") or "output"
        if wanted != value.name or wanted == IMAGE:
            changed[value.name] = fresh(wanted, taken)
            taken.add(changed[value.name])
    rename_tensors(model, changed)
    return changed


def name_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Give each node a name that is its own and legal in TensorFlow; return new name by old one, where it changed.

    Two names are the same where they differ in slashes alone: Keras allows none and gets dots.
    """
    seen: set[str] = {node.name.replace("/", ".") for node in model.graph.node if node.name.startswith(f"{PREFIX}.")}
    counted: Counter[str] = Counter()
    changed: dict[str, str] = {}
    for node in model.graph.node:
        if node.name.startswith(f"{PREFIX}."):
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


def fresh(wanted: str, taken: Iterable[str]) -> str:
    """Return the name, or the first of name_1, name_2, ... that nobody bears."""
    known, found, count = set(taken), wanted, 0
    while found.replace("/", ".") in known or found in known:
        count += 1
        found = f"{wanted}_{count}"
    return found


def strip(model: onnx.ModelProto) -> None:
    """Remove what exporters leave of the machine (source paths, stack traces) and shapes of a fixed batch."""
    owners = [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for owner in owners:
        if hasattr(owner, "metadata_props"):
            del owner.metadata_props[:]
        owner.doc_string = ""
    del model.graph.value_info[:]
