"""LiteRT with every tensor in between kept: what each operation of a file gives, against what ONNX gives.

With `experimental_preserve_all_tensors` XNNPACK takes each operation as a delegate of its own and
swallows none (ai-edge-litert 2.1.2), so the kernels that serve can be looked into; `as_served` says
whether the answers are bit for bit those of the interpreter that serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from convert.layerwise.graph import (
    INPUT,
    LayerGraph,
    Match,
    Operation,
    Tensors,
    as_rows,
    match_graphs,
    match_like,
    why_glue,
)
from convert.layerwise.noise import Sums
from convert.layerwise.trace_worker import look
from tbconv.contract.preprocess import as_model_input
from tf_serve.runtime.tflite import SIGNATURE, TFLiteModel

FRAMEWORK = "litert"


class Opened:
    """An interpreter that keeps its tensors, and its operations as the file has them."""

    def __init__(self, path: str, *, xnnpack: bool) -> None:
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._interpreter = Interpreter(
            path, num_threads=1, experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=True
        )
        self._interpreter.allocate_tensors()
        details = self._interpreter._get_ops_details()  # there is no public list of operations
        self.operations = [one for one in details if one["op_name"] != "DELEGATE" and len(one["outputs"])]
        self.outputs = self._interpreter.get_signature_runner(SIGNATURE).get_output_details()
        [self._input] = self._interpreter.get_input_details()

    def answer(self, model_input: NDArray[np.uint8]) -> None:
        """Run one film, uint8 [224, 224]; its tensors are then read with `read`."""
        film = as_model_input(model_input[None]).astype(self._input["dtype"])
        self._interpreter.set_tensor(self._input["index"], film)
        self._interpreter.invoke()
        self._details = {one["index"]: one for one in self._interpreter.get_tensor_details()}

    def read(self, operation: dict[str, Any]) -> NDArray[np.float32]:
        """Return what an operation gave as float32 [positions, channels], dequantized."""
        index = int(operation["outputs"][0])
        return as_rows(_as_real(self._interpreter.get_tensor(index), self._details[index]["quantization_parameters"]))

    def output(self, name: str) -> NDArray[Any]:
        """Return an output of the network as it is."""
        return np.array(self._interpreter.get_tensor(self.outputs[name]["index"]))

    def describe(self) -> list[Operation]:
        """Return the operations in one plain form; a film must have run."""
        makers = {int(index): str(one["index"]) for one in self.operations for index in one["outputs"]}
        makers[int(self._input["index"])] = INPUT
        return [self._describe(one, makers) for one in self.operations]

    def _describe(self, one: dict[str, Any], makers: dict[int, str]) -> Operation:
        detail = self._details[int(one["outputs"][0])]
        rows = self.read(one)
        quantized = len(detail["quantization_parameters"]["scales"]) > 0
        return Operation(
            key=str(one["index"]),
            op=one["op_name"],
            sources=tuple(makers[int(index)] for index in one["inputs"] if int(index) in makers),
            shape=(rows.shape[0], rows.shape[1]),
            names=tuple(name for name in detail["name"].split(";") if name),
            outputs=tuple(name for name, given in self.outputs.items() if given["index"] == detail["index"]),
            glue=why_glue(one["op_name"], np.dtype(detail["dtype"]), quantized=quantized),
            integer=quantized and np.issubdtype(detail["dtype"], np.integer),
        )


def _as_real(values: NDArray[Any], quantization: dict[str, Any]) -> NDArray[Any]:
    """Return integers as the real numbers that they stand for; anything else as it is."""
    scales, zeros = quantization["scales"], quantization["zero_points"]
    if not len(scales) or not np.issubdtype(values.dtype, np.integer):
        return values
    around = [1] * values.ndim
    if len(scales) > 1:
        around[quantization["quantized_dimension"]] = len(scales)
    real: NDArray[Any] = (values.astype(np.float32) - zeros.reshape(around)) * scales.reshape(around)
    return real


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Describe a file, and write what its operations give for one film.

    Args:
        request: artefact; images (.npy, uint8 [1, 224, 224]); out (.npz, by operation); xnnpack.
    """
    [model_input] = np.load(request["images"], allow_pickle=False)
    opened = Opened(request["artefact"], xnnpack=request["xnnpack"])
    opened.answer(model_input)
    operations = opened.describe()
    kept = {one.key for one in operations if one.glue is None}
    rows = {str(one["index"]): opened.read(one) for one in opened.operations if str(one["index"]) in kept}
    np.savez(request["out"], allow_pickle=False, **rows)
    served = TFLiteModel(Path(request["artefact"]), threads=1, xnnpack=request["xnnpack"])
    logits = served.predict(as_model_input(model_input[None])).logits
    as_served = np.array_equal(logits, opened.output("logits"))
    return {"operations": [asdict(one) for one in operations], "as_served": as_served}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Sum up how far operations are from their nodes, over films.

    Args:
        request: artefact; images (.npy); folder (0.npz and so on, as the ONNX runner wrote them);
            pairs (operation -> name in these files); out (.npz); xnnpack.
    """
    model_inputs = np.load(request["images"], allow_pickle=False)
    opened, pairs = Opened(request["artefact"], xnnpack=request["xnnpack"]), request["pairs"]
    sums: dict[str, Sums] = {}
    for index, model_input in enumerate(model_inputs):
        opened.answer(model_input)
        with np.load(Path(request["folder"]) / f"{index}.npz", allow_pickle=False) as reference:
            for key, rows in _rows(opened, pairs):
                sums[key] = sums.get(key, Sums.none(rows.shape[1])).add(reference[pairs[key]], rows)
    np.savez(request["out"], allow_pickle=False, **{key: one.stacked() for key, one in sums.items()})
    return {"films": len(model_inputs)}


def _rows(opened: Opened, pairs: dict[str, str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for one in opened.operations:
        if str(one["index"]) in pairs:
            yield str(one["index"]), opened.read(one)


class Traced:
    """A file in the form in which `convert.layerwise.trace_worker` looks at every format."""

    def __init__(self, path: str) -> None:
        self._opened = Opened(path, xnnpack=True)

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by operation."""
        self._opened.answer(model_input)
        return {str(one["index"]): self._opened.read(one) for one in self._opened.operations}

    def graph(self) -> LayerGraph:
        """Return the operations; a film must have run."""
        return LayerGraph(tuple(self._opened.describe()))


def compare(request: dict[str, Any]) -> dict[str, Any]:
    """Judge a file; request: artefact, like (the float32 file, or null), and what `trace_worker.look` reads."""

    def match(nodes: LayerGraph, file: LayerGraph, reference: Tensors, tensors: Tensors) -> list[Match]:
        if request["like"] is None:
            return match_graphs(nodes, file, reference, tensors)
        like = Traced(request["like"])  # as `verify --layers` does: its tensors confirm what a noisy file's cannot
        model_input = np.load(Path(request["reference"]) / "films.npy", allow_pickle=False)[0]
        model, known = like.answer(model_input), like.graph()
        taken = match_like(match_graphs(nodes, known, reference, model), known, file)
        return match_graphs(nodes, file, reference, tensors) if taken is None else taken

    return look(request, Traced(request["artefact"]), match=match)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Judge a file against a reference, or measure the noise of its operations, or list them."""
    if "reference" in request:
        return compare(request)
    return measure(request) if "pairs" in request else probe(request)
