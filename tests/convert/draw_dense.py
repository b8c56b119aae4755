"""Child of test_fold_dense.py: draw heads with BatchNorms before dense layers, fold them, and ask before and after.

usage: draw_dense.py FOLDER
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from draw_graphs import FILMS, Graph, normal, statistics
from onnx import TensorProto, helper

from convert.quantization.equalization import fold_dense

CHANNELS, HIDDEN = 4, 5


class Head(Graph):
    """A film's places [N * 49, 4] and its mean [N, 4], from which dense layers are applied."""

    def __init__(self):
        super().__init__()
        self.shrink(CHANNELS).add("Transpose", perm=[0, 2, 3, 1]).add("Reshape", np.int64([-1, 49, CHANNELS]))
        rows = self.last
        self.mean = self.add("ReduceMean", np.int64([1]), keepdims=0).last
        self.places = self.add("Reshape", inputs=[rows, self.store(np.int64([-1, CHANNELS]))]).last
        self.asked_for = []

    def constants_of(self, arrays):
        return [self.store(array) for array in arrays]

    def norm(self, given, constants, **attributes):
        return self.add("BatchNormalization", inputs=[given, *constants], **attributes).last

    def dense(self, given, constants, **attributes):
        return self.add("Gemm", inputs=[given, *constants], **attributes).last

    def join(self, vector, rows):
        """Multiply a film's hidden vector with that of each place: both branches reach the answer."""
        vector = self.add("Reshape", inputs=[vector, self.store(np.int64([-1, 1, HIDDEN]))]).last
        rows = self.add("Reshape", inputs=[rows, self.store(np.int64([-1, 49, HIDDEN]))]).last
        return self.add("Mul", inputs=[rows, vector])

    def save(self, path):
        super().save(path)
        model = onnx.load(str(path))
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.asked_for
        )
        onnx.save(model, str(path))


def layer(graph, across):
    weight = normal(HIDDEN, CHANNELS) if across else normal(CHANNELS, HIDDEN)
    return graph.constants_of([weight, normal(HIDDEN)])


def lone(*, across=0, epsilon=None):
    graph = Head()
    attributes = {} if epsilon is None else {"epsilon": epsilon}
    norm = graph.norm(graph.mean, graph.constants_of(statistics(CHANNELS)), **attributes)
    graph.dense(norm, layer(graph, across), transB=across)
    return graph


def shared(*, across=1, second=None, epsilon=1e-5, **attributes):
    """One dense layer for the vector and for the places; `second` is the BatchNorm of the places."""
    graph = Head()
    constants, weights = graph.constants_of(statistics(CHANNELS)), layer(graph, across)
    norm = graph.norm(graph.mean, constants, epsilon=1e-5)
    vector = graph.dense(norm, weights, transB=across)
    given = graph.places
    if second != "none":
        given = graph.norm(
            given, graph.constants_of(statistics(CHANNELS)) if second == "other" else constants, epsilon=epsilon
        )
    if second == "asked for":
        graph.asked_for.append(given)
    rows = graph.dense(given, weights, transB=across, **attributes)
    if second == "read twice":
        rows = graph.add("Add", inputs=[rows, graph.dense(given, layer(graph, across), transB=across)]).last
    return graph.join(vector, rows)


def other_bias():
    """The same weights with another bias are another layer."""
    graph = Head()
    constants, weights = graph.constants_of(statistics(CHANNELS)), layer(graph, 1)
    vector = graph.dense(graph.norm(graph.mean, constants), weights, transB=1)
    another = [weights[0], graph.store(normal(HIDDEN))]
    return graph.join(vector, graph.dense(graph.norm(graph.places, constants), another, transB=1))


def behind_a_relu():
    """Something stands between the BatchNorm and the dense layer."""
    graph = Head()
    graph.norm(graph.mean, graph.constants_of(statistics(CHANNELS)))
    graph.dense(graph.add("Relu").last, layer(graph, 1), transB=1)
    return graph


def computed_weight():
    graph = Head()
    norm = graph.norm(graph.mean, graph.constants_of(statistics(CHANNELS)))
    graph.dense(norm, [graph.mean, graph.store(np.zeros(1, np.float32))], transB=1)
    return graph


def drawn_graphs():
    folded = {
        "lone": lone(),
        "lone_across": lone(across=1),
        "lone_epsilon": lone(epsilon=0.5),
        "shared": shared(),
        "shared_not_across": shared(across=0),
    }
    left = {
        "mate_without_norm": shared(second="none"),
        "mate_with_other_norm": shared(second="other"),
        "mate_with_other_epsilon": shared(epsilon=0.5),
        "mate_scaled": shared(alpha=2.0),
        "mate_read_twice": shared(second="read twice"),
        "mate_asked_for": shared(second="asked for"),
        "other_bias": other_bias(),
        "behind_a_relu": behind_a_relu(),
        "computed_weight": computed_weight(),
    }
    return folded | left


def ask(model, films):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": films})


def study(path, films):
    model = onnx.load(str(path))
    before = ask(model, films)
    folded = fold_dense(model)
    after = ask(model, films)
    pairs = list(zip(before, after, strict=True))
    return {
        "folded": folded,
        "operators": Counter(node.op_type for node in model.graph.node),
        "largest": max(float(np.abs(one).max()) for one, _ in pairs),
        "difference": max(float(np.abs(one - other).max()) for one, other in pairs),
    }


def main(folder):
    films = np.random.default_rng(3).integers(0, 256, (FILMS, 1, 224, 224)).astype(np.float32)
    found = {}
    for name, graph in drawn_graphs().items():
        graph.save(folder / f"{name}.onnx")
        found[name] = study(folder / f"{name}.onnx", films)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
