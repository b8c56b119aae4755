"""ONNX -> ONNX whose weights went through float16: what float16 costs by itself, computed in float32.

The float16 TFLite stores folded constants, so folding comes first and is the one that TensorFlow's converter
does; what is left between the two files is then the runtime, not the format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_graph import load_onnx

FRAMEWORK = "litert"

Floats = NDArray[np.float32]


def round_onnx(request: dict[str, Any]) -> dict[str, Any]:
    """Fold, round and write; request: onnx, out."""
    model = load_onnx(Path(request["onnx"]))
    graph = Folding(model.graph)
    graph.fold_normalisation()
    graph.fold_batch_norms()
    graph.fold_calibration()
    rounded = graph.round()
    graph.store()
    onnx.save(model, str(Path(request["out"])))
    return {"converter": f"onnx {onnx.__version__}, {rounded} constants through float16"}


class Folding:
    """A graph whose constants are replaced one by one."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def fold_normalisation(self) -> None:
        """Divide by a constant as Keras and TFLite do: multiply with its inverse."""
        for node in self._graph.node:
            if node.op_type == "Div" and node.input[1] in self._constants:
                node.op_type = "Mul"
                node.input[1] = self._store(f"{node.name}.inverse", 1 / self._constants[node.input[1]])

    def fold_batch_norms(self) -> None:
        """Fold BatchNorm into the convolution before it or the dense layer behind it.

        In the evidence path, whose rows are places, TFLite keeps it as a product and a sum.
        """
        for node in [one for one in self._graph.node if one.op_type == "BatchNormalization"]:
            scale, shift = self._affine(node)
            before, behind = self._maker(node.input[0]), self._readers(node.output[0])
            if before is not None and before.op_type == "Conv":
                self._into_convolution(node, before, scale, shift)
            elif before is not None and before.op_type != "Reshape" and [one.op_type for one in behind] == ["Gemm"]:
                self._into_dense(node, behind[0], scale, shift)
            else:
                self._keep_apart(node, scale, shift)

    def fold_calibration(self) -> None:
        """Fold slope and offset of the probability into the dense layer before them."""
        for node in [one for one in self._graph.node if one.op_type == "Sigmoid"]:
            add = self._maker(node.input[0])
            mul = None if add is None else self._maker(add.input[0])
            dense = None if mul is None else self._maker(mul.input[0])
            if add is None or mul is None or dense is None or (mul.op_type, dense.op_type) != ("Mul", "Gemm"):
                continue
            slope, offset = self._constants[mul.input[1]], self._constants[add.input[1]]
            weight, bias = (self._constants[name] for name in dense.input[1:3])
            dense.input[1] = self._store(f"{dense.name}.calibrated", weight * slope)
            dense.input[2] = self._store(f"{dense.name}.calibrated_bias", bias * slope + offset)
            node.input[0] = dense.output[0]
            self._graph.node.remove(mul)
            self._graph.node.remove(add)

    def round(self) -> int:
        """Take every float32 constant that is still read through float16; return how many."""
        floats = [name for name in self._read() if self._constants[name].dtype == np.float32]
        for name in floats:
            self._constants[name] = self._constants[name].astype(np.float16).astype(np.float32)
        return len(floats)

    def store(self) -> None:
        """Write the constants that are still read back into the graph."""
        del self._graph.initializer[:]
        for name in self._read():
            self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(self._constants[name]), name))

    def _read(self) -> list[str]:
        read = {name for node in self._graph.node for name in node.input}
        return [name for name in self._constants if name in read]

    def _affine(self, node: Any) -> tuple[Floats, Floats]:
        gamma, beta, mean, variance = (self._constants[name] for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        scale = (gamma / np.sqrt(variance + np.float32(epsilon))).astype(np.float32)
        return scale, (beta - mean * scale).astype(np.float32)

    def _into_convolution(self, node: Any, conv: Any, scale: Floats, shift: Floats) -> None:
        if len(conv.input) > 2:
            shift = shift + self._constants[conv.input[2]] * scale
            conv.input.pop()
        weight = self._constants[conv.input[1]] * scale[:, None, None, None]
        conv.input[1] = self._store(f"{conv.name}.folded", weight)
        conv.input.append(self._store(f"{conv.name}.folded_bias", shift))
        conv.output[0] = node.output[0]
        self._graph.node.remove(node)

    def _into_dense(self, node: Any, dense: Any, scale: Floats, shift: Floats) -> None:
        weight, bias = (self._constants[name] for name in dense.input[1:3])  # [out, in]: torch exports transB = 1
        dense.input[1] = self._store(f"{dense.name}.folded", weight * scale[None, :])
        dense.input[2] = self._store(f"{dense.name}.folded_bias", bias + weight @ shift)
        dense.input[0] = node.input[0]
        self._graph.node.remove(node)

    def _keep_apart(self, node: Any, scale: Floats, shift: Floats) -> None:
        numbers = {"scale": scale, "shift": shift, "mean": 0 * scale, "variance": 0 * scale + 1}
        for index, (name, array) in enumerate(numbers.items(), start=1):
            node.input[index] = self._store(f"{node.name}.{name}", array)
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = 0.0  # it is in the scale already

    def _store(self, name: str, array: NDArray[Any]) -> str:
        self._constants[name] = np.asarray(array, np.float32)
        return name

    def _maker(self, name: str) -> Any:
        return next((node for node in self._graph.node if name in node.output), None)

    def _readers(self, name: str) -> list[Any]:
        return [node for node in self._graph.node if name in node.input]
