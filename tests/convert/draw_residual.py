"""Child of test_equalize.py: draw residual networks, rescale their channels, and ask ONNX Runtime before and after.

usage: draw_residual.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from draw_graphs import Graph, normal

from convert.formats.onnx_graph import read_graph
from convert.quantization.equalization import BALANCE, channel_groups, equalize, factors, measure_channels
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import Films, write_films

DRAW = np.random.default_rng(23)
DEAD = 1  # the channel of the inner tensor that never passes its ReLU


class Named(Graph):
    """Nodes with a name that a test can spell."""

    def call(self, name):
        self.nodes[-1].name = name
        return self

    def conv(self, name, given, made, side=1, **attributes):
        weight = normal(made, given, side, side) / np.float32(np.sqrt(given) * side)
        pads = [side // 2] * 4
        return self.add("Conv", weight, pads=pads, **attributes).call(name)

    def norm(self, name, channels, scale=None):
        """BatchNorm whose channels differ as much as those of a trained network: 1 to some 50."""
        uneven = np.exp(DRAW.normal(0, 1.3, channels)).astype(np.float32)
        given = [scale if scale is not None else self.store(uneven), self.store(uneven * normal(channels))]
        spread = [self.store(normal(channels) * np.float32(0.1)), self.store(np.full(channels, 1.0, np.float32))]
        return self.add("BatchNormalization", inputs=[self.last, *given, *spread]).call(name)

    def relu(self):
        return self.add("Relu")

    def plus(self, trunk):
        return self.add("Add", inputs=[self.last, trunk])


def residual(*, shared_norm=False, last="conv"):
    """Stem, a basic block, a bottleneck, and `last`: who reads the stream at its end."""
    graph = Named().shrink(4, 16)
    scale = graph.store(np.float32([1, 2, 3, 40])) if shared_norm else None
    graph.norm("stem.bn", 4, scale).relu()
    trunk = graph.last
    graph.conv("basic.conv1", 4, 6, 3).norm("basic.bn1", 6).relu()
    graph.conv("basic.conv2", 6, 4, 3).norm("basic.bn2", 4, scale).plus(trunk).relu()
    trunk = graph.last
    graph.conv("neck.conv1", 4, 3).norm("neck.bn1", 3).relu()
    graph.conv("neck.conv2", 3, 5, 3).norm("neck.bn2", 5).relu()
    graph.conv("neck.conv3", 5, 4).norm("neck.bn3", 4).plus(trunk).relu()
    return ENDS[last](graph)


def share_weights(graph):
    weight = next(node.input[1] for node in graph.nodes if node.name == "neck.conv1")
    return graph.add("Conv", inputs=[graph.last, weight]).call("end")


def pad(graph, pads, fill):
    return graph.add("Pad", np.int64(pads), np.float32(fill))


ENDS = {
    "conv": lambda graph: graph.conv("end", 4, 2),
    "output": lambda graph: graph,
    "depthwise": lambda graph: graph.add("Conv", normal(4, 1, 3, 3), group=4).call("end"),
    "grouped": lambda graph: graph.add("Conv", normal(6, 2, 3, 3), group=2).call("end"),
    "transpose": lambda graph: graph.add("Transpose", perm=[0, 2, 3, 1]),
    "reshape": lambda graph: graph.add("Reshape", np.int64([-1, 4, 196])),
    "mean": lambda graph: graph.add("ReduceMean", np.int64([2, 3]), keepdims=0),
    "sigmoid": lambda graph: graph.add("Sigmoid").conv("end", 4, 2),
    "shared_weight": share_weights,
    "pad_ones": lambda graph: pad(graph, [0, 0, 1, 1, 0, 0, 1, 1], 1).conv("end", 4, 2),
    "pad_zeros": lambda graph: pad(graph, [0, 0, 1, 1, 0, 0, 1, 1], 0).conv("end", 4, 2),
    "pad_channels": lambda graph: pad(graph, [0, 1, 0, 0, 0, 0, 0, 0], 0).conv("end", 5, 2),
    "pools": lambda graph: (
        graph.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
        .add("AveragePool", kernel_shape=[2, 2])
        .conv("end", 4, 2)
    ),
}


def plain():
    """Convolutions with biases and no BatchNorm: they are their own writers."""
    graph = Named().shrink(4, 16)
    graph.add("Conv", normal(5, 4, 3, 3), normal(5) * np.float32(9), pads=[1, 1, 1, 1]).call("first").relu()
    return graph.add("Conv", normal(2, 5, 1, 1), normal(2)).call("second")


def unnamed():
    """ONNX allows nodes without names."""
    graph = residual()
    for node in graph.nodes:
        node.name = ""
    return graph


def dead():
    """One channel of an inner tensor stays below zero on every film."""
    graph = Named().shrink(4, 16).norm("bn1", 4).relu().conv("inner", 4, 6).norm("bn2", 6)
    scale, bias = (next(c for c in graph.constants if c.name == name) for name in graph.nodes[-1].input[1:3])
    for tensor, value in ((scale, 0.0), (bias, -1.0)):
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[DEAD] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return graph.relu().conv("end", 6, 2)


def no_group():
    return Named().shrink(4, 16)


def drawn_graphs():
    ends = {f"residual_{last}": residual(last=last) for last in ENDS}
    shared = {"shared_norm": residual(shared_norm=True)}
    return ends | shared | {"plain": plain(), "unnamed": unnamed(), "dead": dead(), "no_group": no_group()}


def constants_as_nodes(source, place):
    """Write the same graph with its weights in Constant nodes instead of initializers."""
    model = onnx.load(str(source))
    nodes = [onnx.helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    rest = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    onnx.save(model, str(place))


def ask(path, model_inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    films = np.ascontiguousarray(as_model_input(model_inputs).transpose(0, 3, 1, 2))
    [answer] = session.run(None, {"image": films})
    return answer


def reach(path, groups, model_inputs):
    """Return what each channel of each group reaches, [group][channel]."""
    found = measure_channels(path, [name for group in groups for name in group.measured], model_inputs)
    return [np.max([found[name] for name in group.measured], axis=0).tolist() for group in groups]


def study(path, model_inputs, films):
    graph = read_graph(path)
    groups = channel_groups(graph)
    after = path.with_suffix(".equalized.onnx")
    said = equalize({"onnx": str(path), "films": str(films), "out": str(after)})
    first, second = ask(path, model_inputs), ask(after, model_inputs)
    return {
        "groups": [
            {
                "writers": [node.name for node in group.writers],
                "readers": [node.name for node in group.readers],
                "tensors": len(group.tensors),
                "measured": len(group.measured),
            }
            for group in groups
        ],
        "said": said,
        "largest": float(np.abs(first).max()),
        "difference": float(np.abs(first - second).max()),
        "moved": sum(_differ(graph.constants[name], value) for name, value in read_graph(after).constants.items()),
        "reach": reach(path, groups, model_inputs) if groups else [],
        "reach_after": reach(after, groups, model_inputs) if groups else [],
    }


def _differ(one, other):
    return bool(not np.array_equal(one, other))


def factors_of_extremes(path):
    """Return the factors of the stream where one channel reaches nothing, one hardly anything, one a million."""
    graph = read_graph(path)
    group = max(channel_groups(graph), key=lambda group: len(group.tensors))
    reached = {name: np.float32([0.0, 1e-20, 1.0, 1e12]) for name in group.measured}
    return [factors(graph, group, reached, balance).tolist() for balance in (0.0, BALANCE, 1.0)]


def main(folder):
    model_inputs = DRAW.integers(0, 256, (5, 224, 224)).astype(np.uint8)
    films = folder / "films.npz"
    write_films(films, Films(model_inputs[:3], np.int64([0, 1, 0]), np.full(3, "train")))
    found = {}
    for name, graph in drawn_graphs().items():
        graph.save(folder / f"{name}.onnx")
        found[name] = study(folder / f"{name}.onnx", model_inputs, films)
    constants_as_nodes(folder / "residual_conv.onnx", folder / "constants.onnx")
    found["constants"] = study(folder / "constants.onnx", model_inputs, films)
    extremes = factors_of_extremes(folder / "residual_conv.onnx")
    sys.stdout.write(json.dumps({"graphs": found, "extremes": extremes}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
