"""Faults of the export: the PyTorch network is built or run differently from training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.fault_injection.faults.fault import Fault

Change = Callable[[Any, float], Any]


def _train_mode(network: Any, _: float) -> Any:
    return network.train()


def _batch_statistics(network: Any, _: float) -> Any:
    """One BatchNorm normalises by the films of the batch, as in training."""
    import torch

    norm = network.network.body.bn1

    class OnBatch(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
            scaled = (x - mean) / torch.sqrt(variance + norm.eps)
            return scaled * norm.weight.reshape(1, -1, 1, 1) + norm.bias.reshape(1, -1, 1, 1)

    network.network.body.bn1 = OnBatch()
    return network


def _mean_off(network: Any, severity: float) -> Any:
    network.network.mean -= severity
    return network


def _mean_missing(network: Any, _: float) -> Any:
    network.network.mean.zero_()
    return network


def _deviation_missing(network: Any, _: float) -> Any:
    network.network.std.fill_(1.0)
    return network


def _swapped(network: Any, _: float) -> Any:
    network.network.mean, network.network.std = network.network.std, network.network.mean
    return network


def _zero_to_one(network: Any, _: float) -> Any:
    normalise = network.network.normalise
    network.network.normalise = lambda image: normalise(image / 255.0)
    return network


def _classes_swapped(network: Any, _: float) -> Any:
    last = network.network.head.dense3
    last.weight.data, last.bias.data = last.weight.data.flip(0), last.bias.data.flip(0)
    return network


def _sigmoid_twice(network: Any, _: float) -> Any:
    import torch

    forward = network.forward

    def twice(image: Any) -> Any:
        logits, probability, evidence = forward(image)
        return logits, torch.sigmoid(probability), evidence

    network.forward = twice
    return network


def _slope(network: Any, severity: float) -> Any:
    network.slope.add_((1.0 - network.slope) * severity)
    return network


def _offset(network: Any, severity: float) -> Any:
    network.offset.mul_(1.0 - severity)
    return network


def _unlocked(network: Any, _: float) -> Any:
    """The map's dense layers stand in a row without any ReLU between them."""
    head, margin = network.network.head, network.margin

    def evidence(places: Any, *_: Any) -> Any:
        rows = places.reshape(-1, network.network.features)
        return margin(head.dense2(head.bn2(head.dense1(head.bn1(rows)))))

    network._evidence = evidence
    return network


def _own_patterns(network: Any, _: float) -> Any:
    """Each place opens its own ReLUs instead of the film's."""
    import torch

    head, margin = network.network.head, network.margin

    def evidence(places: Any, *_: Any) -> Any:
        rows = torch.relu(head.dense1(head.bn1(places.reshape(-1, network.network.features))))
        return margin(torch.relu(head.dense2(head.bn2(rows))))

    network._evidence = evidence
    return network


def _half(network: Any, _: float) -> Any:
    return network.half().float()


def _stale(_: Any, severity: float) -> Any:
    """A network that was drawn with another seed."""
    from benchmarks.fault_injection.clean import draw_model_inputs, draw_network
    from torch_train.model.deployed import DeployedNetwork

    model_inputs, _labels = draw_model_inputs(8, first_seed=500)
    return DeployedNetwork(draw_network(model_inputs, seed=1000 + int(severity)), slope=1.2, offset=-0.3)


def _fault(
    name: str, what: str, inject: Change, *nodes: str, severities: tuple[float, ...] = (1.0,), why: str = ""
) -> Fault:
    return Fault(name, "PyTorch", what, inject, nodes=nodes, severities=severities, equivalent=why)


GREY = (10.0, 0.1, 0.001, 0.0001)
SHARES = (1.0, 1e-3, 1e-6)
LOCKED = ("graph.Mul_1", "graph.Reshape_2", "graph.Reshape_3", "graph.Reshape_4", "graph.Reshape_8", "head.bn2_1")
FAULTS = (
    _fault(
        "train mode",
        "exported without eval()",
        _train_mode,
        why="torch 2.11 exports BatchNorm in its inference form either way, and the deployed network calls no dropout",
    ),
    _fault("batch statistics", "the stem's BatchNorm normalises by the batch", _batch_statistics, "body.bn1"),
    _fault("mean missing", "0 instead of 114.5", _mean_missing, "graph.Sub"),
    _fault("mean off", "by s grey levels", _mean_off, "graph.Sub", severities=GREY),
    _fault("deviation missing", "1 instead of 57.6", _deviation_missing, "graph.Div"),
    _fault("mean and deviation swapped", "57.6 and 114.5", _swapped, "graph.Sub"),
    _fault("0..1 for 0..255", "the film is divided by 255 first", _zero_to_one, "graph.Sub"),
    _fault("classes swapped", "the logits of negative and positive", _classes_swapped, "head.dense3"),
    _fault("sigmoid twice", "of the probability", _sigmoid_twice, "graph.Sigmoid"),
    _fault("slope missing", "a share s of the way to 1", _slope, "graph.Mul", severities=SHARES),
    _fault("offset missing", "less a share s", _offset, "graph.Add", severities=SHARES),
    _fault("map without ReLU patterns", "no ReLU at all behind the map", _unlocked, *LOCKED),
    _fault("map with ReLU patterns of its own", "each place opens its own ReLUs", _own_patterns, *LOCKED),
    _fault("weights through float16", "half() before the export", _half, "graph.Sub", "graph.Div", "body.conv1"),
    _fault("stale checkpoint", "the ONNX of another training", _stale, "body.conv1"),
)
