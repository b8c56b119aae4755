"""Fold a BatchNorm into the dense layer that reads it, for the reduced files: the head's weights are then stored once.

TensorFlow's converter folds it where a film's one vector passes and not where its 49 places do, and
stores the same dense layer twice, folded and not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

EPSILON = 1e-5  # ONNX's own default


def fold_dense(model: onnx.ModelProto) -> int:
    """Fold, in place, every BatchNormalization whose readers are all Gemm nodes with the same stored weights.

    Two BatchNorms in front of the same weights (a film's vector and its places) have to be the same.

    Returns:
        The number of BatchNormalization nodes taken out.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [pair for node in model.graph.node if (pair := _pair(model, node)) is not None]
    changed: set[str] = set()
    for gemm, norm in pairs:
        if gemm.input[1] not in changed:  # a film's vector and its places share the layer: folded once
            _fold(constants, gemm, norm)
            changed |= set(gemm.input[1:])
    for gemm, norm in pairs:
        gemm.input[0] = norm.input[0]
        model.graph.node.remove(norm)
    _store(model, constants, changed)
    return len(pairs)


def _pair(model: onnx.ModelProto, norm: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """Return the Gemm that a BatchNormalization can go into, and the BatchNormalization."""
    gemm = _only_reader(model, norm)
    if norm.op_type != "BatchNormalization" or gemm is None or not _plain(gemm):
        return None
    stored = {tensor.name for tensor in model.graph.initializer}
    whole = stored.issuperset((*norm.input[1:], *gemm.input[1:]))
    return (gemm, norm) if whole and _mates_agree(model, gemm, norm) else None


def _only_reader(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto | None:
    name = node.output[0]
    readers = [one for one in model.graph.node if name in one.input]
    asked_for = name in {value.name for value in model.graph.output}
    return readers[0] if len(readers) == 1 and not asked_for else None


def _plain(node: onnx.NodeProto) -> bool:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    whole = len(node.input) == 3 and not scaled and not attributes.get("transA", 0)
    return bool(node.op_type == "Gemm" and whole)


def _mates_agree(model: onnx.ModelProto, gemm: onnx.NodeProto, norm: onnx.NodeProto) -> bool:
    """Whether everybody who reads these weights is the same layer, behind the same BatchNormalization of its own."""
    made = {node.output[0]: node for node in model.graph.node}
    mates = [node for node in model.graph.node if set(gemm.input[1:]) & set(node.input)]
    before = [made.get(mate.input[0]) for mate in mates]
    return all(_twins(mate, gemm) for mate in mates) and all(
        one is not None and _twins(one, norm) and _only_reader(model, one) is not None for one in before
    )


def _twins(one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    """Whether two nodes compute the same of their first input."""
    alike = one.op_type == other.op_type and list(one.attribute) == list(other.attribute)
    return bool(alike and one.input[1:] == other.input[1:])


def _fold(constants: dict[str, NDArray[Any]], gemm: onnx.NodeProto, norm: onnx.NodeProto) -> None:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in (*norm.attribute, *gemm.attribute)}
    scale, offset, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:5])
    factor = scale / np.sqrt(variance + attributes.get("epsilon", EPSILON))
    shift = offset - mean * factor
    weight, bias = (constants[name].astype(np.float64) for name in gemm.input[1:3])
    across = attributes.get("transB", 0)  # [out, in]
    constants[gemm.input[1]] = (weight * (factor if across else factor[:, None])).astype(np.float32)
    constants[gemm.input[2]] = (bias + (weight @ shift if across else shift @ weight)).astype(np.float32)


def _store(model: onnx.ModelProto, constants: dict[str, NDArray[Any]], changed: set[str]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(constants[tensor.name]), tensor.name))
