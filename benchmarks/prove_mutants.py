"""Wrong TFLite files, one small edit each: what `tbconv prove` has to find without running a model.

Each kind edits one operator or one stored tensor; `mutants` yields every one that fits a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}  # schema.fbs, TensorType
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
SCALE_STEPS = 4  # of float32: one may vanish in the product of two scales
NO_ACTIVATION, RELU, RELU6 = 0, 1, 3
OTHER_KIND = {
    "ADD": "MUL",
    "MUL": "ADD",
    "SUB": "ADD",
    "TANH": "LOGISTIC",
    "LOGISTIC": "TANH",
    "MAX_POOL_2D": "AVERAGE_POOL_2D",
}


@dataclass(slots=True)
class File:
    """A file that is taken apart."""

    model: Any
    names: dict[int, str]

    @property
    def graph(self) -> Any:
        """Its only graph."""
        return self.model.subgraphs[0]

    def kind(self, operator: Any) -> str:
        """Return the name of an operator's kind."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self.names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def tensor(self, index: int) -> Any:
        """Return a tensor; of weights in float16 the one that is stored."""
        for one in self.graph.operators:
            if one.outputs[0] == index and self.kind(one) == "DEQUANTIZE":
                return self.graph.tensors[one.inputs[0]]
        return self.graph.tensors[index]

    def read(self, tensor: Any) -> NDArray[Any] | None:
        """Return a copy of stored numbers; None of what is computed."""
        data = self.model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.type not in DTYPES:
            return None
        shape = [] if tensor.shape is None else [int(one) for one in tensor.shape]
        return np.frombuffer(bytes(data), DTYPES[tensor.type]).reshape(shape).copy()

    def write(self, tensor: Any, numbers: NDArray[Any]) -> None:
        """Store numbers in a buffer of their own."""
        buffer = type(self.model.buffers[0])()
        buffer.data = np.frombuffer(np.ascontiguousarray(numbers).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1


Edit = Callable[[File, Any], bool]  # of one operator; False where it does not fit


def _stored(place: int, change: Callable[[NDArray[Any]], NDArray[Any] | None]) -> Edit:
    """Edit the numbers of a weighted operator's input."""

    def edit(file: File, operator: Any) -> bool:
        if file.kind(operator) not in WEIGHTED or len(operator.inputs) <= place or operator.inputs[place] < 0:
            return False
        tensor = file.tensor(int(operator.inputs[place]))
        numbers = file.read(tensor)
        made = None if numbers is None else change(numbers)
        if made is None or numbers is None or np.array_equal(made, numbers):
            return False
        file.write(tensor, made.astype(numbers.dtype))
        return True

    return edit


def _one_off(numbers: NDArray[Any]) -> NDArray[Any] | None:
    """Move the largest number by one step of its integers, 16 of float32, or 2 of float16."""
    made, at = numbers.copy(), int(np.abs(numbers.astype(np.float64)).argmax())
    if numbers.dtype.kind == "i":
        made.flat[at] -= np.sign(made.flat[at])
    else:
        made.flat[at] += (16 if numbers.dtype == np.float32 else 2) * np.spacing(made.flat[at])
    return made


def _shifted(numbers: NDArray[Any]) -> NDArray[Any] | None:
    """Move one bias by a step of integers, or by a thousandth of the largest."""
    made, at = numbers.copy(), numbers.size // 2
    step = 1 if numbers.dtype.kind == "i" else np.abs(numbers.astype(np.float64)).max() / 1000 or 1e-3
    made.flat[at] += numbers.dtype.type(step)
    return made


def _exchanged(axis: int) -> Callable[[NDArray[Any]], NDArray[Any] | None]:
    def change(numbers: NDArray[Any]) -> NDArray[Any] | None:
        if numbers.ndim <= 1 or numbers.shape[axis] < 2:
            return None
        order = np.arange(numbers.shape[axis])
        order[:2] = 1, 0
        return numbers.take(order, axis)

    return change


def _turned(numbers: NDArray[Any]) -> NDArray[Any] | None:
    square = numbers.ndim == 4 and numbers.shape[1] == numbers.shape[2] > 1
    return numbers.transpose(0, 2, 1, 3) if square else None


def _scaled(factor: float) -> Callable[[NDArray[Any]], NDArray[Any] | None]:
    return lambda numbers: None if numbers.dtype.kind == "i" else numbers * numbers.dtype.type(factor)


def _option(kinds: tuple[str, ...], name: str, change: Callable[[Any], Any]) -> Edit:
    def edit(file: File, operator: Any) -> bool:
        if file.kind(operator) not in kinds or not hasattr(operator.builtinOptions, name):
            return False
        before = getattr(operator.builtinOptions, name)
        made = change(before)
        if made is None or made == before:
            return False
        setattr(operator.builtinOptions, name, made)
        return True

    return edit


def _other_kind(file: File, operator: Any) -> bool:
    kind = OTHER_KIND.get(file.kind(operator))
    if kind is None or (kind in ("ADD", "MUL") and len(operator.inputs) != 2):
        return False
    code = type(file.model.operatorCodes[0])()
    code.builtinCode = next(number for number, name in file.names.items() if name == kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    file.model.operatorCodes.append(code)
    operator.opcodeIndex = len(file.model.operatorCodes) - 1
    name = {"ADD": "AddOptions", "MUL": "MulOptions", "AVERAGE_POOL_2D": "Pool2DOptions"}.get(kind)
    if name is not None and name != "Pool2DOptions":
        from ai_edge_litert import schema_py_generated as schema

        operator.builtinOptions = getattr(schema, f"{name}T")()
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    return True


def _constant(file: File, operator: Any) -> bool:
    """Change the numbers that a sum or a product reads by a thousandth."""
    if file.kind(operator) not in ("ADD", "MUL", "SUB", "MINIMUM", "MAXIMUM"):
        return False
    for index in operator.inputs:
        tensor = file.tensor(int(index))
        numbers = file.read(tensor)
        if numbers is not None and numbers.dtype.kind == "f" and numbers.any():
            file.write(tensor, numbers * numbers.dtype.type(1.002))
            return True
    return False


def _pads(file: File, operator: Any) -> bool:
    """Move a border from before the image to behind it."""
    numbers = file.read(file.tensor(int(operator.inputs[1]))) if file.kind(operator) in ("PAD", "PADV2") else None
    if numbers is None or numbers.shape != (4, 2) or not numbers[1, 0]:
        return False
    numbers[1] += (-1, 1)
    file.write(file.tensor(int(operator.inputs[1])), numbers)
    return True


def _skipped(file: File, operator: Any) -> bool:
    """Let what reads an operator read its input instead, where both have the same sizes."""
    graph = file.graph
    before, made = int(operator.inputs[0]), int(operator.outputs[0])
    same = np.array_equal(graph.tensors[before].shape, graph.tensors[made].shape)
    idle = (
        file.kind(operator) in ("DEQUANTIZE", "QUANTIZE", "RESHAPE")
        or graph.tensors[before].type != graph.tensors[made].type
    )
    readers = [one for one in graph.operators if made in one.inputs]
    if not same or idle or not readers or graph.tensors[made].type not in (0, 9):
        return False
    for one in readers:
        one.inputs = np.array([before if index == made else index for index in one.inputs], np.int32)
    return True


def _scale(place: int, *, output: bool = False) -> Edit:
    """Move a scale by some float32 steps: of weights (1), of a bias (2), or of what a weighted operator gives."""

    def edit(file: File, operator: Any) -> bool:
        if file.kind(operator) not in WEIGHTED or (not output and len(operator.inputs) <= place):
            return False
        index = int(operator.outputs[0] if output else operator.inputs[place])
        found = file.graph.tensors[index].quantization if index >= 0 else None
        if found is None or found.scale is None or not len(found.scale):
            return False
        reads = {int(one.inputs[0]) for one in file.graph.operators if file.kind(one) in WEIGHTED}
        integer = file.graph.tensors[int(operator.inputs[0])].type in (3, 9)
        if not integer or (output and index not in reads):
            return False
        scale = np.array(found.scale, np.float32)
        scale[0] += SCALE_STEPS * np.spacing(scale[0])
        found.scale = scale
        return True

    return edit


KINDS: dict[str, Edit] = {
    "weight off by a step": _stored(1, _one_off),
    "weights times 1.0001": _stored(1, _scaled(1.0001)),
    "bias shifted": _stored(2, _shifted),
    "output channels exchanged": _stored(1, _exchanged(0)),
    "input channels exchanged": _stored(1, _exchanged(-1)),
    "kernel turned": _stored(1, _turned),
    "constant changed": _constant,
    "stride": _option(WINDOWED, "strideH", lambda before: 3 - before if before in (1, 2) else None),
    "padding": _option(WINDOWED, "padding", lambda before: 1 - before),
    "dilation": _option(WEIGHTED[:2], "dilationWFactor", lambda before: before + 1),
    "activation lost": _option((*WEIGHTED, "ADD"), "fusedActivationFunction", lambda _: NO_ACTIVATION),
    "activation gained": _option((*WEIGHTED, "ADD", "MUL"), "fusedActivationFunction", lambda one: one or RELU),
    "other end of an activation": _option(
        (*WEIGHTED, "ADD"), "fusedActivationFunction", {RELU: RELU6, RELU6: RELU}.get
    ),
    "axis": _option(("CONCATENATION",), "axis", lambda before: before - 1 if before in (2, 3) else None),
    "slope": _option(("LEAKY_RELU",), "alpha", lambda before: before * 1.01),
    "other operation": _other_kind,
    "border": _pads,
    "operator skipped": _skipped,
    "scale of weights": _scale(1),
    "scale of a bias": _scale(2),
    "scale of an activation": _scale(0, output=True),
}


def mutants(data: bytes, *, each: int = 3) -> Iterator[tuple[str, str, bytes]]:
    """Yield kind, the operator's name and the file, `each` operators a kind, spread over the file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    count = len(schema.ModelT.InitFromPackedBuf(data, 0).subgraphs[0].operators)
    for kind, edit in KINDS.items():
        fits = [at for at in range(count) if _made(schema, data, names, edit, at) is not None]
        chosen = {fits[round(one)] for one in np.linspace(0, len(fits) - 1, min(each, len(fits)))} if fits else set()
        for at in sorted(chosen):
            made = _made(schema, data, names, edit, at)
            if made is not None:
                yield kind, *made


def _made(schema: Any, data: bytes, names: dict[int, str], edit: Edit, at: int) -> tuple[str, bytes] | None:
    import flatbuffers  # type: ignore[import-untyped]

    file = File(schema.ModelT.InitFromPackedBuf(data, 0), names)
    operator = file.graph.operators[at]
    if not edit(file, operator):
        return None
    builder = flatbuffers.Builder(len(data) + 65536)
    builder.Finish(file.model.Pack(builder), b"TFL3")
    return f"{file.graph.tensors[operator.outputs[0]].name.decode()} ({file.kind(operator)})", bytes(builder.Output())
