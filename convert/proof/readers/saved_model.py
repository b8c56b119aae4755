"""A SavedModel's signature for one film as plain data: its variables stored, its functions written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convert.runners.admission import admit

FRAMEWORK = "tensorflow"
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
DEEPEST = 8  # calls within calls


def freeze(request: dict[str, Any]) -> dict[str, Any]:
    """Write the nodes of a SavedModel as JSON, and its numbers.

    Args:
        request: artefact; folder, which gets graph.json and a .npy file for each stored tensor.
    """
    loaded, folder = tf.saved_model.load(str(admit(Path(request["artefact"])))), Path(request["folder"])
    signature = loaded.signatures["serving_default"]
    [(name, spec)] = signature.structured_input_signature[1].items()

    def answer(film: Any) -> Any:
        return signature(**{name: film})

    film = tf.TensorSpec((1, *spec.shape[1:]), spec.dtype)
    frozen = convert_variables_to_constants_v2(tf.function(answer, autograph=False).get_concrete_function(film))
    definition = frozen.graph.as_graph_def()
    library = {one.signature.name: one for one in definition.library.function}
    nodes: list[dict[str, Any]] = []
    for node in definition.node:
        _write(node, node.name, list(node.input), library, nodes, folder, 0)
    outputs = dict(zip(sorted(signature.structured_outputs), (one.name for one in frozen.outputs), strict=True))
    [source] = [one.name for one in frozen.inputs]
    graph = {"input": source, "shape": list(film.shape), "outputs": outputs, "nodes": nodes}
    (folder / "graph.json").write_text(json.dumps(graph))
    return {}


def _write(
    node: Any, name: str, inputs: list[str], library: dict[str, Any], nodes: list[Any], folder: Path, depth: int
) -> None:
    """Append a node; of a call, what its function does, and the call as the identity of its only result."""
    given = {key: _plain(value) for key, value in node.attr.items() if key != "value"}
    function = library.get(node.attr["f"].func.name) if node.op in CALLS else None
    if function is not None and depth < DEEPEST and len(function.ret) == 1:
        known = dict(zip((one.name for one in function.signature.input_arg), inputs, strict=False))

        def renamed(one: str) -> str:
            first = one.split(":", maxsplit=1)[0]
            return known.get(first) or f"{name}/{first}"

        for inner in function.node_def:
            read = [renamed(one) for one in inner.input if not one.startswith("^")]
            _write(inner, f"{name}/{inner.name}", read, library, nodes, folder, depth + 1)
        [result] = function.ret.values()
        nodes.append({"name": name, "op": "Identity", "inputs": [renamed(result)], "attributes": {}})
        return
    if node.op == "Const":
        np.save(folder / f"{len(nodes)}.npy", tf.make_ndarray(node.attr["value"].tensor), allow_pickle=False)
    nodes.append({"name": name, "op": node.op, "inputs": inputs, "attributes": given})


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s.decode(errors="replace")
    if kind == "list":
        return [*value.list.i, *value.list.f]
    if kind == "type":
        return tf.dtypes.as_dtype(value.type).name
    return getattr(value, kind) if kind in ("i", "f", "b") else None
