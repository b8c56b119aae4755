"""Faults of the ONNX graph: operations dropped, exchanged, or given other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fault_injection.faults.fault import Fault
from benchmarks.fault_injection.faults.onnx_edit import (
    add_constant,
    attribute,
    constant,
    insert_before,
    node,
    nodes_of,
    put,
    replace_node,
)

RELU, ADD, STRIDED = "body.layer2.0.relu.Relu", "body.layer3.0.Add", "body.layer2.0.conv1"
STEM, FIRST_BLOCK = "body.conv1", "body.layer1.0.conv1"


def _residual_dropped(model: Any, _: float) -> None:
    replace_node(model, ADD, "Identity", [node(model, ADD).input[0]])


def _leaky(model: Any, severity: float) -> None:
    replace_node(model, RELU, "LeakyRelu", alpha=severity)


def _relu6(model: Any, severity: float) -> None:
    """The last one's: none before it reaches 6 on any film here."""
    bounds = [
        add_constant(model, "low", np.array(0, np.float32)),
        add_constant(model, "high", np.array(severity, np.float32)),
    ]
    name = "body.layer4.0.relu.Relu_1"
    replace_node(model, name, "Clip", [node(model, name).input[0], *bounds])


def _relu_missing(model: Any, _: float) -> None:
    replace_node(model, RELU, "Identity")


def _epsilon(model: Any, severity: float) -> None:
    for one in nodes_of(model, "BatchNormalization"):
        attribute(model, one.name, "epsilon").f = severity


def _momentum(model: Any, severity: float) -> None:
    for one in nodes_of(model, "BatchNormalization"):
        attribute(model, one.name, "momentum").f = severity


def _stride_moved(model: Any, _: float) -> None:
    attribute(model, STRIDED, "strides").ints[:] = [1, 1]
    attribute(model, "body.layer2.0.conv2", "strides").ints[:] = [2, 2]


def _same_padding(model: Any, _: float) -> None:
    attribute(model, STRIDED, "pads").ints[:] = [0, 0, 1, 1]


def _same_padding_stem(model: Any, _: float) -> None:
    attribute(model, STEM, "pads").ints[:] = [2, 2, 3, 3]


def _stem_transposed(model: Any, _: float) -> None:
    put(model, f"{STEM}.weight", constant(model, f"{STEM}.weight").transpose(0, 1, 3, 2))


def _average_pool(model: Any, _: float) -> None:
    replace_node(model, "body.maxpool.pool.MaxPool", "AveragePool", kernel_shape=[3, 3], strides=[2, 2])


def _pool_border(model: Any, _: float) -> None:
    put(model, node(model, "body.maxpool.pad.Pad").input[1], np.array([0, 0, 0, 0, 0, 0, 2, 2]))


def _border_value(model: Any, severity: float) -> None:
    put(model, node(model, "body.maxpool.pad.Pad").input[2], np.array(-severity, np.float32))


def _input_transposed(model: Any, _: float) -> None:
    insert_before(model, "graph.Sub", "Transpose", perm=[0, 1, 3, 2])


def _input_mirrored(model: Any, _: float) -> None:
    _mirror(model, "graph.Sub", axis=3)


def _mirror(model: Any, reader: str, *, axis: int) -> None:
    values = {"starts": -1, "ends": np.iinfo(np.int64).min, "axes": axis, "steps": -1}
    names = [add_constant(model, f"mirror.{key}", np.array([value], np.int64)) for key, value in values.items()]
    insert_before(model, reader, "Slice", tuple(names))


def _maximum_over_places(model: Any, _: float) -> None:
    node(model, "graph.ReduceMean").op_type = "ReduceMax"


def _evidence_transposed(model: Any, _: float) -> None:
    _append(model, "Transpose", perm=[0, 2, 1])


def _evidence_mirrored(model: Any, _: float) -> None:
    values = {"starts": -1, "ends": np.iinfo(np.int64).min, "axes": 2, "steps": -1}
    names = [add_constant(model, f"mirror.{key}", np.array([value], np.int64)) for key, value in values.items()]
    _append(model, "Slice", *names)


def _append(model: Any, op: str, *more: str, **attributes: Any) -> None:
    """Put an operation behind the evidence map, whose name it takes."""
    from onnx import helper

    node(model, "graph.Reshape_8").output[0] = "evidence_before"
    model.graph.node.append(helper.make_node(op, ["evidence_before", *more], ["evidence"], "faulty", **attributes))


def _greater_or_equal(model: Any, _: float) -> None:
    for one in nodes_of(model, "Greater"):
        one.op_type = "GreaterOrEqual"


def _dropout(model: Any, severity: float) -> None:
    """Traced in training mode: the mask of one dropout has become a constant."""
    kept = np.random.default_rng(7).random(512) >= severity
    mask = add_constant(model, "mask", (kept / (1 - severity)).astype(np.float32))
    insert_before(model, "head.bn2", "Mul", (mask,))


def _fault(
    name: str, what: str, inject: Any, *nodes: str, severities: tuple[float, ...] = (1.0,), why: str = ""
) -> Fault:
    return Fault(name, "ONNX", what, inject, nodes=nodes, severities=severities, equivalent=why)


EVIDENCE = ("graph.Reshape_8", "margin_1")
FAULTS = (
    _fault("residual dropped", "a shortcut's addition is gone", _residual_dropped, ADD),
    _fault("Relu -> LeakyRelu", "slope s below zero", _leaky, RELU,
           severities=(1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)),
    _fault("Relu -> Relu6", "clipped at s", _relu6, "body.layer4.0.relu.Relu_1", severities=(2.0, 4.0, 6.0)),
    _fault("Relu missing", "one activation is gone", _relu_missing, RELU),
    _fault("epsilon", "s in every BatchNorm instead of 1e-5", _epsilon, "body.bn1",
           severities=(1e-3, 1e-4, 2e-5, 1.1e-5, 1.01e-5)),
    _fault("stride moved", "from a block's first convolution to its second (v1 for v1.5)", _stride_moved, STRIDED),
    _fault("SAME padding", "0, 1 instead of 1, 1 around a 3 x 3 at stride 2", _same_padding, STRIDED),
    _fault("SAME padding in the stem", "2, 3 instead of 3, 3 around the 7 x 7 at stride 2", _same_padding_stem, STEM),
    _fault("stem transposed", "height and width of the 7 x 7 kernels", _stem_transposed, STEM),
    _fault("max -> average pooling", "in the stem", _average_pool, "body.maxpool.pool.MaxPool"),
    _fault("pooling's border", "both zeros behind the image, none before it", _pool_border, "body.maxpool.pad.Pad",
           "body.maxpool.pool.MaxPool"),
    _fault("input transposed", "height and width of the film", _input_transposed, "graph.Sub"),
    _fault("input mirrored", "left and right of the film", _input_mirrored, "graph.Sub"),
    _fault("mean -> maximum", "over the places of the last feature map", _maximum_over_places, "graph.ReduceMean"),
    _fault("dropout baked in", "the mask of one dropout of ratio s is a constant", _dropout, "head.bn2",
           severities=(0.5, 0.01)),
    _fault("map transposed", "height and width of the evidence", _evidence_transposed, *EVIDENCE),
    _fault("map mirrored", "left and right of the evidence", _evidence_mirrored, *EVIDENCE),
    _fault("BatchNorm's momentum", "0.99 instead of 0.9", _momentum, severities=(0.99,),
           why="it counts in training alone"),
    _fault("pooling's border value", "-3.4e38 instead of 0", _border_value, severities=(3.4e38,),
           why="behind a ReLU no value is below 0, so the border never is the maximum"),
    _fault("ReLU pattern at zero", "a ReLU at exactly 0 counts as open", _greater_or_equal,
           why="no pre-activation is exactly 0 on any film here"),
)  # fmt: skip
