"""ONNX -> real Keras layers, by walking the graph: one layer a node, named after it.

ONNX images are [N, C, H, W], Keras images [N, H, W, C]: the walk carries that along with each
tensor instead of transposing. Rows that ONNX folds into the batch ([N * 49, C]) stay [N, 49, C]
in Keras, whose dense and BatchNorm layers act on the last axis either way.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

from convert.formats.keras_ops import OPERATIONS
from convert.formats.keras_ops.walk import IMAGE_RANK, UnknownError, Value, Walk, all_of, unknown
from convert.formats.onnx_graph import Graph, Node, evaluate, is_static, read_graph, reads_batch, shape_of
from convert.formats.reproducible import timeless_entry
from tbconv.contract.errors import ConversionError

FRAMEWORK = "tensorflow"

BATCH_SIZE = "it calculates with the batch, whose size is not known"
NO_FILM = "it reads no film, and cannot be computed before: it draws at random, or gives several outputs"
H5_OUTPUTS = ("logits", "probability")  # an H5 cannot load the operations of the evidence map


def onnx_to_keras(request: dict[str, Any]) -> dict[str, Any]:
    """Build the layers and save them.

    Args:
        request: onnx; and where to write: h5, keras, saved_model (each may be null). h5_outputs names the outputs
            that the H5 carries: by default H5_OUTPUTS where the graph has them, else all.
    """
    outputs = build(read_graph(Path(request["onnx"])))
    image = outputs.pop("image")
    model = keras.Model(image, outputs, name="tbconv")
    if request.get("h5"):
        names = request.get("h5_outputs") or [name for name in H5_OUTPUTS if name in outputs] or list(outputs)
        small = keras.Model(image, {name: outputs[name] for name in names}, name="tbconv")
        small.save(request["h5"])
    if request.get("keras"):
        model.save(request["keras"])
        make_repeatable(Path(request["keras"]))
    if request.get("saved_model"):
        export_saved_model(model, request["saved_model"])
    return {"converter": f"tbconv's layers, keras {keras.__version__}, tensorflow {tf.__version__}"}


def build(graph: Graph) -> dict[str, Any]:
    """Return the Keras tensors of the graph's outputs by name, and its input as `image`.

    Raises:
        ConversionError: the input is no image of a fixed size; or operations, or the ways they are used, are
            not known here: one error names every such node that is known.
    """
    image = _input(graph)
    walk = Walk(dict(graph.constants), batch=graph.input_shape[0], opset=graph.opset)
    values = {graph.input: Value(image, channels_first=True)}
    found: list[UnknownError] = []
    read = {*graph.outputs, *(name for node in graph.nodes for name in node.inputs)}
    for node in graph.nodes:
        try:
            _step(walk, node, values, read)
        except UnknownError as error:
            found.append(error)
            values |= _stand_ins(node, graph)
    if found:
        raise all_of(found, graph)
    _require_film(graph, values)
    return {"image": image} | {name: values[name].tensor for name in graph.outputs}


def _input(graph: Graph) -> Any:
    if len(graph.input_shape) != IMAGE_RANK or min(graph.input_shape[1:]) < 1:
        raise ConversionError(
            f"the input {graph.input} is {list(graph.input_shape)}, 0 standing for what is not fixed",
            why="Keras and TFLite need an image [N, channels, height, width] whose last three sizes are known",
            fix="export with a fixed size: only the batch may be dynamic",
        )
    _, channels, height, width = graph.input_shape
    return keras.Input((height, width, channels), name=graph.input)


def _require_film(graph: Graph, values: dict[str, Value]) -> None:
    fixed = [name for name in graph.outputs if name not in values]
    if fixed:
        raise ConversionError(
            f"the output {fixed[0]} does not depend on the film",
            why="it is stored, or computed from stored numbers alone",
            fix="export outputs that depend on the film",
        )


def _step(walk: Walk, node: Node, values: dict[str, Value], read: set[str]) -> None:
    """Apply one node: what is known without the film becomes a constant, everything else a layer.

    A layer gives the first output alone: of a second one that is in `read`, the node is refused.
    """
    if is_static(node, walk.constants):
        walk.constants[node.outputs[0]] = evaluate(node, walk.constants, walk.opset)
    elif node.op == "Shape" and node.inputs[0] in values and values[node.inputs[0]].rows == 1:
        walk.constants[node.outputs[0]] = shape_of(node, values[node.inputs[0]].shape)
    elif all(name in walk.constants for name in node.inputs):
        raise unknown(node, BATCH_SIZE if reads_batch(node, walk.constants) else NO_FILM)
    elif node.op not in OPERATIONS:
        raise unknown(node, f"{node.op} has no Keras layer here; docs/ops.md lists what has one")
    elif read.intersection(node.outputs[1:]):
        raise unknown(node, "its second output is used, and a layer gives the first alone")
    elif not any(_is_lost(name, walk, values) for name in node.inputs):
        values[node.outputs[0]] = OPERATIONS[node.op](walk, node, [values.get(name) for name in node.inputs])


def _is_lost(name: str, walk: Walk, values: dict[str, Value]) -> bool:
    """Whether a tensor lies behind a node that could not become a layer, and its shape is not known."""
    return bool(name) and name not in values and name not in walk.constants


def _stand_ins(node: Node, graph: Graph) -> dict[str, Value]:
    """Return inputs of the inferred shape in place of what a node gives, so that the walk goes on and finds more."""
    [name, *_] = node.outputs
    sizes = graph.shapes.get(name, ())[1:]
    if not sizes or min(sizes) < 1:
        return {}
    is_image = len(sizes) + 1 == IMAGE_RANK
    tensor = keras.Input((*sizes[1:], sizes[0]) if is_image else sizes)
    return {name: Value(tensor, channels_first=is_image, nonnegative=True)}


def export_saved_model(model: keras.Model, place: str) -> None:
    """Write a SavedModel with variables, a dynamic batch and the signature image -> outputs by name.

    Not Keras's own export: it keeps the variables in the order of a set, which differs from process
    to process. Here they are in the model's order, so the same ONNX gives the same bytes. The model
    itself is not tracked: every variable would be stored twice (198 MB for 99 MB).
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]  # what is not held here is not saved
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")]
    serve = tf.function(lambda image: model(image, training=False), input_signature=signature, autograph=False)
    tf.saved_model.save(module, place, signatures={"serving_default": serve})
    renumber_functions(Path(place))


# --- repeat saved model ---
# TensorFlow ends the names of functions in a counter of the process: they tell what else it has converted before.

COUNTED = re.compile(r"(.*_)(\d+)")
GIVEN_NAME = "_user_specified_name"


def renumber_functions(place: Path) -> None:
    """Number the functions of a SavedModel from 0, in place: the same network gives the same bytes.

    Raises:
        ConversionError: a name stands in a part of the file that is not known here.
    """
    path = place / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        library = graph.graph_def.library.function
        counted = filter(None, (COUNTED.fullmatch(one.signature.name) for one in library))
        found = sorted(counted, key=lambda match: int(match[2]))
        names = {match[0]: f"{match[1]}{number}" for number, match in enumerate(found)}
        _rename_functions(graph.graph_def, names)
        _rename_objects(graph.object_graph_def, names)
        _require_renamed(graph, names.keys() - names.values())
    path.write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(str(place))  # it holds a checksum of the file


def _rename_functions(graph: Any, names: Mapping[str, str]) -> None:
    library = graph.library.function
    for function in library:
        function.signature.name = names.get(function.signature.name, function.signature.name)
        for argument in function.arg_attr.values():
            if GIVEN_NAME in argument.attr and argument.attr[GIVEN_NAME].s.isdigit():
                del argument.attr[GIVEN_NAME]  # of a variable: a number that the process counts too
    for node in (*graph.node, *(node for function in library for node in function.node_def)):
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name = names.get(value.func.name, value.func.name)
    library.sort(key=lambda one: one.signature.name)


def _rename_objects(objects: Any, names: Mapping[str, str]) -> None:
    for one in objects.nodes:
        if old := one.bare_concrete_function.concrete_function_name:
            one.bare_concrete_function.concrete_function_name = names.get(old, old)
    functions = objects.concrete_functions
    for old, new in names.items():  # ascending: no new name is one that is still to go
        if old in functions and old != new:
            functions[new].CopyFrom(functions[old])
            del functions[old]


def _require_renamed(graph: Any, names: Set[str]) -> None:
    data = graph.SerializeToString()
    left = sorted(name for name in names if re.search(re.escape(name).encode() + rb"(?!\d)", data))
    if left:
        raise ConversionError(
            f"the SavedModel names the function {left[0]} where it is not expected",
            why=f"tensorflow {tf.__version__} is not the version whose files are known to repeat",
            fix="install the versions that were measured: pip install 'tbconv[convert]'",
        )


# --- repeat keras ---
# The one place that takes times and memory addresses out of a `.keras` file, so that its bytes repeat.
#
# Keras 3.15 writes three things into the zip that differ from process to process: the time of each
# entry, the date in metadata.json, and, as `shared_object_id` in config.json, the memory address of
# each object that several layers share (keras/src/saving/serialization_lib.py). Loading needs none
# of them but the ids, and of those only which are equal.

ENTRIES = ("metadata.json", "config.json", "model.weights.h5")  # what Keras 3 writes, in its order
SHARED = "shared_object_id"


def make_repeatable(path: Path) -> None:
    """Rewrite a `.keras` file in place: the same network gives the same bytes.

    Raises:
        ConversionError: it holds other entries than Keras 3.15 writes.
    """
    fresh = path.with_name(f"{path.name}.repeatable")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(fresh, "w") as new:
        if sorted(old.namelist()) != sorted(ENTRIES):
            raise ConversionError(
                f"{path.name} holds {', '.join(old.namelist())}",
                why=f"Keras 3.15 writes {', '.join(ENTRIES)}, and only these are known to repeat",
                fix="install the versions that were measured: pip install 'tbconv[convert]'",
            )
        for name in ENTRIES:
            _copy(old, new, name)
    fresh.replace(path)


def _copy(old: zipfile.ZipFile, new: zipfile.ZipFile, name: str) -> None:
    info = timeless_entry(name)
    info.file_size = old.getinfo(name).file_size  # so that zipfile need not reserve room for 64 bits
    if name.endswith(".json"):
        new.writestr(info, json.dumps(settle(json.loads(old.read(name)))))
        return
    with old.open(name) as source, new.open(info, "w") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def settle(value: Any, numbers: dict[int, int] | None = None) -> Any:
    """Return JSON without the date, and with shared objects numbered in the order of their appearance."""
    numbers = {} if numbers is None else numbers
    if isinstance(value, list):
        return [settle(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if key != "date_saved"}
    return {
        key: numbers.setdefault(item, len(numbers)) if key == SHARED else settle(item, numbers)
        for key, item in kept.items()
    }
