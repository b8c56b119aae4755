"""TensorFlow's SavedModel pruned to its intermediate tensors: the output of each layer's scope, against its node.

The signature is inlined and its variables frozen first; the scopes then carry the names of the Keras layers.
A SavedModel of onnx2tf has no such names, and is compared at its outputs alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convert.layerwise.compare import compare as compare_file
from convert.layerwise.graph import FileOperation, LayerGraph, as_rows
from convert.runners.admission import admit
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "tensorflow"
MODEL = "tbconv"  # the scope of the Keras model that convert.formats.onnx_to_keras made


class SavedModelReader:
    """A signature that returns the tensor which leaves the scope of each layer, and its outputs."""

    def __init__(self, path: str) -> None:
        loaded = tf.saved_model.load(
            str(admit(Path(path)))
        )  # it holds the variables, which the signature alone does not
        signature = loaded.signatures["serving_default"]
        frozen = convert_variables_to_constants_v2(signature)
        outputs = dict(zip(sorted(signature.structured_outputs), frozen.outputs, strict=True))
        self.scopes = _leaving(frozen.graph)
        self._outputs = {f"output {name}": (name,) for name in outputs}
        fetches = [*self.scopes.values(), *outputs.values()]
        self._pruned = frozen.prune([frozen.inputs[0].name], [tensor.name for tensor in fetches])
        self._shapes: dict[str, tuple[int, int]] = {}

    def run(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by scope."""
        values = self._pruned(tf.constant(as_model_input(model_input[None])))
        names = [*self.scopes, *self._outputs]
        rows = {name: as_rows(tensor.numpy()) for name, tensor in zip(names, values, strict=True)}
        self._shapes = {key: (one.shape[0], one.shape[1]) for key, one in rows.items()}
        return rows

    def graph(self) -> LayerGraph:
        """Return the scopes and the outputs."""
        operations = []
        for key, shape in self._shapes.items():
            names = (key,) if key in self.scopes else ()
            operations.append(FileOperation(key, "scope", (), shape, names=names, outputs=self._outputs.get(key, ())))
        return LayerGraph(tuple(operations))


def _leaving(graph: Any) -> dict[str, Any]:
    """Return, for each layer's scope, the last float tensor that is read outside of it."""
    found: dict[str, Any] = {}
    for op in graph.get_operations():
        scope = _scope(op.name)
        for tensor in op.outputs:
            leaves = any(_scope(reader.name) != scope for reader in tensor.consumers())
            if scope and leaves and op.type != "Const" and tensor.dtype in (tf.float32, tf.bool):
                found[scope] = tensor
    return found


def _scope(name: str) -> str:
    """Return the layer's scope in the name of an operation: what follows that of the model."""
    parts = name.split("/")
    place = next((index for index, part in enumerate(parts) if part.split("_")[0] == MODEL), len(parts))
    return parts[place + 1] if place + 2 < len(parts) else ""


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Compare a folder; request: artefact, and what `convert.layerwise.compare.compare` reads."""
    reader = SavedModelReader(request["artefact"])
    note = "" if reader.scopes else "its tensors carry no layer names (onnx2tf made it): only its outputs are compared"
    return compare_file(request, reader) | {"note": note}
