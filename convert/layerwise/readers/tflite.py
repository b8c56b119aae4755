"""LiteRT with every intermediate tensor kept: the output of each operation of a file, against its ONNX node.

With `experimental_preserve_all_tensors` XNNPACK takes each operation as a delegate of its own and
fuses none (ai-edge-litert 2.1.2), so the kernels that serve can be observed; `as_served` says
whether the outputs are bit for bit those of the interpreter that serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from convert.layerwise.compare import NodeReference
from convert.layerwise.compare import compare as compare_file
from convert.layerwise.graph import INPUT, FileOperation, LayerGraph, as_rows, why_skipped
from tbconv.contract.preprocess import as_model_input
from tf_serve.runtime.structure import check_tflite
from tf_serve.runtime.tflite import SIGNATURE, TFLiteModel

FRAMEWORK = "litert"


class TFLiteReader:
    """An interpreter that keeps its tensors, and its operations as the file has them."""

    def __init__(self, path: str, *, xnnpack: bool) -> None:
        check_tflite(Path(path))
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(
            path, num_threads=1, experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=True
        )
        self._interpreter.allocate_tensors()
        details = self._interpreter._get_ops_details()  # there is no public list of operations
        self._operations = [one for one in details if one["op_name"] != "DELEGATE" and len(one["outputs"])]
        self._outputs = self._interpreter.get_signature_runner(SIGNATURE).get_output_details()
        [self._input] = self._interpreter.get_input_details()

    def run(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by operation, dequantized."""
        film = as_model_input(model_input[None]).astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], film)
        self._interpreter.invoke()
        self._details = {one["index"]: one for one in self._interpreter.get_tensor_details()}
        self._rows = {str(one["index"]): self._read(int(one["outputs"][0])) for one in self._operations}
        return self._rows

    def _read(self, tensor: int) -> NDArray[np.float32]:
        values = self._interpreter.get_tensor(tensor)
        return as_rows(_dequantized(values, self._details[tensor]["quantization_parameters"]))

    def graph(self) -> LayerGraph:
        """Return the operations; a film must have run."""
        makers = {int(index): str(one["index"]) for one in self._operations for index in one["outputs"]}
        makers[int(self._input["index"])] = INPUT
        return LayerGraph(tuple(self._describe(one, makers) for one in self._operations))

    def _describe(self, one: dict[str, Any], makers: dict[int, str]) -> FileOperation:
        key, detail = str(one["index"]), self._details[int(one["outputs"][0])]
        quantized = len(detail["quantization_parameters"]["scales"]) > 0
        positions, channels = self._rows[key].shape
        names = tuple(name for name in detail["name"].split(";") if name)
        return FileOperation(
            key=key,
            op=one["op_name"],
            sources=tuple(makers[int(index)] for index in one["inputs"] if int(index) in makers),
            shape=(positions, channels),
            names=names,
            exact=names[0] if names else "",
            outputs=tuple(name for name, output in self._outputs.items() if output["index"] == detail["index"]),
            skipped=why_skipped(one["op_name"], np.dtype(detail["dtype"]), quantized=quantized),
            integer=quantized and np.issubdtype(detail["dtype"], np.integer),
        )

    def logits(self) -> NDArray[Any]:
        """Return the logits of the last film as they are."""
        return np.array(self._interpreter.get_tensor(self._outputs["logits"]["index"]))


def _dequantized(values: NDArray[Any], quantization: dict[str, Any]) -> NDArray[Any]:
    """Return integers as the real numbers that they represent; anything else as it is."""
    scales, zeros = quantization["scales"], quantization["zero_points"]
    if not len(scales) or not np.issubdtype(values.dtype, np.integer):
        return values
    around = [1] * values.ndim
    if len(scales) > 1:
        around[quantization["quantized_dimension"]] = len(scales)
    real: NDArray[Any] = (values.astype(np.float32) - zeros.reshape(around)) * scales.reshape(around)
    return real


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Compare a file; request: artefact, xnnpack, and what `convert.layerwise.compare.compare` reads."""
    reader = TFLiteReader(request["artefact"], xnnpack=request["xnnpack"])
    answer = compare_file(request, reader)
    if request["sums"] is not None:
        model_input = NodeReference(Path(request["reference"])).model_inputs[0]
        reader.run(model_input)
        served = TFLiteModel(Path(request["artefact"]), threads=1, xnnpack=request["xnnpack"])
        logits = served.predict(as_model_input(model_input[None])).logits
        answer["as_served"] = bool(np.array_equal(logits, reader.logits()))
    return answer
