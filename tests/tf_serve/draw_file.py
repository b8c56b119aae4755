"""TFLite files of a few operations, written from the schema: right ones, and wrong ones that no converter writes."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tf_serve.runtime.structure import _TYPES, OPERATIONS

CODES = {operation.name: code for code, operation in OPERATIONS.items()}
TYPES = {dtype: code for code, dtype in _TYPES.items()}
SIDE = 8


class Graph:
    """A graph that answers RELU(image), float32 [1, 8, 8, 1], beside whatever is added to it."""

    def __init__(self):
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes, self.model.buffers = 3, [], [buffer(None)]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.image = self.input((1, SIDE, SIDE, 1))
        self.answer = self.output(self.operation("RELU", [self.image], self.tensor((1, SIDE, SIDE, 1), "float32")))
        self.model.subgraphs = [self.graph]

    def tensor(self, shape, dtype, values=None, grid=None):
        """Add a tensor, a constant where values are given; its number.

        Args:
            shape: of it.
            dtype: of it.
            values: of a constant.
            grid: scale and zero point.
        """
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = list(shape), TYPES[dtype], f"t{len(self.graph.tensors)}".encode()
        if values is not None:
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer(np.asarray(values, dtype).tobytes()))
        if grid is not None:
            found = tensor.quantization = schema.QuantizationParametersT()
            found.scale, found.zeroPoint = np.array(grid[:1], np.float32), np.array(grid[1:], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values, dtype="int32"):
        """Add a constant; its number."""
        return self.tensor(np.shape(values), dtype, values)

    def input(self, shape, dtype="float32", grid=None):
        """Add a tensor that the graph takes; its number."""
        self.graph.inputs.append(self.tensor(shape, dtype, grid=grid))
        return self.graph.inputs[-1]

    def output(self, number):
        """Have the graph answer with a tensor."""
        self.graph.outputs.append(number)
        return number

    def operation(self, name, inputs, output, *, bare=False, **options):
        """Add an operation.

        Args:
            name: of it.
            inputs: numbers of the tensors that it reads.
            output: number of the one that it writes.
            bare: leave out its table of options.
            options: those that are named; the others have the schema's defaults.

        Returns:
            The number of its output.
        """
        code, one = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode, code.version = CODES[name], 1
        code.deprecatedBuiltinCode = min(127, code.builtinCode)
        one.opcodeIndex, one.inputs, one.outputs = len(self.model.operatorCodes), list(inputs), [output]
        kind = None if bare else OPERATIONS[CODES[name]].options
        if kind:
            one.builtinOptionsType = kind[0]
            one.builtinOptions = getattr(schema, f"{kind[1]}T")()
            for key, value in options.items():
                assert hasattr(one.builtinOptions, key), key
                setattr(one.builtinOptions, key, value)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(one)
        return output

    def bytes(self):
        """Return the file."""
        signature = schema.SignatureDefT()
        signature.inputs = [named("image", number) for number in self.graph.inputs]
        signature.outputs = [named("answer", number) for number in self.graph.outputs]
        signature.signatureKey = b"serving_default"
        self.model.signatureDefs = [signature]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def named(name, number):
    one = schema.TensorMapT()
    one.name, one.tensorIndex = f"{name}{number}".encode(), number
    return one


def buffer(data):
    one = schema.BufferT()
    one.data = None if data is None else np.frombuffer(data, np.uint8)
    return one
