"""Keras with every layer's call as an output: the tensor of each layer of a `.keras` or `.h5`, against its node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.layerwise.compare import compare as compare_file
from convert.layerwise.graph import FileOperation, LayerGraph, as_rows
from convert.runners.admission import admit
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "tensorflow"


class KerasReader:
    """A Keras model that returns the tensors of all calls of its layers."""

    def __init__(self, path: str) -> None:
        model = keras.models.load_model(admit(Path(path)), compile=False, safe_mode=True)
        outputs = model.output if isinstance(model.output, dict) else {}
        self._outputs = {tensor.name: name for name, tensor in outputs.items()}
        calls = [(op, tensor) for op in model.operations for call in op._inbound_nodes for tensor in call.outputs]
        self._calls = {f"{op.name}:{index}": (op, tensor) for index, (op, tensor) in enumerate(calls)}
        computed = {k: tensor for k, (op, tensor) in self._calls.items() if not isinstance(op, keras.layers.InputLayer)}
        self._model = keras.Model(model.inputs, computed)
        self._shapes: dict[str, tuple[int, int]] = {}

    def run(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by call."""
        tensors = self._model(as_model_input(model_input[None]), training=False)
        rows = {key: as_rows(np.asarray(tensor)) for key, tensor in tensors.items()}
        self._shapes = {key: (one.shape[0], one.shape[1]) for key, one in rows.items()}
        return rows

    def graph(self) -> LayerGraph:
        """Return the calls; names end in a call's number, as in TensorFlow's own, so that one matcher reads both."""
        operations = []
        for key, shape in self._shapes.items():
            op, tensor = self._calls[key]
            outputs = (self._outputs[tensor.name],) if tensor.name in self._outputs else ()
            operations.append(
                FileOperation(key, type(op).__name__, (), shape, names=(f"{op.name}_1",), outputs=outputs)
            )
        return LayerGraph(tuple(operations))


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Compare a file; request: artefact, and what `convert.layerwise.compare.compare` reads."""
    return compare_file(request, KerasReader(request["artefact"]))
