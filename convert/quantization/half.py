"""Whether float16 arithmetic, as GPUs use it, holds what a network computes: what each operation reaches on films.

A float16 file stores weights in 16 bits and computes in 32; a GPU delegate computes in 16, whatever the file. What is
then beyond 65504 is infinite, so that a file can be right to 65 dB on a processor and answer NaN on a phone's GPU.
Partial sums inside a convolution or a dense layer are not looked at: which of them there are depends on the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from convert.formats.tflite.needs import OPERATORS
from convert.quantization.statistics import open_kept
from convert.worker import reuse_memory

FRAMEWORK = "litert"

LARGEST = 65504.0  # of float16
LEAST = 2.0**-14  # what is smaller has fewer than 11 bits there, or is taken for 0
VANISHED = 2.0**-25  # what is smaller is 0 there
MOST_NAMED = 20
FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
WHOLE = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Reached:
    """One number that float16 would not hold."""

    tensor: str
    operator: str
    kind: str  # value, sum (within a mean or a pool), stored
    largest: float  # how far it gets from zero


def reach(request: dict[str, Any]) -> dict[str, Any]:
    """Return how far what a float32 file computes gets from zero.

    Args:
        request: artefact (the file), images (path of uint8 [N, S, S], grey levels as the file takes them).

    Returns:
        films; largest, kind, tensor and operator of what gets furthest; beyond: what is larger than float16 can be,
        furthest first, and beyond_count, how many there are; small: what never reaches the smallest normal number of
        float16.
    """
    data, films = Path(request["artefact"]).read_bytes(), np.load(request["images"], allow_pickle=False)
    values = list(_values(data, films))
    stored = list(_stored(data))
    beyond = sorted((one for one in (*values, *stored) if one.largest > LARGEST), key=lambda one: -one.largest)
    small = [one for one in values if one.kind == "value" and 0 < one.largest < LEAST]
    small += [one for one in stored if one.largest < VANISHED]
    first = max(values, key=lambda one: one.largest)
    return {
        "films": len(films),
        **_rounded(first),
        "beyond": [_rounded(one) for one in beyond[:MOST_NAMED]],
        "beyond_count": len(beyond),
        "small": [_rounded(one) for one in small[:MOST_NAMED]],
    }


def _rounded(one: Reached) -> dict[str, Any]:
    return asdict(one) | {"largest": float(f"{one.largest:.4g}")}


def _values(data: bytes, films: NDArray[np.uint8]) -> Iterator[Reached]:
    """Yield what each operation gives on all films together, and what is summed within a mean or a pool."""
    model = schema.ModelT.InitFromPackedBuf(data)
    [graph] = model.subgraphs
    interpreter = open_kept(data)
    [given] = interpreter.get_input_details()
    rows = [(OPERATORS[_code(model, one)], one) for one in graph.operators]
    rows = [(name, one) for name, one in rows if graph.tensors[one.outputs[0]].type == FLOATS[0]]
    found, sums = dict[int, float](), dict[int, float]()
    with reuse_memory():
        for film in films:
            interpreter.set_tensor(given["index"], film.reshape(given["shape"]).astype(given["dtype"]))
            interpreter.invoke()
            for number, (name, one) in enumerate(rows):
                largest = _furthest(interpreter.get_tensor(int(one.outputs[0])))
                found[number] = max(found.get(number, 0.0), largest)
                if name == "MEAN":
                    axes = tuple(int(axis) for axis in interpreter.get_tensor(int(one.inputs[1])).ravel())
                    summed = np.abs(interpreter.get_tensor(int(one.inputs[0]))).sum(axis=axes, dtype=np.float64)
                    sums[number] = max(sums.get(number, 0.0), _furthest(summed))
                if name == "AVERAGE_POOL_2D":
                    window = one.builtinOptions.filterHeight * one.builtinOptions.filterWidth
                    sums[number] = max(sums.get(number, 0.0), min(largest * window, WHOLE))
    for number, (name, one) in enumerate(rows):
        tensor = _node(graph.tensors[one.outputs[0]])
        yield Reached(tensor, name, "value", found.get(number, 0.0))
        if number in sums:
            yield Reached(tensor, name, "sum", sums[number])


def _stored(data: bytes) -> Iterator[Reached]:
    """Yield stored numbers that float16 makes infinite, and single ones, such as an epsilon, that it makes 0."""
    model = schema.ModelT.InitFromPackedBuf(data)
    [graph] = model.subgraphs
    for one in graph.operators:
        for tensor in (graph.tensors[index] for index in one.inputs if index >= 0):
            content = model.buffers[tensor.buffer].data
            if tensor.type != FLOATS[0] or content is None or not len(content):
                continue
            numbers = np.frombuffer(bytes(content), np.float32)
            largest = _furthest(numbers)
            if largest > LARGEST or (len(numbers) == 1 and 0 < largest < VANISHED):
                yield Reached(_node(tensor), OPERATORS[_code(model, one)], "stored", largest)


def _code(model: Any, operator: Any) -> int:
    row = model.operatorCodes[operator.opcodeIndex]
    return int(max(row.builtinCode, row.deprecatedBuiltinCode))


def _node(tensor: Any) -> str:
    """Return the name of the last node whose work a tensor is, and of the step within it."""
    first, _, rest = tensor.name.decode(errors="replace").partition(";")
    return f"{first}/{rest.rpartition('/')[2]}" if "/" in rest else first


def _furthest(values: NDArray[Any]) -> float:
    """Return how far an array gets from zero; what is NaN or infinite is the largest number of float32."""
    largest = float(np.abs(values).max(initial=0.0))
    return min(largest, WHOLE) if np.isfinite(largest) else WHOLE
