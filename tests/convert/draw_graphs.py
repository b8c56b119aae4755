"""Child of test_onnx_walk.py: draw small ONNX graphs, and let ONNX Runtime answer those that are to become Keras.

usage: draw_graphs.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

DRAW = np.random.default_rng(11)
FILMS = 3


def normal(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


class Graph:
    """Nodes in a row, from `image`; each takes what the one before gave, unless it names its inputs."""

    def __init__(self):
        self.nodes, self.constants, self.last = [], [], "image"

    def store(self, array):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op, *constants, inputs=None, **attributes):
        given = inputs if inputs is not None else [self.last, *(self.store(array) for array in constants)]
        self.last = f"value{len(self.nodes)}"
        name = f"drawn/{op}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, given, [self.last], name=name, **attributes))
        return self

    def shrink(self, channels=4, stride=32):
        """Turn the film [N, 1, 224, 224] into [N, channels, 7, 7] (stride 32)."""
        scale = np.float32(0.01)
        return self.add("Conv", normal(channels, 1, stride, stride) * scale, strides=[stride, stride])

    def save(self, path, sizes=("batch", 1, 224, 224), opset=18):
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, list(sizes))
        answer = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "drawn", [image], [answer], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), str(path))


def attend_as_torch(graph, heads, count, width, draw=normal):
    """Attend over [N, count, width] as torch's MultiheadAttention does: places first, heads folded into the batch."""
    depth = width // heads

    def sized(*sizes, times=0):
        """Return a target in which 0 stands for the batch, times heads if they are given."""
        last = graph.last
        graph.add("Shape", inputs=["image"]).add("Gather", np.int64(0), axis=0)
        if times:
            graph.add("Mul", np.int64(times))
        graph.add("Unsqueeze", np.int64([0]))
        batch, graph.last = graph.last, last
        parts = [batch if size == 0 else graph.store(np.int64([size])) for size in sizes]
        graph.add("Concat", inputs=parts, axis=0)
        made, graph.last = graph.last, last
        return made

    def reshape(*sizes, times=0):
        target = sized(*sizes, times=times)
        return graph.add("Reshape", inputs=[graph.last, target])

    graph.add("Transpose", perm=[1, 0, 2]).add("MatMul", draw(width, 3 * width) / 4).add("Add", draw(3 * width))
    reshape(count, 0, 3, width).add("Unsqueeze", np.int64([0])).add("Transpose", perm=[3, 1, 2, 0, 4])
    whole, parts = graph.add("Squeeze", np.int64([-2])).last, []
    for at in range(3):
        graph.add("Gather", inputs=[whole, graph.store(np.int64(at))], axis=0)
        reshape(count, 0, depth, times=heads).add("Transpose", perm=[1, 0, 2])
        parts.append(reshape(0, heads, count, depth).last)
    graph.last = parts[1]
    graph.add("Transpose", perm=[0, 1, 3, 2]).add("MatMul", inputs=[parts[0], graph.last])
    graph.add("Mul", np.float32(depth**-0.5)).add("Softmax", axis=-1).add("MatMul", inputs=[graph.last, parts[2]])
    graph.add("Transpose", perm=[2, 0, 1, 3])
    reshape(0, width, times=count).add("Gemm", draw(width, width) / 4, draw(width))
    return reshape(count, 0, width).add("Transpose", perm=[1, 0, 2])


def rows(graph):
    """Fold the places of an image into the batch, as the evidence map does."""
    graph.shrink().add("Transpose", perm=[0, 2, 3, 1])
    return graph.add("Reshape", np.int64([-1, 49, 4])).add("Reshape", np.int64([-1, 4]))


def two_branches(op):
    graph = Graph().shrink()
    trunk = graph.last
    graph.add("Sigmoid")
    return graph.add(op, inputs=[trunk, graph.last])


def shared_dense():
    """Apply one dense layer twice, to a film's mean and to each of its places."""
    graph = Graph().shrink().add("Transpose", perm=[0, 2, 3, 1]).add("Reshape", np.int64([-1, 49, 4]))
    places, weight, bias = graph.last, graph.store(normal(4, 5)), graph.store(normal(5))
    graph.add("ReduceMean", np.int64([1]), keepdims=0)
    graph.add("Gemm", inputs=[graph.last, weight, bias])
    graph.add("Reshape", np.int64([-1, 1, 5]))
    pooled = graph.last
    graph.last = places
    graph.add("Reshape", np.int64([-1, 4]))
    graph.add("Gemm", inputs=[graph.last, weight, bias])
    graph.add("Reshape", np.int64([-1, 49, 5]))
    return graph.add("Mul", inputs=[graph.last, pooled])


def statistics(channels):
    return normal(channels), normal(channels), normal(channels), np.abs(normal(channels)) * 0.01


def pooled(graph):
    return graph.shrink().add("GlobalAveragePool").add("Reshape", np.int64([-1, 4]))


def right_graphs():
    """Return the graphs that become Keras layers."""
    asymmetric = {"strides": [2, 2], "pads": [0, 1, 2, 3]}
    return {
        "conv_stride_2_asymmetric_pads": Graph().add("Conv", normal(2, 1, 3, 5), **asymmetric),
        "conv_stride_2_symmetric_pads": Graph().add("Conv", normal(2, 1, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3]),
        "conv_dilated": Graph().add("Conv", normal(2, 1, 3, 3), normal(2), dilations=[2, 3], strides=[1, 1]),
        "conv_groups": Graph().shrink(4, 8).add("Conv", normal(6, 2, 3, 3), normal(6), group=2, pads=[1, 1, 1, 1]),
        "conv_zero_bias": Graph().add("Conv", normal(2, 1, 3, 3), np.zeros(2, np.float32)),
        "batch_norm_epsilon": Graph().shrink().add("BatchNormalization", *statistics(4), epsilon=0.1),
        "batch_norm_default_epsilon": Graph().shrink().add("BatchNormalization", *statistics(4)),
        "batch_norm_on_rows": rows(Graph()).add("BatchNormalization", *statistics(4), epsilon=0.01),
        "batch_norm_on_vectors": pooled(Graph()).add("BatchNormalization", *statistics(4), epsilon=0.01),
        "gemm": pooled(Graph()).add("Gemm", normal(4, 3), normal(3)),
        "gemm_trans_b": pooled(Graph()).add("Gemm", normal(4, 4), normal(4), transB=1),
        "rows_folded_and_unfolded": rows(Graph())
        .add("Gemm", normal(1, 4), normal(1), transB=1)
        .add("Reshape", np.int64([-1, 7, 7])),
        "rows_folded": rows(Graph()).add("Gemm", normal(4, 3), normal(3)),
        "flatten_channels_first": Graph()
        .shrink()
        .add("Reshape", np.int64([-1, 196]))
        .add("Gemm", normal(196, 3), normal(3)),
        "channels_folded_into_the_batch": Graph().shrink().add("Reshape", np.int64([-1, 49])),
        "add_sub_mul_div_scalars": Graph()
        .add("Sub", np.float32(114.5))
        .add("Div", np.float32(57.6))
        .add("Mul", np.float32([3.0]))
        .add("Add", np.float32(-0.25)),
        "image_times_constant": Graph().shrink().add("Mul", normal(1, 4, 7, 7)),
        "add_two": two_branches("Add"),
        "sub_two": two_branches("Sub"),
        "mul_two": two_branches("Mul"),
        "average_pool": Graph().add("AveragePool", kernel_shape=[8, 4], strides=[8, 4]),
        "average_pool_that_overlaps": Graph().add("AveragePool", kernel_shape=[3, 2], strides=[2, 3]),
        "average_pool_stride_1": Graph().add("AveragePool", kernel_shape=[2, 3]),
        "pad_and_max_pool": Graph()
        .add("Sub", np.float32(100))
        .add("Relu")
        .add("Pad", np.int64([0, 0, 1, 2, 0, 0, 2, 0]))
        .add("MaxPool", kernel_shape=[3, 3], strides=[2, 2]),
        "max_pool": Graph().add("MaxPool", kernel_shape=[2, 3], strides=[2, 3]),
        "max_pool_pads": Graph()
        .add("Sub", np.float32(300))
        .add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "max_pool_ceil": Graph()
        .add("Sub", np.float32(300))
        .add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        "pool_after_transpose": Graph()
        .add("Transpose", perm=[0, 2, 3, 1])
        .add("MaxPool", kernel_shape=[2, 1])
        .add("Flatten"),
        "batch_norm_after_transpose": Graph()  # of [7, 7, 4]: three equal sides would not tell the layouts apart
        .shrink()
        .add("Transpose", perm=[0, 2, 3, 1])
        .add("BatchNormalization", *statistics(7)),
        "transpose_otherwise": Graph().add("Transpose", perm=[0, 1, 3, 2]).add("Flatten"),
        "reduce_mean_of_an_image": Graph().shrink().add("ReduceMean", np.int64([2, 3]), keepdims=0),
        "reduce_mean_negative_axes": Graph().shrink().add("ReduceMean", np.int64([-1, -2]), keepdims=0),
        "global_average_pool_of_rows": Graph()
        .shrink()
        .add("Reshape", np.int64([0, 4, 49]))
        .add("GlobalAveragePool")
        .add("Flatten"),
        "rows_folded_by_flatten": Graph()
        .shrink()
        .add("Transpose", perm=[0, 2, 3, 1])
        .add("Reshape", np.int64([-1, 49, 4]))
        .add("Flatten", axis=2)
        .add("Sigmoid")
        .add("Reshape", np.int64([-1, 49, 4])),
        "greater_and_cast": Graph().add("Greater", np.float32(100)).add("Cast", to=TensorProto.FLOAT),
        "conv_auto_pad": Graph().add("Conv", normal(2, 1, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
        "average_pool_auto_pad": Graph().add("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        "reshape_with_a_copied_batch": Graph().shrink().add("Reshape", np.int64([0, 4, -1])),
        "add_vector": Graph().shrink().add("Add", normal(1, 4, 1, 1)),
        "add_map": Graph().shrink().add("Add", normal(1, 4, 7, 7)),
        "constant_minus_image": left("Sub", 1.0),
        "gemm_without_bias": pooled(Graph()).add("Gemm", normal(4, 3)),
        "identity": Graph().add("Identity").add("Relu"),
        "constant_on_the_left": left("Add", 2.0),
        "factor_on_the_left": left("Mul", -3.0),
        "shared_dense": shared_dense(),
    }


def left(op, number):
    graph = Graph()
    return graph.add(op, inputs=[graph.store(np.float32(number)), "image"])


def wrong_graphs():
    """Return the graphs that no layer stands for, with the node that is to blame last."""
    asymmetric = np.int64([0, 0, 1, 1, 0, 0, 1, 1])
    return {
        "unknown_operation": Graph().add("Tan"),
        "sums_of_roots": Graph().add("Conv", normal(4, 1, 8, 8), strides=[8, 8]).add("Sqrt").add("CumSum", np.int64(1)),
        "sums_of_logarithms": pooled(Graph()).add("Relu").add("Log").add("Mul", normal(4)).add("CumSum", np.int64(1)),
        "gemm_alpha": pooled(Graph()).add("Gemm", normal(4, 3), normal(3), alpha=2.0),
        "gemm_beta": pooled(Graph()).add("Gemm", normal(4, 3), normal(3), beta=0.5),
        "gemm_computed_weight": computed_weight(),
        "max_pool_dilated": Graph().add("MaxPool", kernel_shape=[3, 3], dilations=[2, 2]),
        "pad_of_the_batch": Graph().add("Pad", np.int64([1, 0, 0, 0, 0, 0, 0, 0])),
        "pad_that_cuts": Graph().add("Pad", -asymmetric),
        "reshape_that_loses_the_batch": Graph().shrink().add("Reshape", np.int64([3, -1])),
        "reshape_with_two_unknowns": Graph()
        .shrink()
        .add("Reshape", np.int64([-1, 4, 0]))
        .add("Reshape", np.int64([3, 0, -1])),
        "mean_over_the_batch": Graph().shrink().add("ReduceMean", np.int64([0, 1]), keepdims=0),
        "transpose_of_the_batch": Graph().add("Transpose", perm=[1, 0, 2, 3]),
        "cast_to_int": Graph().add("Cast", to=TensorProto.INT32),
    }


def computed_weight():
    graph = pooled(Graph())
    vector = graph.last
    return graph.add("Gemm", inputs=[vector, vector, graph.store(normal(3))], transB=1)


def main(folder):
    films = DRAW.integers(0, 256, (FILMS, 1, 224, 224)).astype(np.float32)
    np.save(folder / "images.npy", films)
    right, wrong = right_graphs(), wrong_graphs()
    for name, graph in {**right, **wrong}.items():
        graph.save(folder / f"{name}.onnx")
    answers = {}
    for name in right:
        session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        [answers[name]] = session.run(None, {"image": films})
    np.savez(folder / "onnxruntime.npz", **answers)
    blamed = {name: graph.nodes[-1].name for name, graph in wrong.items()}
    sys.stdout.write(json.dumps({"right": sorted(right), "wrong": blamed}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
