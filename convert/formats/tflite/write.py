"""ONNX -> TFLite without TensorFlow: float32, float16, dynamic range and int8, straight from the graph's own numbers.

Weights are folded in float64 (convert.formats.tflite.plain) and rounded once. The batch is one film, every shape is
fixed, and the same graph gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.formats.onnx_graph import read_graph
from convert.formats.ops.choose import MOST_CHOSEN, MOST_COMPARED
from convert.formats.tflite.int8 import GREY, LEAST, MOST, Grid, Scheme
from convert.formats.tflite.needs import ENTRY, OPERATORS, Needs, needs_of, operator_version, stated_bytes
from convert.formats.tflite.plain import Operation, Plain, Tensor, simplify, to_plain
from tbconv.contract import __version__
from tbconv.contract.errors import ConversionError

FRAMEWORK = "litert"

PRECISIONS = ("float32", "float16", "dynamic")
SIGNATURE = "serving_default"
DESCRIPTION = "tbconv"
ALIGNMENT = 16  # bytes to which schema.fbs aligns the data of a buffer
IDENTIFIER = b"TFL3"
VERSION = 3  # of the schema
LARGEST_HALF = 65520.0  # from here on float16 rounds to infinity: such weights stay float32
LEAST_REDUCED = 1024  # weights below it stay float32, as TensorFlow's converter leaves them
NO_ACTIVATION, RELU, RELU6 = 0, 1, 3  # ActivationFunctionType
SAME, VALID = 0, 1  # Padding
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
Codes = schema.BuiltinOperator


def onnx_to_tflite(request: dict[str, Any]) -> dict[str, Any]:
    """Write a file of each precision asked for.

    Args:
        request: onnx; and by precision where to write the file.

    Raises:
        ConversionError: operations, or ways to use them, that are not known here.
    """
    plain = simplify(to_plain(read_graph(Path(request["onnx"]))))
    for precision in PRECISIONS:
        if precision in request:
            Path(request[precision]).write_bytes(write_tflite(plain, precision))
    return {"converter": f"tbconv {__version__} onnx_to_tflite"}


def write_tflite(plain: Plain, precision: str, scheme: Scheme | None = None) -> bytes:
    """Return a network as a file.

    Args:
        plain: the network, simplified or not.
        precision: float32; float16: weights in float16, of which the runtime makes float32; dynamic: large weights
            in int8 with a scale a channel, activations in float32; int8: as the scheme says, uint8 in where the image
            holds grey levels, and float32 out, or integers at both ends.
        scheme: of int8; grids for whatever its operations read or give.
    """
    if (precision == "int8") != (scheme is not None):
        raise ValueError(f"{precision} and a scheme of int8: one without the other")
    writer = _Writer(precision, scheme or Scheme(frozenset(), {}))
    writer.input(plain.image)
    for operation in plain.operations:
        writer.begin(operation)
        RULES[operation.kind](writer, operation)
    return writer.finish(plain)


Layout = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A constant, as it stands in the file."""

    values: NDArray[Any]
    scale: NDArray[Any] | None = None  # float32, of int8, one a channel
    axis: int = 0


class _Writer:
    """The tables of a file in the making: tensors, operators, and the numbers that they store."""

    def __init__(self, precision: str, scheme: Scheme) -> None:
        self._precision, self._scheme = precision, scheme
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[int, int], int] = {}
        self._buffers: list[bytes] = [b""]
        self._known: dict[bytes, int] = {}  # equal numbers are stored once
        self._places: dict[tuple[str, Grid | None], int] = {}  # of tensors by name; in float32 without a grid
        self._given: dict[str, int] = {}  # what the network gives, by name
        self.integer = False  # whether the operation in work computes in int8

    def begin(self, operation: Operation) -> None:
        """Turn to an operation."""
        self.integer = operation.output.name in self._scheme.integer

    # --- tensors ---

    def input(self, tensor: Tensor) -> None:
        """Add the network's input: grey levels as uint8 or int8 in an int8 file, else float32."""
        grey, signed = self._scheme.grids.get(tensor.name) == GREY, self._scheme.io == "int8"
        kind = (np.int8 if signed else np.uint8) if grey else np.float32
        number = self._tensor(tensor.name, (1, *tensor.sizes), np.dtype(kind))
        if grey and signed:
            self._on_grid(number, GREY)
            self._places[tensor.name, GREY] = number
        elif grey:
            self._on_grid(number, Grid(1.0, 0))
            self._places[tensor.name, Grid(1.0, 0)] = number
        else:
            self._places[tensor.name, None] = number

    def place(self, tensor: Tensor, grid: Grid | None = None) -> int:
        """Return the index of a tensor that was made before, as the operation in work reads it.

        Args:
            tensor: it.
            grid: on which it is wanted; None for its own.
        """
        wanted = (grid or self._scheme.grids[tensor.name]) if self.integer else None
        if (tensor.name, wanted) not in self._places:
            self._convert(tensor, wanted)
        return self._places[tensor.name, wanted]

    def _convert(self, tensor: Tensor, wanted: Grid | None) -> None:
        """Read a tensor off its grid, or put it on one."""
        given = next(number for (name, _), number in self._places.items() if name == tensor.name)
        of_int8 = self._tensors[given].type == schema.TensorType.INT8
        suffix = "float" if wanted is None else "joined" if of_int8 else "int8"
        name = f"{self._tensors[given].name.decode()}/{suffix}"
        names = {one.name.decode() for one in self._tensors}
        name = next(one for one in (name, *(f"{name}:{number}" for number in range(2, 99))) if one not in names)
        made = self._tensor(name, (1, *tensor.sizes), np.dtype(np.float32 if wanted is None else np.int8))
        if wanted is None:
            self.operator(Codes.DEQUANTIZE, [given], made)
        else:
            self._on_grid(made, wanted)
            self.operator(Codes.QUANTIZE, [given], made)
        self._places[tensor.name, wanted] = made

    def _on_grid(self, number: int, grid: Grid) -> None:
        found = self._tensors[number].quantization = schema.QuantizationParametersT()
        found.scale, found.zeroPoint = np.array([grid.scale], np.float32), np.array([grid.zero], np.int64)

    def inner(self, operation: Operation, suffix: str, sizes: Sequence[int] | None = None) -> int:
        """Add a tensor between two operators that stand for one operation; these compute in float32."""
        name = f"{';'.join(operation.names)}/{suffix}"
        return self._tensor(name, (1, *(operation.output.sizes if sizes is None else sizes)), np.dtype(np.float32))

    def output(self, operation: Operation) -> int:
        """Add the tensor that an operation gives, named after all nodes whose work it does."""
        tensor = operation.output
        grid = self._scheme.grids[tensor.name] if self.integer else None
        dtype = np.dtype(np.int8 if grid else tensor.dtype)
        number = self._tensor(";".join(operation.names), (1, *tensor.sizes), dtype)
        if grid:
            self._on_grid(number, grid)
        self._places[tensor.name, grid] = number
        return number

    def grid(self, tensor: Tensor) -> Grid | None:
        """Return on which grid the operation in work reads or gives a tensor."""
        return self._scheme.grids[tensor.name] if self.integer else None

    def constant(self, name: str, values: NDArray[Any], dtype: type = np.float32) -> int:
        """Add stored numbers, rounded to `dtype`."""
        return self._store(name, _Stored(np.ascontiguousarray(values, dtype)))

    def factor(self, name: str, values: NDArray[np.float64]) -> int:
        """Add numbers that tensors are multiplied by: in int8 the largest is 127 steps."""
        if not self.integer:
            return self.constant(name, values)
        scale = np.float32((np.abs(values).max(initial=0) or 1.0) / MOST)
        steps = np.ascontiguousarray(np.rint(values / float(scale)).clip(-MOST, MOST), np.int8)
        return self._store(name, _Stored(steps, scale.reshape(1)))

    def weights(self, operation: Operation, layout: Layout, axis: int) -> tuple[int, int]:
        """Add weights and bias of an operation at the file's precision.

        Args:
            operation: it.
            layout: turns its kernel as TFLite wants it.
            axis: of the outputs, of the kernel as TFLite wants it.
        """
        name, kernel = operation.names[-1], operation.arrays["kernel"]
        bias = operation.arrays.get("bias", np.zeros(operation.output.sizes[-1]))
        if self.integer:
            steps, source = self._scheme.steps[operation.output.name], self._scheme.grids[operation.inputs[0].name]
            stored = _Stored(np.ascontiguousarray(layout(steps.values)), steps.scale, axis)
            scale = (source.scale * steps.scale.astype(np.float64)).astype(np.float32)
            sums = _Stored(self._scheme.biases(operation), scale)
            return self._store(f"{name}.weight", stored), self._store(f"{name}.bias", sums)
        weights, half = layout(kernel), self._is_half(kernel)
        if half and self._precision == "int8" and operation.kind == "dense":
            return self._eighth(f"{name}.weight", weights, axis), self.constant(f"{name}.bias", bias)
        return (
            self._half(f"{name}.weight", weights) if half else self._reduced(f"{name}.weight", weights, axis),
            # XNNPACK takes weights in float16 only where the bias is, too (82 ms a film instead of 245)
            self._half(f"{name}.bias", bias) if half and fits_half(bias) else self.constant(f"{name}.bias", bias),
        )

    def _reduced(self, name: str, values: NDArray[np.float64], axis: int) -> int:
        if self._precision == "dynamic" and values.size >= LEAST_REDUCED:
            return self._store(name, to_int8(values, axis))
        return self.constant(name, values)

    def _is_half(self, values: NDArray[np.float64]) -> bool:
        """Return whether weights are stored in float16; small ones, such as a calibration's slope, cost nothing.

        So are those that an int8 file keeps in float: half the bytes, for a thousandth of int8's own noise.
        """
        return self._precision in ("float16", "int8") and values.size >= LEAST_REDUCED and fits_half(values)

    def _half(self, name: str, values: NDArray[np.float64]) -> int:
        half = self._store(f"{name}/half", _Stored(np.ascontiguousarray(values, np.float16)))
        whole = self._tensor(name, values.shape, np.dtype(np.float32))
        return self.operator(Codes.DEQUANTIZE, [half], whole)

    def _eighth(self, name: str, values: NDArray[np.float64], axis: int) -> int:
        """Add weights of a dense layer that computes in float32: int8 in the file, of which the runtime makes float32.

        A third of a MobileNetV2 in int8 was its head in float16. That these are rounded to int8 moves the margins near
        the threshold by 0.001 and 0.002 on two networks, what integers before them do by 0.1 and 0.2 (docs/log.md).
        """
        eighth = self._store(f"{name}/int8", to_int8(values, axis))
        whole = self._tensor(name, values.shape, np.dtype(np.float32))
        return self.operator(Codes.DEQUANTIZE, [eighth], whole)

    def _store(self, name: str, stored: _Stored) -> int:
        number = self._tensor(name, stored.values.shape, stored.values.dtype)
        data = stored.values.tobytes()
        if data not in self._known:
            self._known[data] = len(self._buffers)
            self._buffers.append(data)
        self._tensors[number].buffer = self._known[data]
        if stored.scale is not None:
            found = self._tensors[number].quantization = schema.QuantizationParametersT()
            found.scale, found.zeroPoint = stored.scale, np.zeros(len(stored.scale), np.int64)
            found.quantizedDimension = stored.axis
        return number

    def _tensor(self, name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), np.array(shape, np.int32), TYPES[dtype], 0
        self._tensors.append(made)
        return len(self._tensors) - 1

    # --- operators ---

    def operator(self, code: int, inputs: Sequence[int], output: int, options: Any = None) -> int:
        """Add an operator and return its output; the kind of its options is that of their class."""
        version = operator_version(code, [self._tensors[one] for one in inputs], self._tensors[output], options)
        made = schema.OperatorT()
        made.opcodeIndex = self._codes.setdefault((code, version), len(self._codes))
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(made)
        return output

    # --- file ---

    def finish(self, plain: Plain) -> bytes:
        """Return the file."""
        self._given = {name: self._give(name, one) for name, one in plain.outputs.items()}
        size = sum(map(len, self._buffers))
        if size >= 1 << 31:
            raise ConversionError(
                f"the network's numbers take {size / 1e9:.1f} GB",
                why="a TFLite file holds 2 GB at most",
                fix="choose a smaller network, or ship model.onnx",
            )
        builder = _Sharing(size + (1 << 20))
        buffers = [_buffer(builder, data) for data in (*self._buffers, stated_bytes(self._needs().runtime))]
        parts = {
            "Buffers": _vector(builder, buffers),
            "OperatorCodes": _vector(builder, [_code(builder, *one) for one in self._codes]),
            "Subgraphs": _vector(builder, [self._subgraph().Pack(builder)]),
            "SignatureDefs": _vector(builder, [self._signature(plain).Pack(builder)]),
            "Description": builder.CreateString(DESCRIPTION),
            "Metadata": _vector(builder, [_entry(builder, ENTRY, len(self._buffers))]),
        }
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, VERSION)
        for name, at in parts.items():
            getattr(schema, f"ModelAdd{name}")(builder, at)
        builder.Finish(schema.ModelEnd(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _give(self, name: str, tensor: Tensor) -> int:
        """Return the index of what the network gives, as the scheme wants it."""
        self.integer = False
        if self._scheme.io == "float32":
            return self.place(tensor)
        grid = self._scheme.grids[tensor.name] if tensor.name in self._scheme.integer else self._scheme.outputs[name]
        if (tensor.name, grid) not in self._places:
            self._convert(tensor, grid)
        signed = self._places[tensor.name, grid]
        if self._scheme.io == "int8":
            return signed
        made = self._tensor(f"{name}/uint8", (1, *tensor.sizes), np.dtype(np.uint8))
        self._on_grid(made, Grid(grid.scale, grid.zero - LEAST))
        return self.operator(Codes.QUANTIZE, [signed], made)

    def _needs(self) -> Needs:
        """Return what the operators so far need of a runtime."""
        versions = dict[str, int]()
        for code, version in self._codes:
            versions[OPERATORS[code]] = max(version, versions.get(OPERATORS[code], 1))
        return needs_of(versions)

    def _subgraph(self) -> Any:
        made = schema.SubGraphT()
        made.name, made.tensors, made.operators = b"main", self._tensors, self._operators
        made.inputs = np.array([0], np.int32)
        made.outputs = np.array(list(self._given.values()), np.int32)
        return made

    def _signature(self, plain: Plain) -> Any:
        made = schema.SignatureDefT()
        made.signatureKey, made.subgraphIndex = SIGNATURE.encode(), 0
        made.inputs = [_named(plain.image.name, 0)]  # the first tensor
        made.outputs = [_named(name, number) for name, number in self._given.items()]
        return made


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]  # it has no types
    """A builder that writes equal vectors once: zero points are eight bytes a channel, 6 % of a MobileNetV2 in int8."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802  (flatbuffers' name)
        """Write a vector of numbers, or return where an equal one stands."""
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def _named(name: str, tensor: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name.encode(), tensor
    return made


def _buffer(builder: Any, data: bytes) -> int:
    """Write a buffer whose numbers lie as schema.fbs wants them; the object API of flatbuffers leaves that out."""
    at = None
    if data:
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        at = builder.EndVector()
    schema.BufferStart(builder)
    if at is not None:
        schema.BufferAddData(builder, at)
    return int(schema.BufferEnd(builder))


def _code(builder: Any, code: int, version: int) -> int:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), version
    return int(made.Pack(builder))


def _entry(builder: Any, name: str, buffer: int) -> int:
    made = schema.MetadataT()
    made.name, made.buffer = name.encode(), buffer
    return int(made.Pack(builder))


def _vector(builder: Any, places: Sequence[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):  # a flatbuffer grows from its end
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def fits_half(values: NDArray[np.float64]) -> bool:
    """Return whether float16 holds every number."""
    return bool(np.abs(values).max(initial=0) < LARGEST_HALF)


def to_int8(values: NDArray[np.float64], axis: int) -> _Stored:
    """Return weights as int8 -127..127 with a scale a channel: the largest of each is exact to half a step."""
    others = tuple(one for one in range(values.ndim) if one != axis)
    most = np.abs(values).max(axis=others, keepdims=True)
    scale = (np.where(most > 0, most, 1.0) / 127).astype(np.float32)
    steps = np.clip(np.rint(values / scale.astype(np.float64)), -127, 127).astype(np.int8)
    return _Stored(np.ascontiguousarray(steps), scale.reshape(-1), axis)


# --- rules ---
# An operation each, as operators.

Rule = Callable[[_Writer, Operation], object]


def _kernel_of_conv(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.transpose(3, 0, 1, 2)


def _kernel_of_depthwise(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.reshape(1, *kernel.shape[:2], kernel.shape[2] * kernel.shape[3])


def _kernel_of_dense(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.T


def _activation(operation: Operation) -> int:
    most = operation.options.get("most")
    return NO_ACTIVATION if most is None else RELU6 if most == 6 else RELU


def _one(code: int, options: Callable[[], Any] | None = None) -> Rule:
    """Return the rule of an operation that is one operator with fixed options."""

    def rule(writer: _Writer, operation: Operation) -> None:
        inputs = [writer.place(one) for one in operation.inputs]
        writer.operator(code, inputs, writer.output(operation), options() if options else None)

    return rule


def _conv(writer: _Writer, operation: Operation) -> None:
    given, options = operation.options, schema.Conv2DOptionsT()
    options.padding = SAME if given.get("same") else VALID
    options.strideH, options.strideW = given["strides"]
    options.dilationHFactor, options.dilationWFactor = given["dilations"]
    options.fusedActivationFunction = _activation(operation)
    _weighted(writer, operation, Codes.CONV_2D, _kernel_of_conv, 0, options)


def _depthwise(writer: _Writer, operation: Operation) -> None:
    kernel, given = operation.arrays["kernel"], operation.options
    options = schema.DepthwiseConv2DOptionsT()
    options.padding = SAME if given.get("same") else VALID
    options.strideH, options.strideW = given["strides"]
    options.dilationHFactor, options.dilationWFactor = given["dilations"]
    options.depthMultiplier = kernel.shape[3]
    options.fusedActivationFunction = _activation(operation)
    _weighted(writer, operation, Codes.DEPTHWISE_CONV_2D, _kernel_of_depthwise, 3, options)


def _dense(writer: _Writer, operation: Operation) -> None:
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = _activation(operation)
    options.keepNumDims = len(operation.output.sizes) > 1
    _weighted(writer, operation, Codes.FULLY_CONNECTED, _kernel_of_dense, 0, options)


def _weighted(writer: _Writer, operation: Operation, code: int, layout: Layout, axis: int, options: Any) -> None:
    inputs = [writer.place(operation.inputs[0]), *writer.weights(operation, layout, axis)]
    writer.operator(code, inputs, writer.output(operation), options)


def _affine(writer: _Writer, operation: Operation) -> None:
    """Multiply, then add; what changes nothing is left out."""
    scale, offset, last = operation.arrays["scale"], operation.arrays["offset"], writer.place(operation.inputs[0])
    name, adds = operation.names[-1], bool(np.any(offset))
    if np.any(scale != 1) or not adds:
        multiply = schema.MulOptionsT()
        multiply.fusedActivationFunction = NO_ACTIVATION if adds else _activation(operation)
        made = writer.inner(operation, "mul") if adds else writer.output(operation)
        last = writer.operator(Codes.MUL, [last, writer.constant(f"{name}.scale", _vector_of(scale))], made, multiply)
    if adds:
        add = schema.AddOptionsT()
        add.fusedActivationFunction = _activation(operation)
        inputs = [last, writer.constant(f"{name}.offset", _vector_of(offset))]
        writer.operator(Codes.ADD, inputs, writer.output(operation), add)


def _vector_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(-1)


def _times(writer: _Writer, operation: Operation) -> None:
    factor = writer.factor(f"{operation.names[-1]}.factor", operation.arrays["factor"])
    inputs = [writer.place(operation.inputs[0]), factor]
    writer.operator(Codes.MUL, inputs, writer.output(operation), schema.MulOptionsT())


def _plus(writer: _Writer, operation: Operation) -> None:
    addend = writer.constant(f"{operation.names[-1]}.addend", operation.arrays["addend"])
    inputs = [writer.place(operation.inputs[0]), addend]
    writer.operator(Codes.ADD, inputs, writer.output(operation), schema.AddOptionsT())


def _combined(code: int, kind: Callable[[], Any]) -> Rule:
    def rule(writer: _Writer, operation: Operation) -> None:
        options = kind()
        options.fusedActivationFunction = _activation(operation)
        writer.operator(code, [writer.place(one) for one in operation.inputs], writer.output(operation), options)

    return rule


def _relu(writer: _Writer, operation: Operation) -> None:
    most, last = operation.options["most"], writer.place(operation.inputs[0])
    if most in (math.inf, 6.0) or writer.integer:  # the grid of int8 ends at the bound
        writer.operator(Codes.RELU6 if most == 6 else Codes.RELU, [last], writer.output(operation))
        return
    last = writer.operator(Codes.RELU, [last], writer.inner(operation, "relu"))
    _end(writer, operation, last, most, writer.output(operation))


def _end(
    writer: _Writer, operation: Operation, tensor: int, bound: float, made: int, *, code: int = Codes.MINIMUM
) -> int:
    one = math.prod(operation.output.sizes) == 1  # of which XNNPACK would lose the axes
    # one number above zero XNNPACK makes part of a convolution before it, which it then can't prepare; no row of them
    row = (operation.output.sizes[-1],) if code == Codes.MAXIMUM and bound > 0 else (1,)
    sizes = (1,) * (len(operation.output.sizes) + 1) if one else row
    inputs = [
        tensor,
        writer.constant(f"{operation.names[-1]}.{'most' if code == Codes.MINIMUM else 'least'}", np.full(sizes, bound)),
    ]
    return writer.operator(code, inputs, made, schema.MaximumMinimumOptionsT())


def _clip(writer: _Writer, operation: Operation) -> None:
    low, high = (operation.options[end] for end in ("low", "high"))
    last = writer.place(operation.inputs[0])
    if math.isfinite(low):
        made = writer.inner(operation, "least") if math.isfinite(high) else writer.output(operation)
        last = _end(writer, operation, last, low, made, code=Codes.MAXIMUM)
    if math.isfinite(high):
        _end(writer, operation, last, high, writer.output(operation))


def _hard_sigmoid(writer: _Writer, operation: Operation) -> None:
    """ReLU6(x + 3) / 6."""
    name, add = operation.names[-1], schema.AddOptionsT()
    add.fusedActivationFunction = RELU6
    inputs = [writer.place(operation.inputs[0]), writer.constant(f"{name}.offset", np.array([3.0]))]
    last = writer.operator(Codes.ADD, inputs, writer.inner(operation, "add"), add)
    inputs = [last, writer.constant(f"{name}.scale", np.array([1 / 6]))]
    writer.operator(Codes.MUL, inputs, writer.output(operation), schema.MulOptionsT())


def _leaky_relu(writer: _Writer, operation: Operation) -> None:
    options = schema.LeakyReluOptionsT()
    options.alpha = operation.options["slope"]
    writer.operator(Codes.LEAKY_RELU, [writer.place(operation.inputs[0])], writer.output(operation), options)


def _elu(writer: _Writer, operation: Operation) -> None:
    """LiteRT's ELU is that of alpha 1; another is ReLU(x) + alpha * min(ELU(x), 0)."""
    alpha, source = operation.options["alpha"], writer.place(operation.inputs[0])
    if alpha == 1:
        writer.operator(Codes.ELU, [source], writer.output(operation))
        return
    low = writer.operator(Codes.ELU, [source], writer.inner(operation, "elu"))
    low = _end(writer, operation, low, 0.0, writer.inner(operation, "low"))
    factor = writer.constant(f"{operation.names[-1]}.alpha", np.array([alpha]))
    low = writer.operator(Codes.MUL, [low, factor], writer.inner(operation, "scaled"), schema.MulOptionsT())
    high = writer.operator(Codes.RELU, [source], writer.inner(operation, "high"))
    writer.operator(Codes.ADD, [high, low], writer.output(operation), schema.AddOptionsT())


def _prelu(writer: _Writer, operation: Operation) -> None:
    slope = operation.arrays["slope"].reshape(*(1,) * (len(operation.output.sizes) - 1), -1)
    inputs = [writer.place(operation.inputs[0]), writer.constant(f"{operation.names[-1]}.slope", slope)]
    writer.operator(Codes.PRELU, inputs, writer.output(operation))


def _reciprocal(writer: _Writer, operation: Operation) -> None:
    inputs = [writer.constant(f"{operation.names[-1]}.one", np.array([1.0])), writer.place(operation.inputs[0])]
    writer.operator(Codes.DIV, inputs, writer.output(operation), schema.DivOptionsT())


def _power(writer: _Writer, operation: Operation) -> None:
    exponent = _stretched(operation, np.array(operation.options["exponent"]), MOST_COMPARED)
    inputs = [writer.place(operation.inputs[0]), writer.constant(f"{operation.names[-1]}.exponent", exponent)]
    writer.operator(Codes.POW, inputs, writer.output(operation), schema.PowOptionsT())


def _softplus(writer: _Writer, operation: Operation) -> None:
    """ReLU(x) + log(1 + exp(-|x|)), which no x takes beyond what float32 holds."""
    source, name = writer.place(operation.inputs[0]), operation.names[-1]
    last = writer.operator(Codes.ABS, [source], writer.inner(operation, "abs"), schema.AbsOptionsT())
    inputs = [last, writer.constant(f"{name}.minus", np.array([-1.0]))]
    last = writer.operator(Codes.MUL, inputs, writer.inner(operation, "turned"), schema.MulOptionsT())
    last = writer.operator(Codes.EXP, [last], writer.inner(operation, "exp"), schema.ExpOptionsT())
    inputs = [last, writer.constant(f"{name}.one", np.array([1.0]))]
    last = writer.operator(Codes.ADD, inputs, writer.inner(operation, "sum"), schema.AddOptionsT())
    last = writer.operator(Codes.LOG, [last], writer.inner(operation, "log"))
    high = writer.operator(Codes.RELU, [source], writer.inner(operation, "high"))
    writer.operator(Codes.ADD, [high, last], writer.output(operation), schema.AddOptionsT())


def _softmax(writer: _Writer, operation: Operation) -> None:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    writer.operator(Codes.SOFTMAX, [writer.place(operation.inputs[0])], writer.output(operation), options)


def _standardise(writer: _Writer, operation: Operation) -> None:
    """Multiply (x - mean) by 1 / sqrt(mean((x - mean)^2) + epsilon)."""
    name, axes = operation.names[-1], operation.options["axes"]
    sizes = [1 if axis in axes else size for axis, size in enumerate(operation.output.sizes, 1)]
    over, kept = writer.constant(f"{name}.axes", np.array(axes), np.int32), schema.ReducerOptionsT()
    kept.keepDims = True
    source, multiply = writer.place(operation.inputs[0]), schema.MulOptionsT
    mean = writer.operator(Codes.MEAN, [source, over], writer.inner(operation, "mean", sizes), kept)
    far = writer.operator(Codes.SUB, [source, mean], writer.inner(operation, "far"), schema.SubOptionsT())
    last = writer.operator(Codes.MUL, [far, far], writer.inner(operation, "square"), multiply())
    last = writer.operator(Codes.MEAN, [last, over], writer.inner(operation, "variance", sizes), kept)
    inputs = [last, writer.constant(f"{name}.epsilon", np.array([operation.options["epsilon"]]))]
    last = writer.operator(Codes.ADD, inputs, writer.inner(operation, "sum", sizes), schema.AddOptionsT())
    last = writer.operator(Codes.SQRT, [last], writer.inner(operation, "deviation", sizes))
    inputs = [writer.constant(f"{name}.one", np.array([1.0])), last]
    last = writer.operator(Codes.DIV, inputs, writer.inner(operation, "factor", sizes), schema.DivOptionsT())
    writer.operator(Codes.MUL, [far, last], writer.output(operation), multiply())


def _join(writer: _Writer, operation: Operation) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = operation.options["axis"]
    inputs = [writer.place(one, writer.grid(operation.output)) for one in operation.inputs]
    for key, numbers in operation.arrays.items():  # of a join with stored parts, in their order
        at, name = int(key.removeprefix("part")), f"{operation.names[-1]}.{key}"
        inputs.insert(at, writer.constant(name, numbers[None]))
    writer.operator(Codes.CONCATENATION, inputs, writer.output(operation), options)


def _cut(writer: _Writer, operation: Operation) -> None:
    (start, stop, step), axis = operation.options["places"], operation.options["axis"]
    begin, end, steps = np.zeros(len(operation.output.sizes) + 1), [1, *operation.inputs[0].sizes], [1] * 8
    begin[axis], end[axis], steps[axis] = start, stop, step
    rows = {"begin": begin, "end": np.array(end), "steps": np.array(steps[: len(end)])}
    stored = [writer.constant(f"{operation.names[-1]}.{name}", row, np.int32) for name, row in rows.items()]
    inputs = [writer.place(operation.inputs[0]), *stored]
    writer.operator(Codes.STRIDED_SLICE, inputs, writer.output(operation), schema.StridedSliceOptionsT())


def _border(writer: _Writer, operation: Operation) -> None:
    top, left, bottom, right = operation.options["around"]
    pads = np.array([[0, 0], [top, bottom], [left, right], [0, 0]])
    inputs = [writer.place(operation.inputs[0]), writer.constant(f"{operation.names[-1]}.pads", pads, np.int32)]
    writer.operator(Codes.PAD, inputs, writer.output(operation), schema.PadOptionsT())


def _pool(code: int) -> Rule:
    def rule(writer: _Writer, operation: Operation) -> None:
        given, options = operation.options, schema.Pool2DOptionsT()
        options.padding = SAME if given["same"] else VALID
        options.filterHeight, options.filterWidth = given["kernel"]
        options.strideH, options.strideW = given["strides"]
        writer.operator(code, [writer.place(operation.inputs[0])], writer.output(operation), options)

    return rule


def _reduced(code: int) -> Rule:
    def rule(writer: _Writer, operation: Operation) -> None:
        options = schema.ReducerOptionsT()
        options.keepDims = operation.options["keep"]
        axes = writer.constant(f"{operation.names[-1]}.axes", np.array(operation.options["axes"]), np.int32)
        writer.operator(code, [writer.place(operation.inputs[0]), axes], writer.output(operation), options)

    return rule


def _reshape(writer: _Writer, operation: Operation) -> None:
    options, sizes = schema.ReshapeOptionsT(), np.array([1, *operation.output.sizes], np.int32)
    options.newShape = sizes
    inputs = [writer.place(operation.inputs[0]), writer.constant(f"{operation.names[-1]}.sizes", sizes, np.int32)]
    writer.operator(Codes.RESHAPE, inputs, writer.output(operation), options)


def _transpose(writer: _Writer, operation: Operation) -> None:
    order = writer.constant(f"{operation.names[-1]}.order", np.array(operation.options["order"]), np.int32)
    inputs = [writer.place(operation.inputs[0]), order]
    writer.operator(Codes.TRANSPOSE, inputs, writer.output(operation), schema.TransposeOptionsT())


def _compared(code: int, kind: Callable[[], Any]) -> Rule:
    def rule(writer: _Writer, operation: Operation) -> None:
        inputs = [writer.place(one) for one in operation.inputs]
        if "bound" in operation.arrays:
            bound = _stretched(operation, operation.arrays["bound"], MOST_COMPARED)
            inputs.append(writer.constant(f"{operation.names[-1]}.bound", bound))
        writer.operator(code, inputs, writer.output(operation), kind())

    return rule


def _stretched(operation: Operation, numbers: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return one film's numbers with the batch in front; one number of [1], where LiteRT stretches along the axes."""
    sizes = operation.output.sizes
    if len(sizes) + 1 > most:
        return np.broadcast_to(numbers, sizes)[None]
    return numbers.reshape(1) if numbers.size == 1 else numbers[None]


# Of the error function: s * P(t) / Q(t), with s = x / 4 between -1 and 1 and t = s * s, from the constant on. They are
# those of Eigen's `erf` of float32 (MathFunctionsImpl.h), scaled by powers of two and so that float16 holds them all.
ERF_ABOVE = (4.51351637579, 13.2560705853, 52.7615964612, 65.3822158494, 38.6106495836, -8.14671768025, 1.28252125313)
ERF_BELOW = (1.0, 8.27027162923, 30.20060191, 61.268567709, 66.9204028963)


def _erf(writer: _Writer, operation: Operation) -> None:
    name = operation.names[-1]

    def times(left: int, right: int, suffix: str) -> int:
        return writer.operator(Codes.MUL, [left, right], writer.inner(operation, suffix), schema.MulOptionsT())

    def stored(value: float, suffix: str) -> int:
        return writer.constant(f"{name}.{suffix}", np.array([value]))

    def polynomial(square: int, factors: Sequence[float], suffix: str) -> int:
        last = times(square, stored(factors[-1], f"{suffix}{len(factors) - 1}"), f"{suffix}{len(factors) - 1}")
        for at in reversed(range(len(factors) - 1)):
            inputs, made = [last, stored(factors[at], f"{suffix}{at}")], writer.inner(operation, f"{suffix}{at}.sum")
            last = writer.operator(Codes.ADD, inputs, made, schema.AddOptionsT())
            last = times(last, square, f"{suffix}{at}.product") if at else last
        return last

    side = times(writer.place(operation.inputs[0]), stored(0.25, "quarter"), "quarter")
    side = _end(writer, operation, side, -1.0, writer.inner(operation, "least"), code=Codes.MAXIMUM)
    side = _end(writer, operation, side, 1.0, writer.inner(operation, "most"))
    square = times(side, side, "square")
    above, below = polynomial(square, ERF_ABOVE, "above"), polynomial(square, ERF_BELOW, "below")
    inputs = [times(above, side, "above"), below]
    writer.operator(Codes.DIV, inputs, writer.output(operation), schema.DivOptionsT())


def _choose(writer: _Writer, operation: Operation) -> None:
    computed, inputs = iter(operation.inputs), list[int]()
    for side in ("where", "yes", "no"):
        numbers = operation.arrays.get(side)
        if numbers is None:
            inputs.append(writer.place(next(computed)))
        else:
            stored = _stretched(operation, numbers, MOST_CHOSEN)
            dtype = np.bool_ if side == "where" else np.float32
            inputs.append(writer.constant(f"{operation.names[-1]}.{side}", stored, dtype))
    writer.operator(Codes.SELECT_V2, inputs, writer.output(operation), schema.SelectV2OptionsT())


def _cast(writer: _Writer, operation: Operation) -> None:
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = schema.TensorType.BOOL, schema.TensorType.FLOAT32
    writer.operator(Codes.CAST, [writer.place(operation.inputs[0])], writer.output(operation), options)


RULES: dict[str, Rule] = {
    "abs": _one(Codes.ABS, schema.AbsOptionsT),
    "add": _combined(Codes.ADD, schema.AddOptionsT),
    "affine": _affine,
    "average_pool": _pool(Codes.AVERAGE_POOL_2D),
    "border": _border,
    "cast": _cast,
    "choose": _choose,
    "clip": _clip,
    "conv": _conv,
    "cos": _one(Codes.COS, schema.CosOptionsT),
    "cut": _cut,
    "dense": _dense,
    "depthwise": _depthwise,
    "divide": _one(Codes.DIV, schema.DivOptionsT),
    "elu": _elu,
    "equal": _compared(Codes.EQUAL, schema.EqualOptionsT),
    "erf": _erf,
    "exponential": _one(Codes.EXP, schema.ExpOptionsT),
    "gelu": _one(Codes.GELU, schema.GeluOptionsT),
    "greater": _compared(Codes.GREATER, schema.GreaterOptionsT),
    "greater_equal": _compared(Codes.GREATER_EQUAL, schema.GreaterEqualOptionsT),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _one(Codes.HARD_SWISH, schema.HardSwishOptionsT),
    "join": _join,
    "join_stored": _join,
    "largest": _reduced(Codes.REDUCE_MAX),
    "leaky_relu": _leaky_relu,
    "less": _compared(Codes.LESS, schema.LessOptionsT),
    "less_equal": _compared(Codes.LESS_EQUAL, schema.LessEqualOptionsT),
    "log": _one(Codes.LOG),
    "log_softmax": _one(Codes.LOG_SOFTMAX, schema.LogSoftmaxOptionsT),
    "logical_and": _one(Codes.LOGICAL_AND, schema.LogicalAndOptionsT),
    "logical_not": _one(Codes.LOGICAL_NOT, schema.LogicalNotOptionsT),
    "logical_or": _one(Codes.LOGICAL_OR, schema.LogicalOrOptionsT),
    "max_pool": _pool(Codes.MAX_POOL_2D),
    "maximum": _one(Codes.MAXIMUM, schema.MaximumMinimumOptionsT),
    "mean": _reduced(Codes.MEAN),
    "minimum": _one(Codes.MINIMUM, schema.MaximumMinimumOptionsT),
    "multiply": _combined(Codes.MUL, schema.MulOptionsT),
    "plus": _plus,
    "power": _power,
    "prelu": _prelu,
    "product": _one(Codes.BATCH_MATMUL, schema.BatchMatMulOptionsT),
    "reciprocal": _reciprocal,
    "relu": _relu,
    "reshape": _reshape,
    "sigmoid": _one(Codes.LOGISTIC),
    "sin": _one(Codes.SIN),
    "softmax": _softmax,
    "softplus": _softplus,
    "sqrt": _one(Codes.SQRT),
    "standardise": _standardise,
    "subtract": _combined(Codes.SUB, schema.SubOptionsT),
    "tanh": _one(Codes.TANH),
    "times": _times,
    "transpose": _transpose,
}
