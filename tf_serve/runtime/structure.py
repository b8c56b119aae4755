"""Whether a `.tflite` file is sound, read from its bytes alone before LiteRT maps it.

LiteRT 2.1.2 trusts what a file says: an offset that leaves it, an index beyond its list or a stride of 0 ends the
process with a signal, which no `except` can catch. It has a verifier of flatbuffers, but not in Python, and that one
knows nothing of graphs. So every table is read here first, and held against what tbconv's
converters write: one graph of a few known operations, each with the shapes that follow from its inputs. Nothing is
copied, and the work is bounded by counts, so that 100 MB take no longer than their tables do.

What a film holds never decides where memory is read or written: shapes, axes and indices come from constants alone.
So a network that ran once (tf_serve.runtime.trial) touches the same memory for every film.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.errors import ArtefactError
from tf_serve.runtime.flatbuffer import FIELDS, MOST_OF_A_VECTOR, NUMBERS, Fault, Reader, Unsound

IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite file (schema.fbs, file_identifier)

# Bounds; the largest network that tbconv converts, DenseNet121, has 1,207 buffers and 811 operations,
# VGG16 does 15.5 billion multiplications a film, and no tensor of either has more than 4 million values.
MOST_SIDES = 6
MOST_VALUES = 1 << 25  # of a tensor that is computed
MOST_WORK = 40e9  # multiplications a film
MOST_BYTES = 1 << 30  # of a file; VGG16 has 553 million
MOST_BESIDE = 16 << 20  # bytes of it that are no weights: tables, names, metadata, what is appended; 0.3 MB at most


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sound file says that one film takes."""

    bytes: int  # of the file
    work: float  # multiplications, and values written


def check_tflite(path: Path, *, name: str | None = None) -> Cost:
    """Refuse a file that LiteRT could crash on.

    Args:
        path: the file.
        name: how errors call it; None takes that of the path.

    Returns:
        What one film takes.

    Raises:
        ArtefactError: the file is missing, of another kind, damaged, or no network of tbconv.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error
    try:
        return inspect(data)
    except Unsound as found:
        what = {"kind": "is not a TFLite file", "operation": "is not a network of tbconv"}
        raise ArtefactError(f"{name} {what.get(found.fault, 'is damaged')}", why=found.why, fix=MAKE_AGAIN) from None
    except Exception as error:
        raise ArtefactError(f"{name} is damaged", why=type(error).__name__, fix=MAKE_AGAIN) from error


def inspect(data: mmap.mmap | bytes | bytearray | memoryview) -> Cost:
    """Read a whole file; Unsound where it is not one that tbconv's converters could have written."""
    if bytes(data[4:8]) != IDENTIFIER:
        raise Unsound("kind", f"bytes 4..8 are {bytes(data[4:8])!r}, not {IDENTIFIER!r}")
    if len(data) > MOST_BYTES:
        raise Unsound("size", f"it has {len(data):,} bytes, {MOST_BYTES:,} are the most")
    return Cost(len(data), _Model(Reader(data)).check())


# --- tensors ---

_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 9: "int8"}  # TensorType
_BYTES = {name: np.dtype(name).itemsize for name in _TYPES.values()}
_LEVELS = {"int8": (-128, 127), "uint8": (0, 255), "int32": (0, 0)}  # what a zero point may be
INDICES = ("int32", "int64")


@dataclass(slots=True)
class _Tensor:
    number: int
    shape: tuple[int, ...]  # as the operation before it gives it: converters write 1 for a side that is open
    stated: tuple[int, ...]  # as the file has it, -1 where a side is open
    dtype: str
    constant: tuple[int, int] | None  # place and bytes of its data
    channels: tuple[int, int] | None  # axis and number of its scales, where it has several
    content: NDArray[np.int64] | None = None  # a few whole numbers that no film changes: sides, axes, paddings

    @property
    def values(self) -> int:
        return math.prod(self.shape)


def _tensor(reader: Reader, number: int, place: int, buffers: Sequence[tuple[int, int] | None]) -> _Tensor:
    row = reader.table(place, "Tensor")
    name = f"tensor {number}"
    shape = reader.integers(row["shape"], f"sides of {name}")
    if len(shape) > MOST_SIDES or any(side < 1 for side in shape) or math.prod(shape) > MOST_BYTES:
        raise Unsound("shape", f"{name} has the shape {list(shape[: MOST_SIDES + 1])}")
    signature = reader.integers(row["shape_signature"], f"sides of {name}")
    if signature and (
        len(signature) != len(shape) or any(a not in (-1, b) for a, b in zip(signature, shape, strict=True))
    ):
        raise Unsound("shape", f"{name} has the shape {list(shape)} and the signature {list(signature[:8])}")
    dtype = _TYPES.get(row["type"])
    if dtype is None:
        raise Unsound("dtype", f"{name} has the type {row['type']}")
    if row["buffer"] >= len(buffers):
        raise Unsound("index", f"{name} has buffer {row['buffer']} of {len(buffers)}")
    constant = buffers[row["buffer"]]
    values = math.prod(shape)
    if constant is None and values > MOST_VALUES:
        raise Unsound("size", f"{name} has {values:,} values, {MOST_VALUES:,} are the most")
    if constant is not None and constant[1] != values * _BYTES[dtype]:
        raise Unsound(
            "shape", f"{name} has {constant[1]:,} bytes, {list(shape)} of {dtype} are {values * _BYTES[dtype]:,}"
        )
    if constant is not None and constant[0] % min(4, _BYTES[dtype]):
        raise Unsound("offset", f"the values of {name} do not begin at a multiple of their size")
    channels = _channels(reader, row["quantization"], name, shape, dtype, constant=constant is not None)
    content = None
    if constant is not None and dtype in INDICES and values <= MOST_OF_A_VECTOR:
        content = reader.array((constant[0], values), f"<i{_BYTES[dtype]}").astype(np.int64).reshape(shape)
    return _Tensor(number, shape, signature or shape, dtype, constant, channels, content)


def _channels(
    reader: Reader, place: int | None, name: str, shape: tuple[int, ...], dtype: str, *, constant: bool
) -> tuple[int, int] | None:
    """Check a tensor's scales and zero points; along which axis it has several, and how many."""
    row = reader.table(place, "QuantizationParameters") if place is not None else None
    count = row["scale"][1] if row and row["scale"] else 0
    if row is None or count == 0:
        if dtype in ("int8", "uint8"):
            raise Unsound("quantization", f"{name} of {dtype} has no scale")
        if row and row["zero_point"] and row["zero_point"][1]:  # min and max alone are a calibrator's record
            raise Unsound("quantization", f"{name} has zero points and no scale")
        return None
    axis, points = row["quantized_dimension"], row["zero_point"]
    if dtype not in _LEVELS:
        raise Unsound("quantization", f"{name} of {dtype} has scales")
    if points is None or points[1] != count or any(row[key] and row[key][1] > count for key in ("min", "max")):
        raise Unsound("quantization", f"{name} has {count:,} scales and another number of zero points or limits")
    if not 0 <= axis < max(1, len(shape)) or (count > 1 and (not constant or count != shape[axis])):
        raise Unsound("quantization", f"{name} of {list(shape)} has {count:,} scales along axis {axis}")
    scales, zeros = reader.array(row["scale"], "<f4"), reader.array(points, "<i8")
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise Unsound("quantization", f"a scale of {name} is not positive")
    low, high = _LEVELS[dtype]
    if zeros.min() < low or zeros.max() > high:
        raise Unsound("quantization", f"a zero point of {name} is no {dtype}")
    return (axis, count) if count > 1 else None


# --- operations ---
# What each operation may look like; its output's shape follows from its inputs, or it is refused.


@dataclass(slots=True)
class _Call:
    """One operation of the graph: its tensors and options."""

    operation: _Operation
    reader: Reader
    inputs: tuple[_Tensor | None, ...]
    output: _Tensor
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return self.operation.name

    def __getitem__(self, number: int) -> _Tensor:
        found = self.inputs[number]
        if found is None:
            raise Unsound("index", f"{self.name} lacks its input {number}")
        return found

    def integers(self, number: int, *allowed: str) -> list[int]:
        """Return a constant input of whole numbers: axes, paddings, places.

        Args:
            number: of the input.
            allowed: types that the operation's kernel reads; none: int32 alone, as which most kernels take whatever
                stands there, so that [0, 2, 1] of int64 would be [0, 0, 2].
        """
        content, dtype = self[number].content, self[number].dtype
        if content is None:
            why = f"input {number} of {self.name} depends on the image; only a constant is allowed there"
            raise Unsound("operation", why)
        if dtype not in (allowed or ("int32",)):
            raise Unsound("dtype", f"input {number} of {self.name} is {dtype}")
        return [int(value) for value in content.ravel()]

    def gives(self, shape: Sequence[int]) -> None:
        """Check the shape that follows from the inputs against what the file says, and note it."""
        if math.prod(shape) > MOST_VALUES or not all(1 <= side <= MOST_VALUES for side in shape):
            raise Unsound("size", f"{self.name} gives {list(shape)}, {MOST_VALUES:,} values are the most")
        fits = len(shape) == len(self.output.stated)
        if not fits or any(b not in (-1, a) for a, b in zip(shape, self.output.stated, strict=True)):
            raise Unsound("shape", f"{self.name} gives {list(shape)}, the file says {list(self.output.stated)}")
        self.output.shape = tuple(shape)

    def fold(self, compute: Callable[..., Any], *slots: int) -> None:
        """Compute whole numbers that no film changes, as later shapes are made of them.

        What is computed here must be what LiteRT computes, or the shapes that follow from it are not its shapes: where
        the two could differ nothing is folded, and the result counts as one that depends on the image.
        """
        contents = [self[slot].content for slot in slots]
        if any(content is None for content in contents) or self.output.dtype not in INDICES:
            return
        if self.output.values > MOST_SIDES * MOST_SIDES or self.options.get("fused_activation_function"):
            return
        exact = [cast("NDArray[np.int64]", content).astype(object) for content in contents]  # which do not overflow
        values = np.asarray(compute(*exact), object).reshape(self.output.shape)
        if any(abs(value) > MOST_BYTES for value in values.ravel()):
            raise Unsound("size", f"{self.name} gives a number beyond {MOST_BYTES:,}")
        self.output.content = values.astype(np.int64)

    def check(self, *, holds: bool, fault: Fault, why: str) -> None:
        if not holds:
            raise Unsound(fault, f"{self.name} {why}")

    def check_types(self, *allowed: tuple[str, ...]) -> None:
        """Check the types of inputs and output; those of an absent input do not count."""
        types = tuple(one.dtype if one else None for one in (*self.inputs, self.output))
        if not any(
            len(row) == len(types) and all(a in (None, b) for a, b in zip(types, row, strict=True)) for row in allowed
        ):
            raise Unsound("dtype", f"{self.name} has tensors of {', '.join(map(str, types))}")

    def check_same_type(self, count: int) -> None:
        """Check that the first inputs and the output have one type, one of those that the operation may have."""
        types = {self[number].dtype for number in range(count)} | {self.output.dtype}
        if len(types) != 1 or not types <= set(self.operation.types):
            fault: Fault = "operation" if len(types) == 1 else "dtype"
            raise Unsound(fault, f"{self.name} has tensors of {', '.join(sorted(types))}")

    def axis(self, value: int, sides: int) -> int:
        self.check(holds=-sides <= value < sides, fault="index", why=f"has the axis {value} of {sides}")
        return value % sides


_INT8 = ("float32", "int8")
_FLOAT = ("float32", "float16", "int8")
_NUMBER = (*_FLOAT, "int32", "int64")
_ANY = tuple(_BYTES)
_LINEAR = (  # input, weights, bias, output
    ("float32", "float32", "float32", "float32"),
    ("float16", "float16", "float16", "float16"),
    ("float32", "int8", "float32", "float32"),
    ("int8", "int8", "int32", "int8"),
)


def _same(call: _Call) -> float:
    call.check_same_type(1)
    slope = call.options.get("alpha", 0.0)  # of LEAKY_RELU: LiteRT makes an integer of it
    call.check(holds=math.isfinite(slope), fault="operation", why=f"has the slope {slope}")
    call.gives(call[0].shape)
    return 4.0 * call.output.values


def _softmax(call: _Call) -> float:
    call.check(holds=len(call[0].shape) > 0, fault="shape", why="has no axis of classes")
    beta = call.options.get("beta", 1.0)
    call.check(holds=beta == 1.0, fault="operation", why=f"has the beta {beta}, not 1")
    return _same(call)


def _convert(call: _Call) -> float:
    pair = call[0].dtype, call.output.dtype
    allowed = {
        "QUANTIZE": (("float32", "int8"), ("float32", "uint8"), ("int8", "int8"), ("uint8", "int8"), ("int8", "uint8")),
        "DEQUANTIZE": (("float16", "float32"), ("int8", "float32"), ("uint8", "float32")),
        "CAST": tuple((a, b) for a in _ANY for b in _ANY if "int8" not in a + b),
    }[call.name]
    call.check(holds=pair in allowed, fault="dtype", why=f"turns {pair[0]} into {pair[1]}")
    call.gives(call[0].shape)
    if call.name == "CAST":
        call.fold(np.array, 0)
    return call.output.values


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise Unsound("shape", f"shapes {', '.join(str(list(shape)) for shape in shapes)} do not fit") from error


def _stretch(call: _Call) -> float:
    shapes, most = [one.shape for one in call.inputs if one], call.operation.stretched
    fits = len(set(shapes)) == 1 or max(map(len, shapes)) <= most
    call.check(holds=fits, fault="operation", why=f"has tensors of several shapes, and of more than {most} axes")
    call.gives(_broadcast(*shapes))
    return 4.0 * call.output.values


def _elementwise(call: _Call) -> float:
    call.check_same_type(2)
    return _stretch(call)


def _extremum(call: _Call) -> float:
    # XNNPACK makes a clamp of a bound, whose answer lacks the axes that the bound alone has
    for bound, other in (call[0], call[1]), (call[1], call[0]):
        fits = bound.values > 1 or len(bound.shape) <= len(other.shape)
        call.check(holds=fits, fault="operation", why=f"has a bound of {list(bound.shape)} for {list(other.shape)}")
    return _elementwise(call)


def _arithmetic(call: _Call) -> float:
    _check_activation(call)
    _elementwise(call)
    fold = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply}.get(call.name)
    if fold is not None:
        call.fold(fold, 0, 1)
    return call.output.values


def _compare(call: _Call) -> float:
    types = {call[0].dtype, call[1].dtype}
    call.check(holds=len(types) == 1 and call.output.dtype == "bool", fault="dtype", why="compares two types")
    return _stretch(call)


def _logic(call: _Call) -> float:
    call.check_types(*(("bool",) * (count + 1) for count in (1, 2)))
    return _stretch(call)


def _prelu(call: _Call) -> float:
    work, slopes = _elementwise(call), call[1].shape
    by_channel, why = math.prod(slopes[:-1]) == 1, f"has slopes of {list(slopes)} for {list(call[0].shape)}"
    call.check(holds=call.output.shape == call[0].shape, fault="shape", why=why)
    call.check(holds=by_channel or len(call[0].shape) <= 4, fault="operation", why=why)
    return work


def _select(call: _Call) -> float:
    call.check(holds=call[0].dtype == "bool", fault="dtype", why="selects by something else than bool")
    types = {call[1].dtype, call[2].dtype, call.output.dtype}
    fits = len(types) == 1 and types <= set(call.operation.types)
    call.check(holds=fits, fault="dtype", why=f"has tensors of {', '.join(sorted(types))}")
    return _stretch(call)


def _check_activation(call: _Call) -> None:
    value = call.options["fused_activation_function"]
    call.check(holds=value in (0, 1, 2, 3), fault="operation", why=f"has the activation {value}")  # none, ReLUs


def _window(call: _Call, height: int, width: int, over: tuple[int, ...] | None = None) -> tuple[int, int]:
    """Return height and width of what a window of this size gives, over the first input or another shape."""
    _check_activation(call)
    over = over or call[0].shape
    call.check(holds=len(over) == len(call.output.shape) == 4, fault="shape", why="has no 4 axes")
    padding, sides = call.options["padding"], []
    call.check(holds=padding in (0, 1), fault="operation", why=f"has the padding {padding}")
    for side, size, axis in ((over[1], height, "h"), (over[2], width, "w")):
        stride, dilation = call.options[f"stride_{axis}"], call.options.get(f"dilation_{axis}_factor", 1)
        fits = 1 <= stride <= 1024 and 1 <= dilation <= 1024 and 1 <= size <= 1024
        call.check(holds=fits, fault="operation", why=f"has window {size}, stride {stride}, dilation {dilation}")
        covered = 1 if padding == 0 else (size - 1) * dilation + 1
        call.check(holds=covered <= side, fault="shape", why="has a window larger than its input")
        sides.append((side - covered) // stride + 1)
    return sides[0], sides[1]


def _check_weights(call: _Call, axis: int) -> int:
    """Check weights and bias of a linear operation; the number of its outputs."""
    call.check_types(*(_LINEAR if len(call.inputs) == 3 else [row[:2] + row[3:] for row in _LINEAR]))
    weights, bias = call[1], call.inputs[2] if len(call.inputs) == 3 else None
    outputs = weights.shape[axis]
    fits = bias is None or bias.shape == (outputs,)
    call.check(holds=fits, fault="shape", why=f"has a bias of another length than {outputs}")
    fits = weights.channels in (None, (axis, outputs))
    call.check(holds=fits, fault="quantization", why=f"has no scale for each of its {outputs} outputs")
    return outputs


def _conv(call: _Call) -> float:
    filters = call[1].shape
    call.check(holds=len(filters) == 4, fault="shape", why=f"has filters of {list(filters)}")
    sides, outputs = _window(call, filters[1], filters[2]), _check_weights(call, 0)
    channels = call[0].shape[3]
    groups = channels // filters[3]
    fits = channels == groups * filters[3] and groups > 0 and outputs % groups == 0
    call.check(holds=fits, fault="shape", why=f"has {outputs} filters of {filters[3]} for {channels} channels")
    call.gives((call[0].shape[0], *sides, outputs))
    return float(call.output.values) * math.prod(filters[1:])


def _depthwise(call: _Call) -> float:
    filters = call[1].shape
    call.check(holds=len(filters) == 4 and filters[0] == 1, fault="shape", why=f"has filters of {list(filters)}")
    sides, outputs = _window(call, filters[1], filters[2]), _check_weights(call, 3)
    multiplier, channels = call.options["depth_multiplier"], call[0].shape[3]
    why = f"has {outputs} filters, {multiplier} for each of {channels} channels"
    call.check(holds=outputs == channels * multiplier, fault="shape", why=why)
    call.gives((call[0].shape[0], *sides, outputs))
    return float(call.output.values) * math.prod(filters[1:3])


def _transposed(call: _Call) -> float:
    call.check_types(*(("int32", *("float32",) * count) for count in (3, 4)))
    sizes, filters, image = call.integers(0), call[1].shape, call[2].shape
    call.check(holds=len(filters) == len(image) == 4, fault="shape", why=f"has filters of {list(filters)}")
    call.gives(sizes)
    sides = _window(call, filters[1], filters[2], over=tuple(sizes))  # of the convolution that it turns round
    fits = sizes[1] >= call.options["stride_h"] and sizes[2] >= call.options["stride_w"]  # XNNPACK dies of less
    call.check(holds=fits, fault="operation", why=f"makes {sizes}, which is less than a stride")
    fits = (sizes[0], *sides, filters[3], filters[0]) == (*image, sizes[3])
    call.check(holds=fits, fault="shape", why=f"makes {sizes} of {list(image)} by filters of {list(filters)}")
    bias = call[3].shape if len(call.inputs) == 4 else filters[:1]
    call.check(holds=bias == filters[:1], fault="shape", why=f"has a bias of another length than {filters[0]}")
    return float(call[2].values) * math.prod(filters[:3])


def _resize(call: _Call) -> float:
    call.check_same_type(1)
    sides, wanted = call[0].shape, call.integers(1)
    call.check(holds=len(sides) == 4 and call[1].shape == (2,), fault="shape", why="has no image, or no two sides")
    both = call.options["align_corners"] and call.options["half_pixel_centers"]
    call.check(holds=not both, fault="operation", why="aligns corners and centres")
    call.gives((sides[0], *wanted, sides[3]))
    return 4.0 * call.output.values


def _move_blocks(call: _Call) -> float:
    call.check_same_type(1)
    sides, block = call[0].shape, call.options["block_size"]
    call.check(holds=len(sides) == 4 and 1 <= block <= 1024, fault="shape", why=f"has blocks of {block}")
    batch, rows, columns, channels = sides
    if call.name == "SPACE_TO_DEPTH":
        fits, wanted = rows % block == columns % block == 0, (rows // block, columns // block, channels * block * block)
    else:
        fits, wanted = channels % (block * block) == 0, (rows * block, columns * block, channels // (block * block))
    call.check(holds=fits, fault="shape", why=f"takes blocks of {block} out of {list(sides)}")
    call.gives((batch, *wanted))
    return call.output.values


def _tile(call: _Call) -> float:
    call.check_same_type(1)
    sides, times = call[0].shape, call.integers(1, *INDICES)
    fits = call[1].shape == (len(sides),) and all(1 <= one <= MOST_VALUES for one in times)
    call.check(holds=fits, fault="shape", why=f"repeats {list(sides)} {times[:8]} times")
    call.gives([side * one for side, one in zip(sides, times, strict=True)])
    return call.output.values


def _normalise(call: _Call) -> float:
    radius, numbers = call.options["radius"], [call.options[key] for key in ("bias", "alpha", "beta")]
    call.check(holds=len(call[0].shape) == 4, fault="shape", why="has no 4 axes")
    fits = 0 <= radius <= 1024 and all(map(math.isfinite, numbers))
    call.check(holds=fits, fault="operation", why=f"has the radius {radius} and the numbers {numbers}")
    return _same(call) * float(2 * radius + 1)


def _pool(call: _Call) -> float:
    call.check_same_type(1)
    height, width = call.options["filter_height"], call.options["filter_width"]
    sides = _window(call, height, width)
    call.gives((call[0].shape[0], *sides, call[0].shape[3]))
    return float(call.output.values * height * width)


def _dense(call: _Call) -> float:
    weights = call[1].shape
    call.check(holds=len(weights) == 2, fault="shape", why=f"has weights of {list(weights)}")
    outputs, values = _check_weights(call, 0), call[0].values
    _check_activation(call)
    call.check(holds=values % weights[1] == 0, fault="shape", why=f"takes {weights[1]} values at a time, of {values:,}")
    if call.options["keep_num_dims"]:
        call.check(holds=call[0].shape[-1:] == weights[1:], fault="shape", why="takes another number of values")
        call.gives((*call[0].shape[:-1], outputs))
    else:
        call.gives((values // weights[1], outputs))
    return float(call.output.values) * weights[1]


def _product(call: _Call) -> float:
    call.check_same_type(2)
    left, right = ([*call[number].shape] for number in (0, 1))
    fits = all(2 <= len(sides) <= 5 for sides in (left, right))
    call.check(holds=fits, fault="shape", why=f"multiplies {left} and {right}")
    for sides, turned in ((left, call.options["adj_x"]), (right, call.options["adj_y"])):
        if turned:
            sides[-2:] = sides[-1], sides[-2]
    call.check(holds=left[-1] == right[-2], fault="shape", why=f"multiplies {left} and {right}")
    call.gives((*_broadcast(tuple(left[:-2]), tuple(right[:-2])), left[-2], right[-1]))
    return float(call.output.values) * left[-1]


def _concatenate(call: _Call) -> float:
    call.check_same_type(len(call.inputs))
    _check_activation(call)
    shapes = [call[number].shape for number in range(len(call.inputs))]
    axis = call.axis(call.options["axis"], len(shapes[0]))
    rest = {(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}
    call.check(holds=len(rest) == 1, fault="shape", why="joins tensors that do not fit")
    call.gives((*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]))
    call.fold(lambda *parts: np.concatenate(parts, axis), *range(len(call.inputs)))
    return call.output.values


def _reduce(call: _Call) -> float:
    call.check_same_type(1)
    sides = len(call[0].shape)
    given = [call.axis(value, sides) for value in call.integers(1)]
    axes = set(given)
    call.check(holds=len(given) == len(axes), fault="operation", why="has an axis twice")
    kept = [side for number, side in enumerate(call[0].shape) if number not in axes]
    same = [1 if number in axes else side for number, side in enumerate(call[0].shape)]
    call.gives(same if call.options["keep_dims"] else kept)
    if call.name == "REDUCE_PROD":
        call.fold(lambda content: np.prod(content, axis=tuple(axes)), 0)
    return call[0].values


def _reshape(call: _Call) -> float:
    call.check_same_type(1)
    if len(call.inputs) == 1:
        wanted = list(call.reader.integers(call.options["new_shape"], "sides of a new shape"))
    else:
        call.check(holds=call[1].dtype == "int32" and len(call[1].shape) == 1, fault="shape", why="has no shape")
        wanted = call.integers(1)
    fits = wanted.count(-1) <= 1 and all(side == -1 or 1 <= side <= MOST_VALUES for side in wanted)
    call.check(holds=fits, fault="shape", why=f"gives {wanted[:8]}")
    rest = math.prod(side for side in wanted if side != -1)
    shape = [call[0].values // rest if side == -1 else side for side in wanted]
    call.check(holds=math.prod(shape) == call[0].values, fault="shape", why=f"turns {call[0].shape} into {wanted[:8]}")
    call.gives(shape)
    call.fold(np.array, 0)
    return call.output.values


def _pad(call: _Call) -> float:
    call.check_same_type(1)
    sides = len(call[0].shape)
    call.check(holds=call[1].shape == (sides, 2), fault="shape", why="needs two paddings for each axis")
    if len(call.inputs) == 3:
        fits = call[2].values == 1 and call[2].dtype == call[0].dtype
        call.check(holds=fits, fault="shape", why="has no single value")
    given = call.integers(1, *INDICES)
    call.check(holds=all(0 <= value <= MOST_VALUES for value in given), fault="shape", why="has a negative padding")
    call.gives([side + given[2 * n] + given[2 * n + 1] for n, side in enumerate(call[0].shape)])
    return call.output.values


def _slice(call: _Call) -> float:
    call.check_same_type(1)
    begin, end, step = (call.integers(number) for number in (1, 2, 3))
    sides = call[0].shape
    fits = len(begin) == len(end) == len(step) == len(sides) and all(step)
    call.check(holds=fits, fault="shape", why="has no begin, end and step for each axis")
    call.check(
        holds=all(call.inputs[n] and len(call[n].shape) == 1 for n in (1, 2, 3)), fault="shape", why="has no lists"
    )
    result, places = [], list[int | slice]()
    for number, side in enumerate(sides):
        bit = 1 << number
        if call.options["shrink_axis_mask"] & bit:
            places.append(call.axis(begin[number], side))
            # LiteRT takes the first place of a masked axis, whatever its begin is
            masked = (call.options["begin_mask"] | call.options["end_mask"]) & bit
            call.check(holds=step[number] == 1, fault="operation", why="steps along an axis that it drops")
            call.check(holds=not masked, fault="operation", why="masks an axis that it drops")
            continue
        first = None if call.options["begin_mask"] & bit else begin[number]
        last = None if call.options["end_mask"] & bit else end[number]
        places.append(slice(first, last, step[number]))
        result.append(len(range(*slice(first, last, step[number]).indices(side))))
    call.gives(result)
    call.fold(lambda content: content[tuple(places)], 0)
    return call.output.values


def _cut(call: _Call) -> float:
    call.check_same_type(1)
    sides, begin, size = call[0].shape, call.integers(1), call.integers(2)
    fits = call[1].shape == call[2].shape == (len(sides),) and len(sides) > 0
    call.check(holds=fits, fault="shape", why="has no begin and size for each axis")
    call.check(holds=len(sides) <= 5, fault="operation", why="has more than 5 axes")
    rows = list(zip(sides, begin, size, strict=True))
    kept = [side - first if count == -1 else count for side, first, count in rows]
    fits = all(0 <= first <= side - count for (side, first, _), count in zip(rows, kept, strict=True))
    call.check(holds=fits, fault="index", why="reads beyond its input")
    call.gives(kept)
    places = tuple(slice(first, first + count) for first, count in zip(begin, kept, strict=True))
    call.fold(lambda content: content[places], 0)
    return call.output.values


def _gather(call: _Call) -> float:
    call.check_same_type(1)
    axis = call.axis(call.options["axis"], len(call[0].shape))
    side = call[0].shape[axis]
    places = call.integers(1, *INDICES)
    call.check(holds=all(0 <= place < side for place in places), fault="index", why="reads beyond its input")
    call.gives((*call[0].shape[:axis], *call[1].shape, *call[0].shape[axis + 1 :]))
    call.fold(lambda content, chosen: np.take(content, chosen.astype(np.int64), axis), 0, 1)
    return call.output.values


def _stack(call: _Call) -> float:
    call.check_same_type(len(call.inputs))
    shapes = {call[number].shape for number in range(len(call.inputs))}
    fits = len(shapes) == 1 and call.options["values_count"] == len(call.inputs)
    call.check(holds=fits, fault="shape", why="stacks tensors that do not fit")
    [shape] = shapes
    axis = call.axis(call.options["axis"], len(shape) + 1)
    call.gives((*shape[:axis], len(call.inputs), *shape[axis:]))
    call.fold(lambda *parts: np.stack(parts, axis), *range(len(call.inputs)))
    return call.output.values


def _shape(call: _Call) -> float:
    call.check(holds=call.output.dtype in INDICES, fault="dtype", why=f"gives {call.output.dtype}")
    stated = _TYPES.get(call.options["out_type"])
    call.check(holds=stated == call.output.dtype, fault="dtype", why=f"gives {stated}")
    call.gives((len(call[0].shape),))
    call.output.content = np.array(call[0].shape, np.int64)
    return call.output.values


def _transpose(call: _Call) -> float:
    call.check_same_type(1)
    order, sides = call.integers(1), len(call[0].shape)
    call.check(holds=sorted(order) == list(range(sides)), fault="index", why=f"has the order {order[:8]}")
    call.gives([call[0].shape[axis] for axis in order])
    return call.output.values


def _broadcast_to(call: _Call) -> float:
    call.check_same_type(1)
    call.check(holds=len(call[1].shape) == 1, fault="shape", why="has no shape")
    call.gives(call.integers(1, *INDICES))
    fits = _broadcast(call[0].shape, call.output.shape) == call.output.shape
    call.check(holds=fits, fault="shape", why="would shrink its input")
    return call.output.values


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    inputs: tuple[int, int]  # least and most
    check: Callable[[_Call], float]
    options: tuple[int, str] | None = None  # number in the union BuiltinOptions, table
    required: bool = False  # LiteRT takes absent options for zeros: a stride of 0 divides by it
    optional: tuple[int, ...] = ()  # inputs that may be -1
    types: tuple[str, ...] = ("float32",)  # one of which its tensors have, where they have one
    stretched: int = MOST_SIDES  # axes of tensors of several shapes; of one more LiteRT's built-in kernel dies


OPERATIONS = {
    0: _Operation("ADD", (2, 2), _arithmetic, (11, "AddOptions"), types=_NUMBER),
    1: _Operation("AVERAGE_POOL_2D", (1, 1), _pool, (5, "Pool2DOptions"), required=True, types=_FLOAT),
    2: _Operation("CONCATENATION", (1, 512), _concatenate, (10, "ConcatenationOptions"), required=True, types=_ANY),
    3: _Operation("CONV_2D", (2, 3), _conv, (1, "Conv2DOptions"), required=True, optional=(2,)),
    4: _Operation("DEPTHWISE_CONV_2D", (2, 3), _depthwise, (2, "DepthwiseConv2DOptions"), required=True, optional=(2,)),
    5: _Operation("DEPTH_TO_SPACE", (1, 1), _move_blocks, (94, "DepthToSpaceOptions"), required=True),
    6: _Operation("DEQUANTIZE", (1, 1), _convert, (38, "DequantizeOptions")),
    9: _Operation("FULLY_CONNECTED", (2, 3), _dense, (8, "FullyConnectedOptions"), required=True, optional=(2,)),
    13: _Operation(
        "LOCAL_RESPONSE_NORMALIZATION", (1, 1), _normalise, (13, "LocalResponseNormalizationOptions"), required=True
    ),
    14: _Operation("LOGISTIC", (1, 1), _same, types=_FLOAT),
    17: _Operation("MAX_POOL_2D", (1, 1), _pool, (5, "Pool2DOptions"), required=True, types=_FLOAT),
    18: _Operation("MUL", (2, 2), _arithmetic, (21, "MulOptions"), types=_NUMBER),
    19: _Operation("RELU", (1, 1), _same, types=_FLOAT),
    20: _Operation("RELU_N1_TO_1", (1, 1), _same, types=_FLOAT),
    21: _Operation("RELU6", (1, 1), _same, types=_FLOAT),
    22: _Operation("RESHAPE", (1, 2), _reshape, (17, "ReshapeOptions"), types=_ANY),
    23: _Operation("RESIZE_BILINEAR", (2, 2), _resize, (15, "ResizeBilinearOptions")),
    25: _Operation("SOFTMAX", (1, 1), _softmax, (9, "SoftmaxOptions"), required=True, types=_INT8),
    26: _Operation("SPACE_TO_DEPTH", (1, 1), _move_blocks, (19, "SpaceToDepthOptions"), required=True),
    28: _Operation("TANH", (1, 1), _same, types=_INT8),
    34: _Operation("PAD", (2, 2), _pad, (22, "PadOptions"), types=_NUMBER),
    36: _Operation("GATHER", (2, 2), _gather, (23, "GatherOptions"), required=True, types=_ANY),
    39: _Operation("TRANSPOSE", (2, 2), _transpose, (26, "TransposeOptions"), types=_ANY),
    40: _Operation("MEAN", (2, 2), _reduce, (27, "ReducerOptions"), required=True, types=_NUMBER),
    41: _Operation("SUB", (2, 2), _arithmetic, (28, "SubOptions"), types=_NUMBER),
    42: _Operation("DIV", (2, 2), _arithmetic, (29, "DivOptions"), types=_NUMBER, stretched=5),
    45: _Operation("STRIDED_SLICE", (4, 4), _slice, (32, "StridedSliceOptions"), required=True, types=_ANY),
    47: _Operation("EXP", (1, 1), _same, (33, "ExpOptions")),
    50: _Operation("LOG_SOFTMAX", (1, 1), _softmax, (36, "LogSoftmaxOptions")),
    53: _Operation("CAST", (1, 1), _convert, (37, "CastOptions")),
    54: _Operation("PRELU", (2, 2), _prelu),
    55: _Operation("MAXIMUM", (2, 2), _extremum, (39, "MaximumMinimumOptions"), stretched=5),
    57: _Operation("MINIMUM", (2, 2), _extremum, (39, "MaximumMinimumOptions"), stretched=5),
    58: _Operation("LESS", (2, 2), _compare, (41, "LessOptions"), stretched=4),
    59: _Operation("NEG", (1, 1), _same, (42, "NegOptions")),
    60: _Operation("PADV2", (3, 3), _pad, (43, "PadV2Options"), types=_NUMBER),
    61: _Operation("GREATER", (2, 2), _compare, (44, "GreaterOptions"), stretched=4),
    62: _Operation("GREATER_EQUAL", (2, 2), _compare, (45, "GreaterEqualOptions"), stretched=4),
    63: _Operation("LESS_EQUAL", (2, 2), _compare, (46, "LessEqualOptions"), stretched=4),
    64: _Operation("SELECT", (3, 3), _select, (47, "SelectOptions"), types=_NUMBER, stretched=0),
    65: _Operation("SLICE", (3, 3), _cut, (48, "SliceOptions"), types=_NUMBER),
    66: _Operation("SIN", (1, 1), _same),
    67: _Operation("TRANSPOSE_CONV", (3, 4), _transposed, (49, "TransposeConvOptions"), required=True),
    69: _Operation("TILE", (2, 2), _tile, (51, "TileOptions")),
    71: _Operation("EQUAL", (2, 2), _compare, (53, "EqualOptions"), stretched=4),
    73: _Operation("LOG", (1, 1), _same),
    74: _Operation("SUM", (2, 2), _reduce, (27, "ReducerOptions"), required=True, types=_NUMBER),
    75: _Operation("SQRT", (1, 1), _same),
    76: _Operation("RSQRT", (1, 1), _same),
    77: _Operation("SHAPE", (1, 1), _shape, (55, "ShapeOptions")),
    78: _Operation("POW", (2, 2), _elementwise, (56, "PowOptions"), stretched=4),
    81: _Operation("REDUCE_PROD", (2, 2), _reduce, (27, "ReducerOptions"), required=True, types=_NUMBER),
    82: _Operation("REDUCE_MAX", (2, 2), _reduce, (27, "ReducerOptions"), required=True),
    83: _Operation("PACK", (1, 64), _stack, (59, "PackOptions"), required=True, types=_ANY),
    84: _Operation("LOGICAL_OR", (2, 2), _logic, (60, "LogicalOrOptions"), stretched=4),
    86: _Operation("LOGICAL_AND", (2, 2), _logic, (62, "LogicalAndOptions"), stretched=4),
    87: _Operation("LOGICAL_NOT", (1, 1), _logic, (63, "LogicalNotOptions")),
    92: _Operation("SQUARE", (1, 1), _same, (66, "SquareOptions")),
    97: _Operation("RESIZE_NEAREST_NEIGHBOR", (2, 2), _resize, (74, "ResizeNearestNeighborOptions")),
    98: _Operation("LEAKY_RELU", (1, 1), _same, (75, "LeakyReluOptions"), required=True, types=_INT8),
    99: _Operation("SQUARED_DIFFERENCE", (2, 2), _elementwise, (76, "SquaredDifferenceOptions"), stretched=4),
    101: _Operation("ABS", (1, 1), _same, (78, "AbsOptions")),
    108: _Operation("COS", (1, 1), _same, (84, "CosOptions")),
    111: _Operation("ELU", (1, 1), _same),
    114: _Operation("QUANTIZE", (1, 1), _convert, (89, "QuantizeOptions")),
    117: _Operation("HARD_SWISH", (1, 1), _same, (91, "HardSwishOptions"), types=_FLOAT),
    123: _Operation("SELECT_V2", (3, 3), _select, (98, "SelectV2Options"), types=_NUMBER, stretched=5),
    126: _Operation("BATCH_MATMUL", (2, 2), _product, (101, "BatchMatMulOptions")),
    130: _Operation("BROADCAST_TO", (2, 2), _broadcast_to, (104, "BroadcastToOptions"), types=_NUMBER),
    150: _Operation("GELU", (1, 1), _same, (116, "GeluOptions")),
    152: _Operation("RELU_0_TO_1", (1, 1), _same, types=_FLOAT),
    158: _Operation("SIGN", (1, 1), _same, (123, "SignOptions")),
}


# --- model ---


@dataclass(slots=True)
class _Model:
    """The root table, read from its buffers up to its signature."""

    reader: Reader
    tensors: list[_Tensor] = field(default_factory=list)
    work: float = 0.0

    def check(self) -> float:
        """Check everything; the work that one film takes."""
        reader = self.reader
        root = reader.table(reader.root(), "Model")
        if root["version"] != 3:
            raise Unsound("kind", f"it has the version {root['version']} of the schema, not 3")
        buffers = [self._buffer(place) for place in self.reader.tables(root["buffers"], "buffers")]
        beside = reader.size - sum(length for _, length in {one for one in buffers if one})
        if beside > MOST_BESIDE:
            raise Unsound("size", f"{beside:,} of its bytes are no weights, {MOST_BESIDE:,} are the most")
        if not buffers or buffers[0] is not None:
            raise Unsound("index", "its first buffer, that of tensors without values, holds some")
        graphs, codes = (
            self.reader.tables(root["subgraphs"], "graphs"),
            self.reader.tables(root["operator_codes"], "op codes"),
        )
        if len(graphs) != 1:
            raise Unsound("operation", f"it has {len(graphs)} graphs")
        for place in self.reader.tables(root["metadata"], "entries of metadata"):
            if reader.table(place, "Metadata")["buffer"] >= len(buffers):
                raise Unsound("index", f"metadata has a buffer beyond its {len(buffers)}")
        operations = [self._operation(place) for place in codes]
        graph = reader.table(graphs[0], "SubGraph")
        places = self.reader.tables(graph["tensors"], "tensors")
        self.tensors = [_tensor(reader, number, place, buffers) for number, place in enumerate(places)]
        inputs, outputs = self._ends(graph, "inputs"), self._ends(graph, "outputs")
        self._check_graph(graph, operations, inputs, outputs)
        self._check_signature(root, inputs, outputs)
        return self.work

    def _buffer(self, place: int) -> tuple[int, int] | None:
        data = self.reader.table(place, "Buffer")["data"]
        return data if data and data[1] else None

    def _operation(self, place: int) -> _Operation:
        row = self.reader.table(place, "OperatorCode")
        code = max(row["deprecated_builtin_code"], row["builtin_code"])
        if code not in OPERATIONS:
            raise Unsound("operation", f"it has the operation {code}, which no network of tbconv has")
        return OPERATIONS[code]

    def _ends(self, graph: dict[str, Any], side: str) -> list[int]:
        numbers = list(self.reader.integers(graph[side], side))
        if not numbers or len(set(numbers)) != len(numbers):
            raise Unsound("index", f"its {side} are {numbers[:8]}")
        for number in numbers:
            self._at(number, f"the graph's {side}")
        return numbers

    def _at(self, number: int, what: str) -> _Tensor:
        if not 0 <= number < len(self.tensors):
            raise Unsound("index", f"{what} name tensor {number} of {len(self.tensors)}")
        return self.tensors[number]

    def _check_graph(
        self, graph: dict[str, Any], operations: Sequence[_Operation], inputs: list[int], outputs: list[int]
    ) -> None:
        ready = {one.number for one in self.tensors if one.constant is not None}
        if ready & {*inputs, *outputs}:
            raise Unsound("order", "an input or output of the graph is a constant")
        ready |= set(inputs)
        for number, place in enumerate(self.reader.tables(graph["operators"], "operations")):
            self._check_operation(f"operation {number}", place, operations, ready)
            if self.work > MOST_WORK:
                raise Unsound("size", f"one film takes more than {MOST_WORK:.0e} multiplications")
        for number in outputs:
            if number not in ready or number in inputs:
                raise Unsound("order", f"the output {number} is computed by no operation")

    def _check_operation(self, label: str, place: int, operations: Sequence[_Operation], ready: set[int]) -> None:
        row = self.reader.table(place, "Operator")
        if row["opcode_index"] >= len(operations):
            raise Unsound("index", f"{label} has op code {row['opcode_index']} of {len(operations)}")
        operation = operations[row["opcode_index"]]
        label = f"{label}, {operation.name},"
        given = self.reader.integers(row["inputs"], f"inputs of {label}")
        results = self.reader.integers(row["outputs"], f"outputs of {label}")
        least, most = operation.inputs
        if not least <= len(given) <= most or len(results) != 1:
            raise Unsound("count", f"{label} has {len(given)} inputs and {len(results)} outputs")
        tensors = tuple(
            None if number == -1 and slot in operation.optional else self._at(number, f"inputs of {label}")
            for slot, number in enumerate(given)
        )
        output = self._at(results[0], f"outputs of {label}")
        if any(one.number not in ready for one in tensors if one):
            raise Unsound("order", f"{label} reads a tensor before it is computed")
        if output.number in ready:
            raise Unsound("order", f"{label} writes a tensor that has values already")
        options = self._options(row, operation, label)
        call = _Call(operation, self.reader, tensors, output, options)
        self.work += operation.check(call)
        ready.add(output.number)

    def _options(self, row: dict[str, Any], operation: _Operation, label: str) -> dict[str, Any]:
        kind, place = row["builtin_options_type"], row["builtin_options"]
        if kind == 0 and place is None and not operation.required:
            return {key: _NOTHING.get(form) for key, form in FIELDS.get((operation.options or (0, ""))[1], {}).items()}
        if operation.options is None or kind != operation.options[0] or place is None:
            raise Unsound("operation", f"{label} has options of the kind {kind}")
        return self.reader.table(place, operation.options[1])

    def _check_signature(self, root: dict[str, Any], inputs: list[int], outputs: list[int]) -> None:
        rows = [
            self.reader.table(place, "SignatureDef")
            for place in self.reader.tables(root["signature_defs"], "signatures")
        ]
        if len(rows) != 1:
            raise Unsound("count", f"it has {len(rows)} signatures")
        [row] = rows
        self.reader.text(row["signature_key"], "its signature")
        if row["subgraph_index"] != 0:
            raise Unsound("index", f"its signature is of graph {row['subgraph_index']}")
        for side, numbers in (("inputs", inputs), ("outputs", outputs)):
            maps = [self.reader.table(place, "TensorMap") for place in self.reader.tables(row[side], side)]
            names = {self.reader.text(one["name"], f"one of its {side}") for one in maps}
            if len(names) != len(maps) or sorted(one["tensor_index"] for one in maps) != sorted(numbers):
                raise Unsound("index", f"its signature has other {side} than its graph")


_NOTHING = cast("dict[str, Any]", dict.fromkeys(NUMBERS, 0))
