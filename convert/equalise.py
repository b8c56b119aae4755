"""ONNX -> ONNX of the same function whose channels have more equal ranges, for the quantiser alone.

One int8 scale has to hold all channels of a tensor: a channel that never passes 1 beside one that
reaches 20 has twelve steps left. The factors balance what channels reach on the calibration films
against the weights that read them (Xiao 2022, arXiv 2211.10438, eq. 4), over whole residual
streams (convert.channel_groups).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.channel_groups import ChannelGroup, channel_groups
from convert.film_set import evenly
from convert.fold_dense import fold_dense
from convert.isolate import child_main
from convert.onnx_graph import Graph, load_plain, read_graph
from tbconv.contract.errors import ConversionError
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import read_films

BALANCE = 0.5  # how much of the unevenness moves into the weights; measured in docs/log.md
LARGEST_FACTOR = 100.0  # a channel that is dead on the calibration films is not blown up
FILMS = 32  # calibration films whose largest values count, at most
BATCH = 2  # every tensor of a batch is kept: 45 MB a film


def equalise(request: dict[str, Any]) -> dict[str, Any]:
    """Write the equalised graph, with the BatchNorms of dense layers folded.

    Args:
        request: onnx, films (path of calibration films), out; balance (0 to 1) may be given.

    Returns:
        converter, and how many groups and channels were rescaled.

    Raises:
        ConversionError: there are no calibration films.
    """
    source = Path(request["onnx"])
    graph = read_graph(source)
    groups = channel_groups(graph)
    squares = evenly(read_films(Path(request["films"])).squares, FILMS)
    if not len(squares):
        raise ConversionError(
            "there are no calibration films",
            why="what each channel reaches is measured on them",
            fix="train again: tbconv train --data DIR --out RUN",
        )
    reached = measure_channels(source, [name for group in groups for name in group.measured], squares)
    constants = dict(graph.constants)
    for group in groups:
        rescale(constants, group, factors(graph, group, reached, request.get("balance", BALANCE)))
    _write(source, constants, Path(request["out"]))
    channels = sum(len(reached[group.measured[0]]) for group in groups)
    return {"converter": f"tbconv's equalisation, onnx {onnx.__version__}", "groups": len(groups), "channels": channels}


def factors(graph: Graph, group: ChannelGroup, reached: dict[str, NDArray[np.float32]], balance: float) -> Any:
    """Return the factor of each channel, float32 [C]: what its tensors are divided by.

    Args:
        graph: its constants are the weights.
        group: of the graph.
        reached: by tensor, the largest |value| of each channel, [C].
        balance: 0 makes the weights even, 1 the activations.
    """
    activation = np.max([reached[name] for name in group.measured], axis=0).astype(np.float64)
    weight = np.max([np.abs(graph.constants[node.inputs[1]]).max((0, 2, 3)) for node in group.readers], axis=0)
    live = (activation > 0) & (weight > 0)
    factor = np.ones_like(activation)
    factor[live] = activation[live] ** balance / weight[live] ** (1 - balance)
    middle = np.exp(np.log(factor[live]).mean()) if live.any() else 1.0
    factor[live] /= middle
    return np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)


def rescale(constants: dict[str, NDArray[Any]], group: ChannelGroup, factor: NDArray[np.float32]) -> None:
    """Divide what is written into the group by the factor and multiply what reads it: the function stays."""
    for node in group.writers:
        names = node.inputs[1:3]  # weight and bias of Conv, scale and bias of BatchNormalization
        for name in (name for name in names if name):
            shape = (-1,) + (1,) * (constants[name].ndim - 1)
            constants[name] = constants[name] / factor.reshape(shape)
    for node in group.readers:
        constants[node.inputs[1]] = constants[node.inputs[1]] * factor.reshape(1, -1, 1, 1)


def measure_channels(source: Path, names: list[str], squares: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return by tensor the largest |value| that each channel reaches on the films, float32 [C]."""
    largest: dict[str, NDArray[np.float32]] = {}
    if not names:  # ONNX Runtime takes no graph without outputs
        return largest
    session = _session_with(source, names)
    for start in range(0, len(squares), BATCH):
        films = as_model_input(squares[start : start + BATCH]).transpose(0, 3, 1, 2)
        for name, value in zip(names, session.run(names, {"image": np.ascontiguousarray(films)}), strict=True):
            found = np.abs(value).max((0, 2, 3))
            largest[name] = np.maximum(largest.get(name, found), found)
    return largest


def _session_with(source: Path, names: list[str]) -> onnxruntime.InferenceSession:
    model = load_plain(source)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # what it holds back for the next batch is memory that others want
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _write(source: Path, constants: dict[str, NDArray[Any]], place: Path) -> None:
    model = load_plain(source)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    stored |= {node.output[0]: node.attribute[0].t for node in model.graph.node if _is_tensor(node)}
    for name, tensor in stored.items():
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(constants[name]), tensor.name))
    fold_dense(model)
    onnx.save(model, str(place))


def _is_tensor(node: onnx.NodeProto) -> bool:
    """Whether a node stores a tensor; what is written as plain attributes are axes and sizes, which stay."""
    return bool(node.op_type == "Constant" and node.attribute[0].name == "value")


if __name__ == "__main__":
    child_main(equalise)
