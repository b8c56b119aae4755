"""Keras with every layer's call as an output: what each layer of a `.keras` or `.h5` gives, against its node."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import LayerGraph, Operation, as_rows
from convert.layerwise.trace_worker import look
from tbconv.contract.preprocess import as_model_input

FRAMEWORK = "tensorflow"


class OpenedKeras:
    """A Keras model that answers with the tensors of all calls of its layers."""

    def __init__(self, path: str) -> None:
        model = keras.models.load_model(path, compile=False)
        self._outputs = {tensor.name: name for name, tensor in _by_name(model.output).items()}
        calls = [(op, tensor) for op in model.operations for call in op._inbound_nodes for tensor in call.outputs]
        self._calls = {f"{op.name}:{index}": (op, tensor) for index, (op, tensor) in enumerate(calls)}
        tensors = {key: tensor for key, (op, tensor) in self._calls.items() if not _is_input(op)}
        self._model = keras.Model(model.inputs, tensors)
        self._shapes: dict[str, tuple[int, int]] = {}

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by call."""
        answer = self._model(as_model_input(model_input[None]), training=False)
        rows = {key: as_rows(np.asarray(tensor)) for key, tensor in answer.items()}
        self._shapes = {key: (one.shape[0], one.shape[1]) for key, one in rows.items()}
        return rows

    def graph(self) -> LayerGraph:
        """Return the calls; names end in a call's number, as in TensorFlow's own, so that one matcher reads both."""
        return LayerGraph(tuple(self._describe(key) for key in self._shapes))

    def _describe(self, key: str) -> Operation:
        op, tensor = self._calls[key]
        outputs = (self._outputs[tensor.name],) if tensor.name in self._outputs else ()
        return Operation(key, type(op).__name__, (), self._shapes[key], names=(f"{op.name}_1",), outputs=outputs)


def _by_name(output: Any) -> dict[str, Any]:
    return output if isinstance(output, dict) else {}


def _is_input(op: Any) -> bool:
    return isinstance(op, keras.layers.InputLayer)


def trace(request: dict[str, Any]) -> dict[str, Any]:
    """Judge a file; request: artefact, and what `convert.layerwise.trace_worker.look` reads."""
    return look(request, OpenedKeras(request["artefact"]))
