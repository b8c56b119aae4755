"""What a TFLite file needs of a runtime: the version of each operator, and the oldest release that has all of them.

A runtime refuses a version that it does not have. One that is too low is not refused: TensorFlow Lite 2.7 to 2.14 take
a dense layer with a scale a channel for one with a single scale and answer with that alone, without a word. So the
writer states what each operator needs, and a file's own statement is held against the same rules.

Sources: tensorflow/lite/tools/versioning/op_version.cc and runtime_version.cc, today in google-ai-edge/LiteRT under
tflite/converter/tools/versioning (read on 2026-11-30, releases up to 2.21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

FRAMEWORK = "litert"

ENTRY = "min_runtime_version"  # of a file's metadata, as TensorFlow's converter names it
BYTES = 16  # of its buffer
OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
KINDS = schema.TensorType
NAMES = {KINDS.INT8: "int8", KINDS.UINT8: "uint8"}

# The release of TensorFlow Lite that came with each version of an operator, from version 1 on.
RELEASES = {
    name: row.split()
    for name, row in {
        "ABS": "1.13 2.4 2.5 2.6 2.12",
        "ADD": "1.5 1.14 2.4 2.6 2.13",
        "AVERAGE_POOL_2D": "1.5 1.14 2.3",
        "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
        "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17 2.21",
        "CONCATENATION": "1.5 1.14 2.3 2.14 2.21",
        "COS": "1.14",
        "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
        "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
        "DEPTH_TO_SPACE": "2.1 2.5",
        "DEQUANTIZE": "1.13 1.14 1.15 2.2 2.7 2.18 2.21 2.22",
        "DIV": "1.6 2.3",
        "ELU": "1.14",
        "EQUAL": "1.14 1.14 2.3",
        "EXP": "1.7 2.12",
        "EXPAND_DIMS": "1.10",
        # version 10: their table says 2.11, and 2.11 and 2.12 refuse it (benchmarks/old_runtimes.py)
        "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.13 2.15 2.17 2.18 2.21",
        "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15",
        "GELU": "2.9 2.9",
        "GREATER": "1.14 1.14",
        "GREATER_EQUAL": "1.14 1.14",
        "HARD_SWISH": "1.15",
        "LEAKY_RELU": "1.13 2.3",
        "LESS": "1.14 1.14",
        "LESS_EQUAL": "1.14 1.14",
        "LOCAL_RESPONSE_NORMALIZATION": "1.5",
        "LOG": "1.14 2.15",
        "LOGICAL_AND": "1.11",
        "LOGICAL_NOT": "1.11",
        "LOGICAL_OR": "1.11",
        "LOGISTIC": "1.14 1.14 2.3",
        "LOG_SOFTMAX": "1.14 1.14",
        "MAXIMUM": "1.14 1.14 2.3 2.3",
        "MAX_POOL_2D": "1.5 1.14 2.3",
        "MEAN": "1.6 1.14 2.4",
        "MINIMUM": "1.14 1.14 2.3 2.3",
        "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13",
        "NEG": "1.9",
        "PACK": "1.11 1.14 2.3 2.13",
        "PAD": "1.5 1.14 2.4 2.6 2.20",
        "PADV2": "1.9 1.14 2.4 2.6 2.20",
        "POW": "1.10",
        "PRELU": "1.8",
        "QUANTIZE": "1.14 1.15 2.7 2.21 2.21 2.21",
        "REDUCE_MAX": "1.11 1.14 2.5",
        "RELU": "1.5 2.1 2.5",
        "RELU6": "1.5 1.14 2.5",
        "RELU_0_TO_1": "2.10",
        "RELU_N1_TO_1": "1.5",
        "RESHAPE": "1.5",
        "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
        "RESIZE_NEAREST_NEIGHBOR": "1.13 1.14 2.3 2.4",
        "RSQRT": "1.10 2.5 2.15",
        "SELECT_V2": "2.2",
        "SHAPE": "1.10",
        "SIN": "1.9",
        "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14 2.21",
        "SOFTMAX": "1.5 1.14 2.3",
        "SPACE_TO_DEPTH": "1.5 1.14",
        "SPLIT": "1.5 1.14 1.14 2.3",
        "SQRT": "1.10 2.21",
        "SQUARE": "1.12",
        "SQUARED_DIFFERENCE": "1.13 2.5",
        "SQUEEZE": "1.6 2.5",
        "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
        "SUB": "1.6 1.14 2.3 2.4 2.4",
        "SUM": "1.10 1.15",
        "TANH": "1.14 1.14 2.3",
        "TILE": "1.10 2.2 2.8",
        "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14",
        "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    }.items()
}

SINCE_INT8 = 2  # version of most operators that takes int8
OF_INT8 = {  # and of those where it is another one, or none of its own
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DIV": 1,
    "FULLY_CONNECTED": 4,
    "HARD_SWISH": 1,
    "QUANTIZE": 1,
    "RESHAPE": 1,
}
BEYOND_4D = {"MAXIMUM": 3, "MINIMUM": 3, "SUB": 3, "DIV": 2}  # that stretch one side along another of five axes
OF_RANK = {"PAD": {5: 4}, "STRIDED_SLICE": {5: 4}, "TRANSPOSE": {5: 4, 6: 6}}  # version by axes, from so many on
HYBRID = {"CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (3, 12)}  # a scale; a scale a channel
PER_CHANNEL_INT8 = 10  # of FULLY_CONNECTED: TensorFlow says 4, with which 2.7 to 2.9 answer zeros (measured)
KEEPS_AXES, NO_BIAS, GROUPED, DILATED, HALF, PER_CHANNEL, BY_ONE_OR_MORE = 5, 6, 6, 2, 3, 5, 3


def operator_version(code: int, inputs: Sequence[Any], output: Any, options: Any) -> int:
    """Return the lowest version of an operator that computes what is meant.

    Args:
        code: of schema.BuiltinOperator.
        inputs: its tensors, `schema.TensorT`.
        output: its tensor.
        options: of its kind, or None.
    """
    name, first = OPERATORS[code], inputs[0]
    ranks = [len(one.shape) for one in inputs]
    found = [1]
    if KINDS.INT8 in (output.type, first.type) and name != "DEQUANTIZE":
        found.append(OF_INT8.get(name, SINCE_INT8))
    if name in BEYOND_4D and max(ranks) > 4 and len({tuple(one.shape) for one in inputs}) > 1:
        found.append(BEYOND_4D[name])
    found += [version for rank, version in OF_RANK.get(name, {}).items() if ranks[0] >= rank]
    if name in HYBRID:
        found.append(_of_weights(name, inputs, options))
    if name == "DEQUANTIZE":
        several = first.type == KINDS.INT8 and scales(first) > 1
        found.append({KINDS.FLOAT16: HALF, KINDS.INT8: PER_CHANNEL if several else SINCE_INT8}.get(first.type, 1))
    if name == "MUL" and all(scales(one) for one in (*inputs, output)):
        factor = inputs[0].quantization.scale[0] * inputs[1].quantization.scale[0] / output.quantization.scale[0]
        found.append(BY_ONE_OR_MORE if factor >= 1 else 1)
    return max(found)


def _of_weights(name: str, inputs: Sequence[Any], options: Any) -> int:
    """Return the version of a layer with weights, by these."""
    first, kernel = inputs[:2]
    several, found = scales(kernel) > 1, [1]
    if first.type == KINDS.FLOAT32 and kernel.type == KINDS.INT8:
        found.append(HYBRID[name][several])
    if name == "CONV_2D" and kernel.shape[3] != first.shape[3]:
        found.append(GROUPED)
    if name == "DEPTHWISE_CONV_2D" and max(options.dilationHFactor, options.dilationWFactor) > 1:
        found.append(DILATED)
    if name == "FULLY_CONNECTED":
        found.append(KEEPS_AXES if options.keepNumDims else 1)
        found.append(NO_BIAS if len(inputs) < 3 else 1)
        found.append(PER_CHANNEL_INT8 if several and first.type == KINDS.INT8 else 1)
    return max(found)


def scales(tensor: Any) -> int:
    """Return how many scales a tensor has; 0 where it stands for no other numbers than its own."""
    found = getattr(tensor.quantization, "scale", None)
    return 0 if found is None else len(found)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a file needs of a runtime."""

    operators: dict[str, int]  # by name, the highest version
    runtime: str  # oldest release of TensorFlow Lite, such as "2.17"
    because: tuple[str, ...]  # operators that need that release
    unknown: tuple[str, ...] = ()  # operators of which no release is known here; the runtime is of the others
    understated: tuple[str, ...] = ()  # operators whose version in the file is too low: old runtimes answer wrongly

    def to_json(self) -> dict[str, Any]:
        """Return what reports and certificates hold; what is empty is left out."""
        told = {"runtime": self.runtime, "because": list(self.because), "operators": self.operators}
        rest = {"unknown": list(self.unknown), "understated": list(self.understated)}
        return told | {name: one for name, one in rest.items() if one}


def needs_of(operators: dict[str, int]) -> Needs:
    """Return what operators in these versions need."""
    releases = {name: release_of(name, version) for name, version in operators.items()}
    known = {name: one for name, one in releases.items() if one is not None}
    oldest = max(known.values(), key=_as_numbers, default="1.5")
    because = tuple(sorted(name for name, one in known.items() if one == oldest))
    return Needs(operators, oldest, because, tuple(sorted(releases.keys() - known.keys())))


def release_of(name: str, version: int) -> str | None:
    """Return the first release that has an operator in a version; None where that is not known here."""
    rows = RELEASES.get(name, [])
    return rows[version - 1] if 0 < version <= len(rows) else None


def _as_numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def read_needs(data: bytes) -> Needs:
    """Return what a file needs: the versions that it states, or those that its operators need where these are higher.

    Args:
        data: a whole TFLite file.
    """
    stated, needed = versions(data)
    found = needs_of({name: max(version, needed[name]) for name, version in stated.items()})
    low = tuple(name for name, version in stated.items() if needed[name] > version)
    return replace(found, understated=low)


def versions(data: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Return by operator the highest version that a file states, and the highest that one of them needs."""
    model = schema.ModelT.InitFromPackedBuf(data)
    stated, needed = dict[str, int](), dict[str, int]()
    for graph in model.subgraphs:
        for operator in graph.operators:
            row = model.operatorCodes[operator.opcodeIndex]
            code = max(row.builtinCode, row.deprecatedBuiltinCode)
            tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
            found = operator_version(code, tensors, graph.tensors[operator.outputs[0]], operator.builtinOptions)
            name = OPERATORS[code]
            stated[name] = max(stated.get(name, 1), row.version)
            needed[name] = max(needed.get(name, 1), found)
    return dict(sorted(stated.items())), needed


def stated_bytes(runtime: str) -> bytes:
    """Return how metadata states the oldest runtime: "2.17.0" in 16 bytes, as TensorFlow's converter does."""
    return f"{runtime}.0".encode().ljust(BYTES, b"\0")


def read_all(request: dict[str, Any]) -> dict[str, Any]:
    """Return what files need, by path, as `Needs.to_json`, and their integer `tensors`; request: files (paths)."""
    data = {path: Path(path).read_bytes() for path in request["files"]}
    return {path: read_needs(one).to_json() | {"tensors": integer_ends(one)} for path, one in data.items()}


def integer_ends(data: bytes) -> dict[str, list[Any]]:
    """Return the inputs and outputs that are integers, by name: dtype, scale and zero point of one step."""
    model = schema.ModelT.InitFromPackedBuf(data)
    found = dict[str, list[Any]]()
    for signature in model.signatureDefs or []:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        for one in (*signature.inputs, *signature.outputs):
            tensor = tensors[one.tensorIndex]
            if tensor.type in NAMES and scales(tensor) == 1:
                scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
                found[one.name.decode()] = [NAMES[tensor.type], scale, zero]
    return found
