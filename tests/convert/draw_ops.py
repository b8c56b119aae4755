"""Child of test_ops_exact.py: graphs of what torchvision's classifiers are made of, and ONNX Runtime's answers.

usage: draw_ops.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from draw_graphs import Graph, attend_as_torch, normal
from onnx import helper

SIZES = ("batch", 4, 12, 12)
FILMS = 3
BIASED = np.int64([6])
OPSETS = {
    "group_norm_of_each_channel": 21,
    "softmax_of_an_old_image": 12,
    "gelu": 20,
    "gelu_by_tanh": 20,
}  # 18 for the others


def start():
    return Graph()


def positive():
    return Graph().add("Relu")


def fork(op, left, right, **attributes):
    """Join what two branches from the input give."""
    graph = Graph()
    left(graph)
    first, graph.last = graph.last, "image"
    right(graph)
    return graph.add(op, inputs=[first, graph.last], **attributes)


def beside(graph, op, *others, **attributes):
    """Add a node that also reads tensors by name."""
    return graph.add(op, inputs=[graph.last, *others], **attributes)


def silu():
    graph = Graph().add("Sigmoid")
    return beside(graph, "Mul", "image")


def squeeze_excite():
    graph = Graph().add("GlobalAveragePool").add("Conv", normal(2, 4, 1, 1), normal(2)).add("Relu")
    graph.add("Conv", normal(4, 2, 1, 1), normal(4)).add("HardSigmoid", alpha=np.float32(1 / 6), beta=0.5)
    return beside(graph, "Mul", "image")


def flatten_of_the_old_exporter():
    """Write [N, -1] as Shape, Gather, Unsqueeze and Concat."""
    graph = Graph().add("Shape").add("Gather", np.int64(0), axis=0).add("Unsqueeze", np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64([-1]))], axis=0)
    graph.add("Reshape", inputs=["image", graph.last])
    return graph.add("Gemm", normal(576, 3), normal(3))


def bias_written_out():
    """Write the bias of a convolution as torch's new exporter does: a number, cast like the input, expanded."""
    graph = Graph()
    graph.add("CastLike", inputs=[graph.store(np.int64([1])), "image"])
    graph.add("Expand", inputs=[graph.last, graph.store(BIASED)])
    return graph.add("Conv", inputs=["image", graph.store(normal(6, 4, 3, 3)), graph.last])


def classifier(graph):
    return graph.add("GlobalAveragePool").add("Flatten").add("Gemm", normal(4, 3), normal(3))


def per_channel(op, *shape, on_the_left=False):
    graph, numbers = Graph(), np.abs(normal(*shape)) + np.float32(0.5)
    order = [graph.store(numbers), "image"] if on_the_left else ["image", graph.store(numbers)]
    return graph.add(op, inputs=order)


def foreign_front():
    """Take grey levels to three normalised channels, as `tbconv convert MODEL.onnx` does."""
    graph = Graph().add("Concat", inputs=["image", "image", "image"], axis=1)
    return graph.add("Mul", np.abs(normal(1, 12, 1, 1))).add("Add", normal(1, 12, 1, 1))


def without_names():
    graph = Graph().add("Relu").add("Relu").add("Sigmoid").add("Sigmoid")
    names = ["", "", "same/one", "same.one"]
    for node, name in zip(graph.nodes, names, strict=True):
        node.name = name
    return graph


def right_graphs():
    """Return the graphs that become Keras layers."""
    around = {"pads": [1, 1, 1, 1]}
    return {
        "depthwise": start().add("Conv", normal(4, 1, 3, 3), normal(4), group=4, **around),
        "depthwise_times_two": start().add("Conv", normal(8, 1, 3, 3), normal(8), group=4, strides=[2, 2], **around),
        "depthwise_uneven": start().add("Conv", normal(4, 1, 3, 5), group=4, strides=[1, 2]),
        "conv_same_lower": start().add("Conv", normal(2, 4, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
        "conv_valid": start().add("Conv", normal(2, 4, 3, 3), auto_pad="VALID"),
        "bias_written_out": bias_written_out(),
        "max_pool_behind_relu": positive().add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], **around),
        "max_pool_behind_pool": positive()
        .add("AveragePool", kernel_shape=[2, 2])
        .add("MaxPool", kernel_shape=[3, 3], **around),
        "max_pool_behind_infinity": infinity(start().add("Sub", np.float32(9)), [0, 0, 1, 0, 0, 0, 1, 2]).add(
            "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 0, 0]
        ),
        "product_from_the_left": product_from_the_left(),
        "positions_of_each_film": positions_of_each_film(),
        "resized_twice_by_the_same": resized_twice(),
        "split_of_stored_numbers": split_of_stored(),
        "sum_before_the_batch": start().add("Transpose", perm=[1, 0, 2, 3]).add("ReduceSum", np.int64([0]), keepdims=0),
        "max_pool_same": start().add("MaxPool", kernel_shape=[3, 3], **around),
        "max_pool_ceil_without_effect": start().add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        "average_pool_that_counts_its_pads": start().add(
            "AveragePool", kernel_shape=[3, 3], strides=[2, 2], count_include_pad=1, **around
        ),
        "average_pool_that_does_not": start().add("AveragePool", kernel_shape=[3, 3], **around),
        "average_pool_uncounted": start().add("AveragePool", kernel_shape=[3, 3], strides=[2, 2], **around),
        "average_pool_ceil": start().add(
            "AveragePool", kernel_shape=[4, 2], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1
        ),
        "max_pool_of_signed": start()
        .add("Sub", np.float32(9))
        .add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], **around),
        "max_pool_ceil": positive().add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        "max_pool_ceil_of_signed": start()
        .add("Sub", np.float32(9))
        .add("MaxPool", kernel_shape=[4, 3], strides=[3, 2], pads=[2, 0, 0, 1], ceil_mode=1),
        "slice_channels": start().add("Slice", np.int64([1]), np.int64([3]), np.int64([1])),
        "slice_places": start().add(
            "Slice", np.int64([1, -9]), np.int64([99, -1]), np.int64([2, -1]), np.int64([3, 2])
        ),
        "slice_backwards": start().add("Slice", np.int64([-1]), np.int64([-99]), np.int64([3]), np.int64([-1])),
        "gather_unevenly": start().add("Gather", np.int64([0, 1, 3]), axis=2),
        "one_over_image": one_over(),
        "slice_classes": classifier(start()).add("Slice", np.int64([1]), np.int64([3]), np.int64([-1])),
        "split_channels": split_of(start(), [1, 3], axis=1),
        "split_rows": split_of(start(), None, axis=2),
        "concat_channels": fork("Concat", lambda g: g.add("Relu"), lambda g: g.add("Sigmoid"), axis=1),
        "concat_height": fork("Concat", lambda g: g.add("Relu"), lambda g: g.add("Sigmoid"), axis=-2),
        "clip_to_half": start().add("Clip", np.float32(-65504), np.float32(65504)),
        "conv_dilated_with_stride": start().add(
            "Conv", normal(2, 4, 3, 2), normal(2), strides=[2, 3], dilations=[2, 1], pads=[1, 2, 3, 0]
        ),
        "reshape_that_changes_nothing": start()
        .add("Reshape", np.int64([-1, 4, 12, 12]))
        .add("Conv", normal(2, 4, 3, 3)),
        "abs": start().add("Abs"),
        "exp": start().add("Exp"),
        "log": start().add("Abs").add("Add", np.float32(1)).add("Log"),
        "sqrt": start().add("Abs").add("Sqrt"),
        "reciprocal": start().add("Exp").add("Reciprocal"),
        "softplus": start().add("Mul", np.float32(9)).add("Softplus"),
        "mish": start().add("Mish"),
        "selu": start().add("Selu"),
        "gelu": start().add("Gelu"),
        "gelu_by_tanh": start().add("Gelu", approximate="tanh"),
        "gelu_by_erf": written_out_gelu(half_first=False),
        "gelu_by_erf_of_half": written_out_gelu(half_first=True),
        "prelu": start().add("PRelu", normal(4, 1, 1)),
        "prelu_of_one": start().add("PRelu", normal(1)),
        "square": start().add("Pow", np.float32(2)),
        "cube": start().add("Pow", np.float32(3)),
        "reciprocal_root": start().add("Exp").add("Pow", np.float32(-0.5)),
        "quotient": fork("Div", lambda g: g.add("Relu"), lambda g: g.add("Exp")),
        "maximum": fork("Max", lambda g: g.add("Sigmoid"), lambda g: g.add("Tanh")),
        "minimum": fork("Min", lambda g: g.add("Sigmoid"), lambda g: g.add("Tanh")),
        "minimum_of_one": start().add("Min", np.float32(0.1)),
        "sum_of_three": beside(start().add("Relu"), "Sum", "image", "image"),
        "log_softmax": classifier(start()).add("LogSoftmax"),
        "global_max": start().add("GlobalMaxPool").add("Flatten"),
        "largest_of_rows": start().add("Reshape", np.int64([-1, 48, 12])).add("ReduceMax", np.int64([1]), keepdims=0),
        "total": start().add("ReduceSum", np.int64([2, -1]), keepdims=1),
        "one_axis": classifier(start())
        .add("Gemm", normal(3, 1), normal(1))
        .add("Reshape", np.int64([-1]))
        .add("Reshape", np.int64([-1, 1])),
        "channel_shuffle": channel_shuffle(),
        "transpose_and_convolve": start().add("Transpose", perm=[0, 3, 1, 2]).add("Conv", normal(2, 12, 3, 3)),
        "grey_as_three": grey(start()).add("Tile", np.int64([1, 3, 1, 1])).add("Conv", normal(2, 3, 3, 3)),
        "grey_expanded": grey(start()).add("Expand", np.int64([1, 3, 12, 12])).add("Conv", normal(2, 3, 3, 3)),
        "vector_over_columns": start().add("Add", normal(12)),
        "map_minus": per_channel("Sub", 1, 1, 12, 12, on_the_left=True),
        "first_row": tokens(start()).add("Gather", np.int64(0), axis=1).add("Gemm", normal(16, 3), normal(3)),
        "class_token": class_token(),
        "attention": attention(tokens(start())),
        "instance_norm": start().add("InstanceNormalization", normal(4), normal(4)),
        "group_norm": start().add("GroupNormalization", normal(2), normal(2), num_groups=2),
        "group_norm_of_each_channel": start().add("GroupNormalization", normal(4), normal(4), num_groups=2),
        "group_norm_of_torch": group_norm_of_torch(),
        "upsample_nearest": resized(np.float32([1, 1, 2, 3]), mode="nearest", **NEAREST_OF_TORCH),
        "expanded_in_rows": start()
        .add("Reshape", np.int64([-1, 12, 12]))
        .add("ReduceMax", np.int64([-1]))
        .add("Expand", np.int64([1, 1, 5]))
        .add("Reshape", np.int64([-1, 240])),
        "resized_by_cubes": resized(np.int64([9, 17]), mode="cubic", axes=[2, 3], **BILINEAR_OF_TORCH),
        "upsample_bilinear": resized(np.float32([1, 1, 2, 2]), mode="linear", **BILINEAR_OF_TORCH),
        "upsample_to_corners": resized(
            np.int64([5, 20]), mode="linear", coordinate_transformation_mode="align_corners", axes=[2, 3]
        ),
        "upsample_to_one_row": resized(
            np.int64([1, 17]), mode="linear", coordinate_transformation_mode="asymmetric", axes=[2, 3]
        ),
        "pixel_shuffle": start().add("DepthToSpace", blocksize=2, mode="CRD"),
        "depth_to_space": start().add("DepthToSpace", blocksize=2),
        "space_to_depth": start().add("SpaceToDepth", blocksize=3),
        "conv_transpose": start().add("ConvTranspose", normal(4, 3, 2, 2), normal(3), strides=[2, 2]),
        "conv_transpose_with_pads": start().add(
            "ConvTranspose", normal(4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
        ),
        "attention_of_torch": attend_as_torch(tokens(start()), 2, 9, 16),
        "local_response": start().add("LRN", size=3, alpha=0.1),
        "layer_norm": last(start()).add("LayerNormalization", normal(4), normal(4), epsilon=0.5).add("Flatten"),
        "layer_norm_over_rows_and_columns": start().add("LayerNormalization", normal(12, 12), axis=2),
        "layer_norm_of_images": start().add("LayerNormalization", normal(4, 12, 12), normal(4, 12, 12), axis=1),
        "layer_norm_of_rows": tokens(start()).add("LayerNormalization", normal(16), normal(16)),
        "layer_norm_written_out": written_out_layer_norm(tokens(start()), -1)
        .add("Mul", normal(16))
        .add("Add", normal(16)),
        "layer_norm_of_channels": written_out_layer_norm(start(), 1).add("Mul", normal(4, 1, 1)),
        "relu6": start().add("Clip", np.float32(0), np.float32(0.7)),
        "clip": start().add("Clip", np.float32(-0.5), np.float32(0.7)),
        "clip_below": start().add("Clip", np.float32(-0.5)),
        "clip_above": clip_above(),
        "clip_above_zero_behind_a_convolution": classifier(
            start().add("Conv", normal(4, 4, 3, 3), pads=[1, 1, 1, 1]).add("Clip", np.float32(0.1))
        ),
        "clip_of_one_number": classifier(start()).add("Gemm", normal(3, 1)).add("Clip", np.float32(-0.1)),
        "hard_swish": start().add("HardSwish"),
        "hard_sigmoid_of_torch": start().add("Mul", np.float32(3)).add("HardSigmoid", alpha=1 / 6, beta=0.5),
        "hard_sigmoid": start().add("Mul", np.float32(3)).add("HardSigmoid"),
        "silu": silu(),
        "squeeze_excite": squeeze_excite(),
        "leaky_relu": start().add("LeakyRelu", alpha=0.3),
        "elu": start().add("Elu", alpha=1.5),
        "tanh": start().add("Tanh"),
        "sum": fork("Add", lambda g: g.add("Relu"), lambda g: g.add("Tanh")),
        "difference": fork("Sub", lambda g: g.add("Relu"), lambda g: g.add("Tanh")),
        "between": between("GreaterOrEqual", "LessOrEqual", "And").add("Not").add("Cast", to=1),
        "equal": positive().add("Equal", np.float32(0)).add("Cast", to=1),
        "shrink": shrink(),
        "sign": start().add("Sign"),
        "error_function": start().add("Erf"),
        "cube_root": positive().add("Pow", np.float32(1 / 3)),
        "sine": start().add("Sin").add("Cos"),
        "gate": beside(start().add("Greater", np.float32(0.2)).add("Cast", to=1), "Mul", "image"),
        "one_a_place": start().add("Mul", normal(1, 4, 12, 12)),
        "softmax_of_channels": start().add("Softmax", axis=1),
        "softmax_of_rows": start().add("Softmax", axis=2),
        "softmax_of_classes": classifier(start()).add("Softmax"),
        "flatten": start().add("Flatten").add("Gemm", normal(576, 3), normal(3)),
        "flatten_of_the_old_exporter": flatten_of_the_old_exporter(),
        "squeeze": start().add("GlobalAveragePool").add("Squeeze", np.int64([2, 3])),
        "unsqueeze": classifier(start()).add("Unsqueeze", np.int64([2, 3])).add("Conv", normal(2, 3, 1, 1)),
        "dropout": classifier(start().add("Dropout")),
        "matmul_and_add": start()
        .add("GlobalAveragePool")
        .add("Flatten")
        .add("MatMul", normal(4, 3))
        .add("Add", normal(3)),
        "multiply_channels": per_channel("Mul", 1, 4, 1, 1),
        "subtract_channels": per_channel("Sub", 4, 1, 1),
        "divide_channels": per_channel("Div", 1, 4, 1, 1),
        "channels_minus": per_channel("Sub", 1, 4, 1, 1, on_the_left=True),
        "foreign_front": foreign_front(),
        "channels_last_and_back": start()
        .add("Transpose", perm=[0, 2, 3, 1])
        .add("Transpose", perm=[0, 3, 1, 2])
        .add("Relu"),
        "without_names": without_names(),
    }


def grey(graph):
    """Keep the first channel alone."""
    return graph.add("Slice", np.int64([0]), np.int64([1]), np.int64([1]))


def last(graph):
    """Put channels last, as ConvNeXt does."""
    return graph.add("Transpose", perm=[0, 2, 3, 1])


def tokens(graph, size=16):
    """Cut the image in 9 patches, a row [N, 9, size] each."""
    graph.add("Conv", normal(size, 4, 4, 4) / 8, normal(size), strides=[4, 4])
    return graph.add("Reshape", np.int64([0, size, -1])).add("Transpose", perm=[0, 2, 1])


def class_token():
    """Put a stored row before those of the patches, as a vision transformer does, and add where each stands."""
    graph = tokens(start())
    rows = graph.last
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64([1, 16]))], axis=0)
    graph.add("Expand", inputs=[graph.store(normal(1, 1, 16)), graph.last])
    return graph.add("Concat", inputs=[graph.last, rows], axis=1).add("Add", normal(1, 10, 16))


def positions_of_each_film():
    """Weigh stored positions, repeated for each film, by a softmax of their own, as ConViT does, and add them."""
    graph = tokens(start())
    rows = graph.last
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64([9, 3]))], axis=0)
    graph.add("Expand", inputs=[graph.store(normal(1, 9, 3)), graph.last]).add("MatMul", normal(3, 16))
    graph.add("Add", normal(16)).add("Softmax", axis=-1)
    return graph.add("Add", inputs=[rows, graph.last])


def infinity(graph, pads):
    return graph.add("Pad", np.int64(pads), np.float32(-np.inf))


def product_from_the_left():
    graph = Graph()
    return graph.add("MatMul", inputs=[graph.store(normal(5, 12)), "image"]).add("Flatten")


def resized_twice():
    """Resize by the same stored scales, each time from other sizes."""
    graph = Graph()
    given = [graph.store(np.float32([])), graph.store(np.float32([1, 1, 2, 2]))]
    graph.add("Resize", inputs=["image", *given], mode="linear", **BILINEAR_OF_TORCH)
    return graph.add("Resize", inputs=[graph.last, *given], mode="linear", **BILINEAR_OF_TORCH)


def split_of_stored():
    """Multiply by one part of stored numbers and add the other."""
    graph = Graph()
    stored, names = graph.store(normal(24)), ["scale", "shift"]
    graph.nodes.append(helper.make_node("Split", [stored], names, name="drawn/Split", num_outputs=2))
    graph.add("Mul", inputs=["image", names[0]])
    return graph.add("Add", inputs=[graph.last, names[1]])


NEAREST_OF_TORCH = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
BILINEAR_OF_TORCH = {"coordinate_transformation_mode": "half_pixel"}


def resized(to, **attributes):
    """Resize to sizes (whole numbers) or by scales."""
    graph = Graph()
    none = graph.store(np.float32([]))
    given = [none, graph.store(to)] if to.dtype == np.float32 else [none, none, graph.store(to)]
    return graph.add("Resize", inputs=["image", *given], **attributes)


def product_of_other_sizes():
    """Multiply matrices of which one side has a single channel, for all of the other's."""
    graph = grey(start())
    return graph.add("MatMul", inputs=["image", graph.last])


def attention(graph):
    """Attend with two heads, as timm's vision transformers do, and add the result to what it reads."""
    rows = graph.last
    graph.add("LayerNormalization", normal(16), normal(16)).add("MatMul", normal(16, 48) / 4).add("Add", normal(48))
    graph.add("Reshape", np.int64([-1, 9, 3, 2, 8])).add("Transpose", perm=[2, 0, 3, 1, 4])
    whole = graph.last
    query, key, value = (graph.add("Gather", inputs=[whole, graph.store(np.int64(at))], axis=0).last for at in range(3))
    graph.last = key
    graph.add("Transpose", perm=[0, 1, 3, 2]).add("MatMul", inputs=[query, graph.last])
    graph.add("Mul", np.float32(8**-0.5)).add("Softmax", axis=-1)
    graph.add("MatMul", inputs=[graph.last, value]).add("Transpose", perm=[0, 2, 1, 3])
    graph.add("Reshape", np.int64([-1, 9, 16])).add("MatMul", normal(16, 16) / 4)
    return beside(graph, "Add", rows)


def group_norm_of_torch():
    """Write a GroupNorm as PyTorch's exporters do."""
    graph = Graph().add("Reshape", np.int64([0, 2, -1]))
    graph.add("InstanceNormalization", np.ones(2, np.float32), np.zeros(2, np.float32))
    graph.add("Reshape", np.int64([-1, 4, 12, 12])).add("Mul", normal(4, 1, 1)).add("Add", normal(4, 1, 1))
    return graph.add("Conv", normal(2, 4, 3, 3))


def written_out_layer_norm(graph, axis):
    """Write a normalisation as PyTorch's exporters do before opset 17."""
    source, axes = graph.last, np.int64([axis])
    graph.add("ReduceMean", axes)
    far = graph.add("Sub", inputs=[source, graph.last]).last
    graph.add("Pow", np.float32(2)).add("ReduceMean", axes).add("Add", np.float32(0.5)).add("Sqrt")
    return graph.add("Div", inputs=[far, graph.last])


def split_of(graph, sizes, axis):
    """Split in two, and put the parts together in the other order behind a ReLU of one."""
    names = [f"part{len(graph.nodes)}", f"rest{len(graph.nodes)}"]
    given = [graph.last, *([] if sizes is None else [graph.store(np.int64(sizes))])]
    count = {} if sizes else {"num_outputs": 2}
    graph.nodes.append(
        helper.make_node("Split", given, names, name=f"drawn/Split.{len(graph.nodes)}", axis=axis, **count)
    )
    graph.last = names[1]
    if sizes and sum(sizes) != SIZES[axis]:
        return graph
    graph.add("Relu")
    return graph.add("Concat", inputs=[graph.last, names[0]], axis=axis)


def written_out_gelu(*, half_first):
    """Write a GELU as PyTorch's exporters do before opset 20."""
    graph = Graph().add("Div", np.float32(np.sqrt(2))).add("Erf").add("Add", np.float32(1))
    if half_first:
        gate, graph.last = graph.last, "image"
        return beside(graph.add("Mul", np.float32(0.5)), "Mul", gate)
    return beside(graph, "Mul", "image").add("Mul", np.float32(0.5))


def channel_shuffle():
    """Shuffle channels between two groups, convolve one part and join it with the other, as ShuffleNet does."""
    graph = Graph().add("Reshape", np.int64([-1, 2, 2, 12, 12])).add("Transpose", perm=[0, 2, 1, 3, 4])
    graph.add("Reshape", np.int64([-1, 4, 12, 12]))
    whole = graph.last
    graph.add("Slice", np.int64([2]), np.int64([4]), np.int64([1])).add("Conv", normal(2, 2, 1, 1))
    right, graph.last = graph.last, whole
    graph.add("Slice", np.int64([0]), np.int64([2]), np.int64([1]))
    return beside(graph, "Concat", right, axis=1)


def between(first, second, joined):
    """Compare with two numbers, and put what holds together."""
    graph = start()
    above = graph.add(first, np.float32(-0.3)).last
    below = graph.add(second, inputs=["image", graph.store(np.float32(0.4))]).last
    return graph.add(joined, inputs=[above, below])


def shrink():
    """Leave out what is near zero, as torch's Hardshrink does."""
    graph = between("Less", "Greater", "Or")
    return graph.add("Where", inputs=[graph.last, "image", graph.store(np.float32(0))])


def one_over():
    graph = Graph().add("Exp")
    return graph.add("Div", inputs=[graph.store(np.float32(2)), graph.last])


def clip_above():
    graph = Graph()
    return graph.add("Clip", inputs=["image", "", graph.store(np.float32(0.2))])


def wrong_graphs():
    """Return the graphs that no layer stands for, with the node that is to blame last."""
    return {
        "max_pool_pads_as_large_as_the_kernel": start().add("MaxPool", kernel_shape=[1, 3], pads=[1, 1, 1, 1]),
        "max_pool_dilated": positive().add("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
        "batch_left_elsewhere": start().add("Transpose", perm=[1, 0, 2, 3]).add("Gather", np.int64([0, 1]), axis=0),
        "relu_with_the_batch_elsewhere": start().add("Transpose", perm=[1, 0, 2, 3]).add("Relu"),
        "group_norm_of_unequal_groups": start().add("GroupNormalization", normal(3), normal(3), num_groups=3),
        "resize_by_cubes_within": resized(np.float32([1, 1, 2, 2]), mode="cubic", exclude_outside=1),
        "resize_by_half_of_the_nearest": resized(np.float32([1, 1, 1.5, 2]), mode="nearest", **NEAREST_OF_TORCH),
        "resize_to_the_same_size": resized(np.float32([1, 1, 1.05, 2]), mode="linear", **BILINEAR_OF_TORCH),
        "resize_of_channels": resized(np.float32([1, 2, 1, 1]), mode="nearest", **NEAREST_OF_TORCH),
        "conv_transpose_to_a_shape": start().add("ConvTranspose", normal(4, 3, 2, 2), output_shape=[13, 13]),
        "local_response_to_the_third": start().add("LRN", size=3, beta=1 / 3),
        "product_of_other_sizes": product_of_other_sizes(),
        "slice_of_the_batch": start().add("Slice", np.int64([1]), np.int64([3]), np.int64([0])),
        "slice_of_films_backwards": start().add(
            "Slice", np.int64([-1]), np.int64([-99]), np.int64([0]), np.int64([-1])
        ),
        "slice_of_nothing": start().add("Slice", np.int64([3]), np.int64([3]), np.int64([3])),
        "infinity_around_an_image": infinity(start(), [0, 0, 1, 0, 0, 0, 1, 2]),
        "layer_norm_over_films": start().add("LayerNormalization", normal(1, 4, 12, 12), axis=0),
        "tile_of_the_batch": start().add("Tile", np.int64([2, 1, 1, 1])),
        "expand_to_more_axes": start().add("Expand", np.int64([2, 1, 4, 12, 12])),
        "split_into_other_sizes": split_of(start(), [1, 2], axis=1),
        "average_pool_ceil_beyond_counted_pads": start().add(
            "AveragePool", kernel_shape=[4, 2], strides=[2, 3], pads=[1, 0, 0, 1], ceil_mode=1, count_include_pad=1
        ),
        "gemm_trans_a": classifier(start()).add("Gemm", normal(3, 3), normal(3), transA=1),
        "gemm_of_an_image": start().add("GlobalAveragePool").add("MatMul", normal(1, 3)),
        "clip_of_nothing": start().add("Clip", np.float32(1), np.float32(-1)),
        "concat_with_a_constant": concat_with_a_constant(),
        "concat_of_the_batch": fork("Concat", lambda g: g.add("Relu"), lambda g: g.add("Tanh"), axis=0),
        "softmax_of_films": start().add("Softmax", axis=0),
        "flatten_whole": start().add("Flatten", axis=0),
        "sum_of_other_sizes": fork("Add", lambda g: g.add("GlobalAveragePool").add("Flatten"), lambda g: g.add("Relu")),
        "gather_of_the_batch": start().add("Gather", np.int64(0), axis=0),
        "gather_far_and_wide": start()
        .add("Reshape", np.int64([0, 4, -1]))
        .add("Gather", np.int64([*range(70), 3]), axis=2),
        "stored_sizes_that_are_larger": start().add("Add", normal(1, 4, 12, 12, 12)),
        "batch_that_is_calculated_with": twice_the_batch(),
        "batch_as_a_float": Graph().add("Shape").add("Gather", np.int64(0), axis=0).add("Cast", to=1),
        "dropout_in_training": start().add("Dropout", np.float32(0.5), np.bool_(True)),
        "drawn_at_random": Graph().add("RandomNormal", inputs=[], shape=[1, 4, 1, 1]),
        "second_output": second_output(),
        "softmax_of_an_old_image": start().add("Softmax", axis=1),
    }


def concat_with_a_constant():
    graph = Graph()
    return graph.add("Concat", inputs=["image", graph.store(normal(3, 1, 12, 12))], axis=1)


def twice_the_batch():
    return Graph().add("Shape").add("Gather", np.int64([0, 1]), axis=0).add("Mul", np.int64([1, 144]))


def second_output():
    """Answer with the places of the largest values, MaxPool's second output."""
    graph = positive().add("MaxPool", kernel_shape=[2, 2])
    graph.last = "places"
    graph.nodes[-1].output.append(graph.last)
    return graph


def fixed_answer():
    graph = Graph()
    return graph.add("Identity", inputs=[graph.store(normal(1, 3))])


def zoo():
    """Return a classifier that has a bit of each of torchvision's, for the file formats."""
    graph = foreign_front().add("Conv", normal(8, 12, 3, 3) / 10, normal(8), pads=[1, 1, 1, 1])
    graph.add("BatchNormalization", *[np.abs(normal(8)) + np.float32(0.5) for _ in range(4)]).add("Relu")
    graph.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    trunk = graph.last
    graph.add("Conv", normal(8, 4, 3, 3) / 6, normal(8), group=2, pads=[1, 1, 1, 1]).add("HardSwish")
    branch = graph.last
    graph.last = trunk
    graph.add("Conv", normal(8, 1, 3, 3) / 3, normal(8), group=8, pads=[1, 1, 1, 1])
    graph.add("Clip", np.float32(0), np.float32(6))
    graph.add("Concat", inputs=[graph.last, branch], axis=1).add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    joined = graph.last
    graph.add("GlobalAveragePool").add("Conv", normal(16, 16, 1, 1) / 4, normal(16)).add("Sigmoid")
    return beside(graph, "Mul", joined).add("Flatten").add("Gemm", normal(144, 3) / 12, normal(3))


def many_wrong():
    """Three nodes that no layer stands for, one behind the other, and one that is right in between."""
    graph = Graph().add("Tan").add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 2])
    return graph.add("Relu").add("Softmax", axis=0).add("Tan")


def draw_zoo(folder, draw):
    folder.mkdir()
    zoo().save(folder / "model.onnx", SIZES)
    films = draw.normal(size=(8 * FILMS, *SIZES[1:])).astype(np.float32)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    np.savez(folder / "asked.npz", films=films.transpose(0, 2, 3, 1), answers=session.run(None, {"image": films})[0])


def main(folder):
    draw = np.random.default_rng(3)
    right, wrong = right_graphs(), wrong_graphs()
    answers = {}
    for name, graph in {**right, **wrong, "many_wrong": many_wrong()}.items():
        graph.save(folder / f"{name}.onnx", SIZES, OPSETS.get(name, 18))
        films = draw.normal(size=(FILMS, *SIZES[1:])).astype(np.float32)
        np.save(folder / f"{name}.npy", films)
        if name in right:
            session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
            [answers[name]] = session.run(None, {"image": films})
    Graph().add("Relu").save(folder / "any_size.onnx", ("batch", 4, "height", 12))
    fixed_answer().save(folder / "fixed_answer.onnx", SIZES)
    draw_zoo(folder / "zoo", draw)
    np.savez(folder / "onnxruntime.npz", **answers)
    blamed = {name: graph.nodes[-1].name for name, graph in wrong.items()}
    sys.stdout.write(json.dumps({"right": sorted(right), "wrong": blamed}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
