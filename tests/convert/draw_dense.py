"""A small network that ends in dense layers, as plain operations: a convolution, a mean over places, two layers."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import simplify, to_plain

SIDE = 16


def dense_model(classes, *, channels=64, hidden=1024, scale=1.0, seed=0):
    """Return an ONNX model [N, 1, 16, 16] -> [N, classes], whose layers have weights of sizes that differ a channel.

    Args:
        classes: outputs of the last layer.
        channels: of the convolution.
        hidden: outputs of a layer before the last one; 0 for none.
        scale: of the convolution's weights.
        seed: of all weights.
    """
    draw = np.random.default_rng(seed)

    def uneven(rows, columns):
        return draw.normal(size=(rows, columns)) / np.sqrt(columns) * 10.0 ** draw.uniform(-2, 0.5, size=(rows, 1))

    arrays = {
        "kernel": scale * draw.normal(size=(channels, 1, 5, 5)) / 500,
        "kernel_bias": draw.normal(size=channels) / 10,
        "hidden": uneven(hidden, channels),
        "hidden_bias": draw.normal(size=hidden) / 10,
        "last": uneven(classes, hidden or channels),
        "last_bias": draw.normal(size=classes) / 10,
    }
    middle = [
        helper.make_node("Gemm", ["f", "hidden", "hidden_bias"], ["h"], name="hidden", transB=1),
        helper.make_node("Relu", ["h"], ["k"], name="hidden_relu"),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "kernel_bias"], ["c"], name="conv", pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        *(middle if hidden else []),
        helper.make_node("Gemm", ["k" if hidden else "f", "last", "last_bias"], ["logits"], name="last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(one.astype(np.float32), name) for name, one in arrays.items() if one.size],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def dense_network(classes, **options):
    """Return the same as plain operations, and 16 films of it, uint8 [N, 16, 16, 1]."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "dense.onnx"
        onnx.save(dense_model(classes, **options), str(path))
        plain = simplify(to_plain(read_graph(path)))
    return plain, np.random.default_rng(1).integers(0, 256, (16, SIDE, SIDE, 1)).astype(np.uint8)
