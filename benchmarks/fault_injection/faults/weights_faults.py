"""Faults of the weights on their way into the files: the graph is right, the numbers in it are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fault_injection.faults.fault import Fault
from benchmarks.fault_injection.faults.onnx_edit import constant, put

CONV, NORM, DENSE = "body.layer2.0.conv1", "body.layer3.0.bn1", "head.dense2"


def _nan(model: Any, severity: float) -> None:
    weight = constant(model, f"{CONV}.weight")
    weight.flat[: int(severity)] = np.nan
    put(model, f"{CONV}.weight", weight)


def _filter_zeroed(model: Any, severity: float) -> None:
    weight = constant(model, f"{CONV}.weight")
    weight[: int(severity)] = 0
    put(model, f"{CONV}.weight", weight)


def _scaled(model: Any, severity: float) -> None:
    weight = constant(model, f"{CONV}.weight")
    put(model, f"{CONV}.weight", (weight * (1.0 + severity)).astype(np.float32))


def _layers_swapped(model: Any, _: float) -> None:
    first, second = "body.layer4.0.bn2", "body.layer4.0.downsample.1"
    for part in ("weight", "bias", "running_mean", "running_var"):
        here, there = constant(model, f"{first}.{part}"), constant(model, f"{second}.{part}")
        put(model, f"{first}.{part}", there)
        put(model, f"{second}.{part}", here)


def _bias_dropped(model: Any, severity: float) -> None:
    bias = constant(model, f"{DENSE}.bias")
    put(model, f"{DENSE}.bias", (bias * (1.0 - severity)).astype(np.float32))


def _bfloat16(model: Any, _: float) -> None:
    weight = constant(model, f"{CONV}.weight")
    bits = weight.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
    put(model, f"{CONV}.weight", rounded.view(np.float32))


def _mean_variance_swapped(model: Any, _: float) -> None:
    mean, variance = constant(model, f"{NORM}.running_mean"), constant(model, f"{NORM}.running_var")
    put(model, f"{NORM}.running_mean", variance)
    put(model, f"{NORM}.running_var", np.abs(mean))


def _channels_permuted(model: Any, severity: float) -> None:
    """Roll so many leading input channels by one; the other channels keep their places."""
    weight = constant(model, f"{CONV}.weight")
    count = int(severity)
    weight[:, :count] = np.roll(weight[:, :count], 1, axis=1)
    put(model, f"{CONV}.weight", weight)


def _transposed(model: Any, _: float) -> None:
    put(model, f"{CONV}.weight", constant(model, f"{CONV}.weight").transpose(0, 1, 3, 2))


def _dense_transposed(model: Any, _: float) -> None:
    """dense1 is square (512 x 512), so a transposed matrix fits where it does not belong."""
    put(model, "head.dense1.weight", constant(model, "head.dense1.weight").T)


def _initial_statistics(model: Any, _: float) -> None:
    """The statistics that a BatchNorm is made with: mean 0, variance 1."""
    put(model, f"{NORM}.running_mean", np.zeros_like(constant(model, f"{NORM}.running_mean")))
    put(model, f"{NORM}.running_var", np.ones_like(constant(model, f"{NORM}.running_var")))


def _fault(name: str, what: str, inject: Any, *nodes: str, severities: tuple[float, ...] = (1.0,)) -> Fault:
    return Fault(name, "weights", what, inject, nodes=nodes, severities=severities)


SCALES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
FAULTS = (
    _fault("nan weight", "NaN in one weight of a convolution", _nan, CONV),
    _fault("filter zeroed", "one of 128 filters is zero", _filter_zeroed, CONV),
    _fault("layer scaled", "a convolution's weights times 1 + s", _scaled, CONV, severities=SCALES),
    _fault("BatchNorms swapped", "two BatchNorms of equal width changed places", _layers_swapped,
           "body.layer4.0.bn2", "body.layer4.0.downsample.1"),
    _fault("bias dropped", "a dense layer's bias times 1 - s", _bias_dropped, DENSE,
           severities=(1.0, 1e-1, 1e-2, 1e-3, 1e-4)),
    _fault("bfloat16", "a convolution's weights rounded to bfloat16", _bfloat16, CONV),
    _fault("mean and variance swapped", "of one BatchNorm", _mean_variance_swapped, NORM),
    _fault("channels permuted", "s leading input channels rolled by one", _channels_permuted, CONV,
           severities=(64, 8, 2)),
    _fault("kernel transposed", "height and width of one layer's 3 x 3 kernels", _transposed, CONV),
    _fault("dense transposed", "a square dense layer's matrix", _dense_transposed, "head.dense1"),
    _fault("initial statistics", "one BatchNorm with mean 0 and variance 1", _initial_statistics, NORM),
)  # fmt: skip
