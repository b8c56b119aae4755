"""ONNX -> real Keras layers, by walking the graph: one layer a node, named after it.

ONNX images are [N, C, H, W], Keras images [N, H, W, C]: the walk carries that along with each
tensor instead of transposing. Rows that ONNX folds into the batch ([N * 49, C]) stay [N, 49, C]
in Keras, whose dense and BatchNorm layers act on the last axis either way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from convert.isolate import child_main
from convert.keras_ops import OPERATIONS
from convert.keras_walk import Value, Walk
from convert.onnx_graph import Graph, read_graph
from convert.repeat_keras import make_repeatable
from tbconv.contract.errors import ConversionError

H5_OUTPUTS = ("logits", "probability")  # an H5 cannot load the operations of the evidence map


def onnx_to_keras(request: dict[str, Any]) -> dict[str, Any]:
    """Build the layers and save them.

    Args:
        request: onnx; and where to write: h5, keras, saved_model (each may be null).
    """
    outputs = build(read_graph(Path(request["onnx"])))
    image = outputs.pop("image")
    model = keras.Model(image, outputs, name="tbconv")
    if request.get("h5"):
        small = keras.Model(image, {name: outputs[name] for name in H5_OUTPUTS}, name="tbconv")
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
        ConversionError: a node's operation, or the way it is used, is not known here.
    """
    image = keras.Input((224, 224, 1), name=graph.input)
    walk = Walk(graph.constants)
    values = {graph.input: Value(image, channels_first=True)}
    for node in graph.nodes:
        operation = OPERATIONS.get(node.op)
        if operation is None:
            raise ConversionError(
                f"node {node.name} is a {node.op}, which has no Keras layer here",
                why=f"known are {', '.join(sorted(OPERATIONS))}",
                fix="write it in these operations, or convert with --route onnx2tf",
            )
        values[node.outputs[0]] = operation(walk, node, [values.get(name) for name in node.inputs])
    return {"image": image} | {name: values[name].tensor for name in graph.outputs}


def export_saved_model(model: keras.Model, place: str) -> None:
    """Write a SavedModel with variables, a dynamic batch and the signature image -> outputs by name.

    Not Keras's own export: it keeps the variables in the order of a set, which differs from process
    to process. Here they are in the model's order, so the same ONNX gives the same bytes. The model
    itself is not tracked: every variable would be stored twice (198 MB for 99 MB).
    """
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]  # what is not held here is not saved
    signature = [tf.TensorSpec((None, 224, 224, 1), tf.float32, name="image")]
    serve = tf.function(lambda image: model(image, training=False), input_signature=signature, autograph=False)
    tf.saved_model.save(module, place, signatures={"serving_default": serve})


if __name__ == "__main__":
    child_main(onnx_to_keras)
