"""Faults of finished TFLite files: other constants, other ranges, other axes, other outputs, fewer bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fault_injection.faults.fault import Fault
from benchmarks.fault_injection.faults.tflite_edit import edited, operation, output_of, read, tensor, weights_of, write

CONV = "body.layer3.0.conv2_1/"
FUSED = ("body.layer3.0.conv2", "body.layer3.0.bn2")
RELU = "body.layer2.0.relu.Relu_1/"
PAD = "body.maxpool.pad.Pad"


def _constants(model: Any, severity: float) -> None:
    one = weights_of(model, CONV)
    write(model, one, (read(model, one) * (1.0 + severity)).astype(np.float32))


def _filter_zeroed(model: Any, severity: float) -> None:
    one = weights_of(model, CONV)
    values = read(model, one)
    values[: int(severity)] = 0
    write(model, one, values)


def _constant_output(model: Any, _: float) -> None:
    """The last dense layer's weights are zero, so every film gets its bias."""
    one = weights_of(model, "StatefulPartitionedCall:1")
    write(model, one, np.zeros_like(read(model, one)))


def _activation_lost(model: Any, _: float) -> None:
    operation(model, RELU).builtinOptions.fusedActivationFunction = 0


def _relu6(model: Any, _: float) -> None:
    operation(model, "body.layer4.0.relu.Relu_1_2/").builtinOptions.fusedActivationFunction = 2  # RELU_N1_TO_1


def _stride_padding(model: Any, _: float) -> None:
    """Pad behind the image alone; the tensor of paddings is the stem's own, others share none."""
    pad = operation(model, "body.conv1.pad")
    write(model, tensor(model, pad.inputs[1]), np.array([[0, 0], [2, 4], [2, 4], [0, 0]], np.int32))


def _outputs_swapped(model: Any, _: float) -> None:
    outputs = {one.name: one for one in model.signatureDefs[0].outputs}
    first, second = outputs[b"logits"], outputs[b"probability"]
    first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex


def _axis(model: Any, _: float) -> None:
    """One scale an input channel, where the kernels take it for an output channel's: both are 256."""
    one = weights_of(model, CONV)
    real = read(model, one) * np.asarray(one.quantization.scale, np.float32).reshape(-1, 1, 1, 1)
    scale = (np.abs(real).max((0, 1, 2)) / 127).astype(np.float32)
    write(model, one, np.rint(real / scale).clip(-127, 127).astype(np.int8))
    one.quantization.scale, one.quantization.quantizedDimension = scale, 3


def _scales_rolled(model: Any, _: float) -> None:
    """Each filter gets its neighbour's scale: what a wrong axis of equal length does."""
    one = weights_of(model, CONV).quantization
    one.scale = np.roll(one.scale, 1)


def _range(model: Any, severity: float) -> None:
    """An activation's range is a share of what it was; the operation before and behind it read the same scale."""
    one = output_of(model, RELU).quantization
    one.scale = (np.asarray(one.scale) * severity).astype(np.float32)


def _poisoned(model: Any, severity: float) -> None:
    """The border's -3.4e38 was merged into the range: one step is 1e36 wide."""
    pad = operation(model, PAD)
    for index in (pad.inputs[0], pad.outputs[0], operation(model, "body.maxpool.pool.MaxPool").outputs[0]):
        one = tensor(model, index).quantization
        one.scale = np.full_like(np.asarray(one.scale, np.float32), severity)


def _input_scale(model: Any, severity: float) -> None:
    one = tensor(model, model.subgraphs[0].inputs[0]).quantization
    one.scale = np.array([severity], np.float32)


def _range_shifted(model: Any, severity: float) -> None:
    one = output_of(model, CONV).quantization
    one.zeroPoint = np.asarray(one.zeroPoint) + int(severity)


def _zero_point(model: Any, severity: float) -> None:
    """The zero point of what a layer reads is taken off a second time, in its bias."""
    layer = operation(model, CONV, inputs=2)
    read_from, weights, bias = (tensor(model, index) for index in layer.inputs)
    summed = read(model, weights).astype(np.int64).sum((1, 2, 3)) * int(np.asarray(read_from.quantization.zeroPoint)[0])
    write(model, bias, (read(model, bias) - np.rint(severity * summed)).astype(np.int32))


def _nan_scale(model: Any, _: float) -> None:
    one = weights_of(model, CONV).quantization
    scale = np.array(one.scale, np.float32)
    scale[0] = np.nan
    one.scale = scale


def _overflow(model: Any, _: float) -> None:
    """A value beyond 65,504 has become infinite in float16."""
    one = _half(model)
    values = read(model, one)
    values.flat[0] = np.inf
    write(model, one, values)


def _half_scaled(model: Any, severity: float) -> None:
    one = _half(model)
    write(model, one, (read(model, one) * (1.0 + severity)).astype(np.float16))


def _half(model: Any) -> Any:
    """Return the float16 weights of the layer; a DEQUANTIZE stands between them and it."""
    graph = model.subgraphs[0]
    wanted = operation(model, CONV, inputs=2).inputs[1]
    [source] = [one.inputs[0] for one in graph.operators if one.outputs[0] == wanted]
    return tensor(model, source)


def _truncated(data: bytes, severity: float) -> bytes:
    return data[: int(len(data) * (1.0 - severity))]


FLOAT, HALF, DYNAMIC, INT8 = (f"model_{name}.tflite" for name in ("float32", "float16", "dynamic", "int8"))


def _fault(
    path: str, name: str, what: str, inject: Any, *nodes: str, severities: tuple[float, ...] = (1.0,), why: str = ""
) -> Fault:
    kind = path.removeprefix("model_").removesuffix(".tflite")
    return Fault(f"{kind}: {name}", "TFLite", what, inject, path, nodes, severities, why)


FAULTS = (
    _fault(FLOAT, "constants", "one layer's times 1 + s", edited(_constants), *FUSED,
           severities=(1e-1, 1e-3, 1e-5, 1e-6)),
    _fault(FLOAT, "truncated", "the last share s of the file is missing", _truncated, severities=(0.5, 1e-2)),
    _fault(FLOAT, "constant output", "the last dense layer's weights are zero", edited(_constant_output),
           "head.dense3"),
    _fault(FLOAT, "activation lost", "a fused ReLU is none", edited(_activation_lost), "body.layer2.0.relu.Relu"),
    _fault(FLOAT, "other activation", "clipped to -1..1 instead of ReLU", edited(_relu6), "body.layer4.0.relu.Relu_1"),
    _fault(FLOAT, "padding", "2, 4 instead of 3, 3 around the stem", edited(_stride_padding), "body.conv1"),
    _fault(FLOAT, "outputs swapped", "logits and probability", edited(_outputs_swapped)),
    _fault(HALF, "overflow", "an infinite constant", edited(_overflow), *FUSED),
    _fault(HALF, "constants", "one layer's times 1 + s", edited(_half_scaled), *FUSED, severities=(1e-1, 1e-2, 1e-3)),
    _fault(DYNAMIC, "NaN scale", "of one filter", edited(_nan_scale), *FUSED),
    _fault(DYNAMIC, "wrong axis", "weights quantized along axis 3 instead of 0", edited(_axis), *FUSED),
    _fault(DYNAMIC, "scales rolled", "each filter has its neighbour's", edited(_scales_rolled), *FUSED),
    _fault(INT8, "wrong axis", "weights quantized along axis 3 instead of 0", edited(_axis), *FUSED),
    _fault(INT8, "scales rolled", "each filter has its neighbour's", edited(_scales_rolled), *FUSED),
    _fault(INT8, "range too narrow", "one activation's is s of what it was", edited(_range), "body.layer2.0.relu.Relu",
           severities=(0.25, 0.5, 0.75, 0.9)),
    _fault(INT8, "PADV2 poison", "a step of the stem's border is s wide", edited(_poisoned), "body.maxpool.pad.Pad",
           "body.relu.Relu", "body.maxpool.pool.MaxPool", severities=(1.3e36, 1e4, 10)),
    _fault(INT8, "input scale", "s instead of 1 grey level", edited(_input_scale), severities=(1 / 255, 0.999)),
    _fault(INT8, "zero point", "a share s of it taken off a second time in the bias", edited(_zero_point), *FUSED,
           severities=(1.0, 0.1, 1e-2, 1e-3)),
    _fault(INT8, "filters zeroed", "s of 256", edited(_filter_zeroed), *FUSED, severities=(64, 8, 1)),
    _fault(INT8, "range shifted", "one activation's, by 16 steps", edited(_range_shifted), severities=(16,),
           why="a choice of range like another: the answers move less than between the file's two kernel sets"),
)  # fmt: skip
