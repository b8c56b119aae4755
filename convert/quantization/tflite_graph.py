"""The operators of a TFLite file by name, shape and stored numbers; numbers are edited in place, never repacked.

Packing 100 MB through flatbuffers' object API takes seconds and loses the alignment of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

OUTPUTS, OPERATORS = 2, 3  # fields of a subgraph (schema.fbs)
_CODES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: what it is, what it reads and its first output."""

    kind: str  # CONV_2D, ADD, ...
    names: tuple[str, ...]  # Keras layers that are fused in it; the layers are named after ONNX nodes
    output: str  # name of the output tensor
    inputs: tuple[int, ...]  # indices of tensors; -1 where one is left out
    index: int  # of the output tensor
    rank: int


class TFLiteGraph:
    """The main subgraph of a file held as a bytearray."""

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self._model = schema.Model.GetRootAsModel(data, 0)
        self._graph = self._model.Subgraphs(0)
        self.operators = tuple(self._operator(index) for index in range(self._graph.OperatorsLength()))

    def range_of(self, tensor: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Return the calibrated minimum and maximum of a tensor, [1] each, writable; None where it has none."""
        quantization = self._graph.Tensors(tensor).Quantization()
        if quantization is None or quantization.MinIsNone() or quantization.MaxIsNone():
            return None
        return quantization.MinAsNumpy(), quantization.MaxAsNumpy()

    def scale_of(self, tensor: int) -> NDArray[np.float32]:
        """Return the scales of a quantized tensor, [1] or one a channel."""
        scale: NDArray[np.float32] = self._graph.Tensors(tensor).Quantization().ScaleAsNumpy()
        return scale

    def int32_of(self, tensor: int) -> NDArray[np.int32] | None:
        """Return the stored int32 numbers of a tensor, writable; None where it stores none or shares them."""
        found = self._graph.Tensors(tensor)
        shared = [i for i in range(self._graph.TensorsLength()) if self._graph.Tensors(i).Buffer() == found.Buffer()]
        if found.Type() != schema.TensorType.INT32 or len(shared) > 1:
            return None
        stored = self._model.Buffers(found.Buffer()).DataAsNumpy()
        return stored.view(np.int32) if isinstance(stored, np.ndarray) else None

    def is_int8(self, tensor: int) -> bool:
        """Whether a tensor holds int8."""
        return bool(self._graph.Tensors(tensor).Type() == schema.TensorType.INT8)

    def until(self, tensor: int) -> bytes:
        """Return a copy of the file that ends with the operator that gives a tensor, its only output then."""
        table, cut = self._graph._tab, bytearray(self.data)
        last = next(index for index, operator in enumerate(self.operators) if operator.index == tensor)
        outputs, operators = (table.Vector(table.Offset(4 + 2 * field)) for field in (OUTPUTS, OPERATORS))
        for place, number in ((outputs - 4, 1), (outputs, tensor), (operators - 4, last + 1)):  # lengths stand before
            cut[place : place + 4] = number.to_bytes(4, "little")
        return bytes(cut)

    def _operator(self, index: int) -> Operator:
        operator = self._graph.Operators(index)
        code: Any = self._model.OperatorCodes(operator.OpcodeIndex())
        output = operator.Outputs(0)
        tensor = self._graph.Tensors(output)
        name = tensor.Name().decode()
        kind = _CODES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = tuple(int(i) for i in operator.InputsAsNumpy())
        return Operator(kind, _layers(name), name, inputs, output, tensor.ShapeLength())


def _layers(name: str) -> tuple[str, ...]:
    """Return the layers of a fused name such as `tbconv_1/body.bn1_1/batchnorm/add_1;tbconv_1/body.conv1_1/...`."""
    parts = [part.split("/") for part in name.split(";") if part]
    return tuple(part[1] if len(part) > 1 else part[0] for part in parts)
