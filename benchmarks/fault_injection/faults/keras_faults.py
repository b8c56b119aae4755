"""Faults of the Keras layers: the ONNX is right, a layer was built with other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fault_injection.faults.fault import Fault

CONV, NORM, STRIDED_PAD = "body.layer3.0.conv2", "body.bn1", "body.layer2.0.conv1.pad"


def _kernel(model: Any, change: Any) -> None:
    layer = model.get_layer(CONV)
    kernel, *rest = layer.get_weights()
    layer.set_weights([np.ascontiguousarray(change(kernel)), *rest])


def _kernel_transposed(model: Any, _: float) -> None:
    _kernel(model, lambda kernel: kernel.transpose(1, 0, 2, 3))


def _layout_swapped(model: Any, _: float) -> None:
    """Input and output channels in the wrong order, which fits where both are 256."""
    _kernel(model, lambda kernel: kernel.transpose(0, 1, 3, 2))


def _kernel_turned(model: Any, _: float) -> None:
    """A convolution where a correlation is meant: the kernel turned by 180 degrees."""
    _kernel(model, lambda kernel: kernel[::-1, ::-1])


def _stale_layer(model: Any, severity: float) -> None:
    rng = np.random.default_rng(3)
    _kernel(model, lambda kernel: kernel + (severity * kernel.std() * rng.standard_normal(kernel.shape)).astype("f4"))


def _epsilon(model: Any, severity: float) -> None:
    model.get_layer(NORM).epsilon = severity


def _same_padding(model: Any, _: float) -> None:
    model.get_layer(STRIDED_PAD).padding = ((0, 1), (0, 1))


def _pool_same(model: Any, _: float) -> None:
    model.get_layer("body.maxpool.pad.Pad").padding = ((0, 0), (0, 0))
    model.get_layer("body.maxpool.pool.MaxPool").padding = "same"


def _leaky(model: Any, severity: float) -> None:
    model.get_layer("body.layer2.0.relu.Relu").negative_slope = severity


def _flatten_order(model: Any, _: float) -> None:
    """As flattening channels first and reading channels last would permute them."""
    layer = model.get_layer("head.dense1")
    kernel, bias = layer.get_weights()
    order = np.arange(len(kernel)).reshape(16, -1).T.reshape(-1)
    layer.set_weights([kernel[order], bias])


def _gamma_beta(model: Any, _: float) -> None:
    layer = model.get_layer("body.layer4.0.bn1")
    gamma, beta, *rest = layer.get_weights()
    layer.set_weights([beta, gamma, *rest])


def _momentum(model: Any, severity: float) -> None:
    model.get_layer(NORM).momentum = severity


def _fault(
    name: str, what: str, inject: Any, *nodes: str, severities: tuple[float, ...] = (1.0,), why: str = ""
) -> Fault:
    return Fault(f"Keras: {name}", "Keras", what, inject, "model.keras", nodes, severities, why)


FAULTS = (
    _fault("kernel transposed", "height and width", _kernel_transposed, CONV),
    _fault("layout swapped", "input and output channels of a square kernel", _layout_swapped, CONV),
    _fault("kernel turned", "by 180 degrees", _kernel_turned, CONV),
    _fault("stale layer", "weights moved by s of their deviation, as of another epoch", _stale_layer, CONV,
           severities=(0.1, 1e-3, 1e-5)),
    _fault("epsilon", "s in one BatchNorm; 1e-3 is Keras's default", _epsilon, NORM, severities=(1e-3, 1e-4, 1.1e-5)),
    _fault("SAME padding", "0, 1 instead of 1, 1 at stride 2", _same_padding, "body.layer2.0.conv1"),
    _fault("SAME pooling", "padded behind the image alone", _pool_same, "body.maxpool.pad.Pad",
           "body.maxpool.pool.MaxPool"),
    _fault("leaky ReLU", "slope s below zero", _leaky, "body.layer2.0.relu.Relu", severities=(1e-1, 1e-3, 1e-5)),
    _fault("flatten order", "a dense layer's inputs permuted", _flatten_order, "head.dense1"),
    _fault("gamma and beta swapped", "of one BatchNorm", _gamma_beta, "body.layer4.0.bn1"),
    _fault("momentum", "0.5 instead of 0.9", _momentum, severities=(0.5,), why="it counts in training alone"),
)  # fmt: skip
