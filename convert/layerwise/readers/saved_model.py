"""TensorFlow's SavedModel pruned to the tensors in between: what each layer's scope gives, against its node.

The signature is inlined and its variables frozen first; the scopes then carry the names of the Keras layers.
A SavedModel of onnx2tf has no such names, and is compared at its outputs alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convert.layerwise.graph import LayerGraph, Operation, as_rows
from convert.layerwise.trace_worker import look
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "tensorflow"

MODEL = "tbconv"  # the scope of the Keras model that convert.formats.onnx_to_keras made


class OpenedSavedModel:
    """A signature that answers with what leaves the scope of each layer, and with its outputs."""

    def __init__(self, path: str) -> None:
        loaded = tf.saved_model.load(path)
        signature = loaded.signatures["serving_default"]
        frozen = convert_variables_to_constants_v2(signature)
        self._outputs = dict(zip(sorted(signature.structured_outputs), frozen.outputs, strict=True))
        self.scopes = _leaving(frozen.graph)
        self._names = [*self.scopes, *(f"output {name}" for name in self._outputs)]
        fetches = [*self.scopes.values(), *self._outputs.values()]
        self._pruned = frozen.prune([frozen.inputs[0].name], [tensor.name for tensor in fetches])
        self._shapes: dict[str, tuple[int, int]] = {}

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by scope."""
        values = self._pruned(tf.constant(as_model_input(model_input[None])))
        rows = {name: as_rows(tensor.numpy()) for name, tensor in zip(self._names, values, strict=True)}
        self._shapes = {key: (one.shape[0], one.shape[1]) for key, one in rows.items()}
        return rows

    def graph(self) -> LayerGraph:
        """Return the scopes and the outputs."""
        ends = {f"output {name}": (name,) for name in self._outputs}
        return LayerGraph(
            tuple(
                Operation(
                    key, "scope", (), shape, names=(key,) if key in self.scopes else (), outputs=ends.get(key, ())
                )
                for key, shape in self._shapes.items()
            )
        )


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


def trace(request: dict[str, Any]) -> dict[str, Any]:
    """Judge a folder; request: artefact, and what `convert.layerwise.trace_worker.look` reads."""
    opened = OpenedSavedModel(request["artefact"])
    note = "" if opened.scopes else "its tensors carry no names of layers (onnx2tf made it): its outputs alone compared"
    return look(request, opened) | {"note": note}
