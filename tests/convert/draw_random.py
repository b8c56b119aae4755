"""Child of test_ops_random.py: small graphs, their shapes, axes and attributes drawn, and ONNX Runtime's answers.

usage: draw_random.py FOLDER SEED [GRAPHS OF A FAMILY]
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from draw_graphs import Graph, attend_as_torch
from onnx import helper

EACH = 16  # graphs of a family
FILMS = 2


class Draw:
    """Numbers, sizes and attributes, the same for the same seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.sizes = (self.some(1, 6), self.some(5, 12), self.some(5, 12))

    def some(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def one(self, *choices):
        return choices[self.some(0, len(choices) - 1)]

    def normal(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def signed(self):
        """Begin with values that are negative in most places, or in none."""
        return self.one(Graph().add("Sub", np.float32(2)), Graph().add("Relu"), Graph())

    def window(self):
        """Return kernel, strides, pads and ceil_mode of a pool that fits."""
        kernel = [self.some(1, 4), self.some(1, 4)]
        pads = [self.some(0, kernel[side % 2] // 2) for side in range(4)]
        strides = [self.some(1, 4), self.some(1, 4)]
        return {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": self.some(0, 1)}


def max_pool(draw):
    return draw.signed().add("MaxPool", **draw.window())


def average_pool(draw):
    return draw.signed().add("AveragePool", **draw.window(), count_include_pad=draw.some(0, 1))


def conv(draw):
    channels, group = draw.sizes[0], draw.one(1, draw.sizes[0])
    kernel = [draw.some(1, 3), draw.some(1, 3)]
    weight = draw.normal(group * draw.some(1, 3), channels // group, *kernel)
    options = {"strides": [draw.some(1, 3), draw.some(1, 3)], "dilations": [draw.some(1, 2), draw.some(1, 2)]}
    return Graph().add("Conv", weight, pads=[draw.some(0, 2) for _ in range(4)], group=group, **options)


def conv_of_rows(draw):
    """Convolve rows [N, C, places], as over the channels of a mean."""
    channels, rows, columns = draw.sizes
    group, more = draw.one(1, channels), draw.one({}, {"auto_pad": "SAME_UPPER"}, {"pads": [draw.some(0, 2), 1]})
    weight = draw.normal(group * draw.some(1, 3), channels // group, draw.some(1, 3))
    options = {"strides": [draw.some(1, 2)], "dilations": [1 if "auto_pad" in more else draw.some(1, 2)]} | more
    graph = draw.signed().add("Reshape", np.int64([0, channels, rows * columns]))
    biases = [draw.normal(len(weight))] if draw.some(0, 1) else []
    return graph.add("Conv", weight, *biases, group=group, **options).add("Flatten")


def cut(draw):
    axes = [axis for axis in (1, 2, 3) if draw.some(0, 1)] or [1]
    starts = [draw.some(0, draw.sizes[axis - 1] - 1) for axis in axes]
    ends = [
        draw.one(draw.some(start + 1, draw.sizes[axis - 1]), 2**31) for start, axis in zip(starts, axes, strict=True)
    ]
    starts = [draw.one(start, start - draw.sizes[axis - 1]) for start, axis in zip(starts, axes, strict=True)]
    given = [axis - draw.one(0, 4) for axis in axes]
    steps = [draw.one(1, 1, 2, 3) for _ in axes]
    graph = draw.signed()
    if draw.some(0, 2) == 0:  # the same places backwards
        ends = [
            None if start == 0 else start - 1
            for start in (one % draw.sizes[axis - 1] for one, axis in zip(starts, axes, strict=True))
        ]
        starts, steps = [draw.sizes[axis - 1] - 1 for axis in axes], [-one for one in steps]
        ends = [-(2**31) if one is None else one for one in ends]
    graph.add("Slice", *(np.array(one, np.int64) for one in (starts, ends, given, steps)))
    return graph.add("Sigmoid")  # what takes everything leaves no operation by itself


def split(draw):
    axis = draw.some(1, 3)
    size = draw.sizes[axis - 1]
    ends = sorted({draw.some(1, size), draw.some(1, size), size})
    sizes = np.diff([0, *ends]).tolist()
    graph, names = draw.signed(), [f"part{one}" for one in range(len(sizes))]
    given = [graph.last, graph.store(np.array(sizes, np.int64))]
    graph.nodes.append(helper.make_node("Split", given, names, name="drawn/Split", axis=axis))
    graph.last = names[draw.some(0, len(names) - 1)]
    return graph.add("Relu").add("Concat", inputs=[graph.last, *names], axis=axis)


def clip(draw):
    low, high = sorted(draw.rng.normal(size=2).astype(np.float32))
    low, high = draw.one((low, high), (np.float32(0), abs(high)), (np.float32(-65504), np.float32(65504)))
    return Graph().add("Clip", low, high)


ALONE = (
    "Neg",
    "Celu",
    "Softsign",
    "Abs",
    "Exp",
    "Softplus",
    "Mish",
    "Selu",
    "Gelu",
    "Sigmoid",
    "Tanh",
    "Elu",
    "HardSwish",
    "LeakyRelu",
)
OF_TWO = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")


def function(draw):
    op = draw.one(*ALONE)
    options = {"alpha": draw.some(1, 20) / 10} if op in ("Selu", "Elu", "LeakyRelu", "Celu") else {}
    return Graph().add("Mul", np.float32(draw.one(0.1, 3))).add(op, **options)


def of_two(draw):
    graph, op = Graph().add("Sigmoid"), draw.one(*OF_TWO)
    first = graph.last
    if draw.some(0, 1):
        graph.add("GlobalAveragePool")
    second, graph.last = graph.add("Exp").last, "image"
    return graph.add(op, inputs=[first, second] if draw.some(0, 1) else [second, first])


def of_stored(draw):
    op, channels = draw.one("Add", "Sub", "Mul", "Div", "PRelu"), draw.sizes[0]
    numbers = draw.normal(*draw.one((1,), (channels, 1, 1), (1, channels, 1, 1)))[:]
    graph = Graph()
    if op == "PRelu":
        numbers = numbers.reshape(-1, 1, 1)
    given = ["image", graph.store(numbers)]
    return graph.add(op, inputs=given[::-1] if op in ("Add", "Sub", "Mul") and draw.some(0, 1) else given)


def power(draw):
    return Graph().add("Exp").add("Pow", np.float32(draw.one(2, 3, 0.5, -0.5, -1)))


def moves(draw):
    """Move axes, and the numbers between them, in several ways; a convolution or a flattening reads the result."""
    graph, sizes = draw.signed(), list(draw.sizes)
    for _ in range(draw.some(1, 3)):
        if draw.some(0, 1):
            order = draw.rng.permutation(len(sizes)).tolist()
            graph.add("Transpose", perm=[0, *(axis + 1 for axis in order)])
            sizes = [sizes[axis] for axis in order]
        elif len(sizes) == 3:
            part = draw.one(*(one for one in range(1, sizes[0] + 1) if sizes[0] % one == 0))
            sizes = [part, sizes[0] // part, *sizes[1:]]
            graph.add("Reshape", np.array([draw.one(0, -1), *sizes], np.int64))
        else:
            sizes = [sizes[0] * sizes[1], *sizes[2:]]
            graph.add("Reshape", np.array([-1, *sizes], np.int64))
    if len(sizes) == 3 and draw.some(0, 1):
        graph.add("Conv", draw.normal(2, sizes[0], 1, 1))
    return graph.add("Flatten")


REDUCED = ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceMin", "ReduceL2", "GlobalMaxPool", "GlobalAveragePool")


def reduced(draw):
    graph, op = draw.signed(), draw.one(*REDUCED)
    if op.startswith("Global"):
        return graph.add(op)
    axes = draw.one([2, 3], [-1, -2], [3, 2], [1], [3], [1, -1], [1, 2], [1, 2, 3])
    if draw.some(0, 1):
        graph.add("Transpose", perm=[0, 2, 3, 1])
    return graph.add(op, np.array(axes, np.int64), keepdims=draw.some(0, 1)).add("Flatten")


def copies(draw):
    """Copy channels, or places, of what was taken to one of them; a sigmoid behind keeps an operation in any case."""
    graph, (channels, *places) = draw.signed(), draw.sizes
    if draw.some(0, 1):
        graph.add("Tile", np.int64([1, *(draw.one(1, draw.some(1, 3)) for _ in draw.sizes)]))
    elif draw.some(0, 1):
        graph.add("GlobalAveragePool").add("Expand", np.int64([1, channels, *draw.one(places, [places[0], 1])]))
    else:
        graph.add("Slice", np.int64([0]), np.int64([1]), np.int64([1]))
        graph.add("Expand", np.int64(draw.one([1, 3, *places], [5, 1, 1], [100, 1, 1])))
    return graph.add("Sigmoid")


def layer_norm(draw):
    """Normalise rows, an image of channels last, or channels; as opset 17 has it, or written out.

    Of at least 8 numbers each: two or three may be so near each other that rounding their mean shows.
    """
    draw.sizes = (draw.some(8, 16), draw.some(3, 6), draw.some(8, 12))
    graph, (channels, *places) = Graph().add("Mul", np.float32(draw.one(0.1, 30))), draw.sizes
    kind, size = draw.one("image", "channels", "rows", "columns"), channels
    if kind in ("image", "rows"):
        graph.add("Transpose", perm=[0, 2, 3, 1])
    if kind == "columns":
        size = places[1]
    if kind == "rows":
        graph.add("Reshape", np.int64([0, -1, channels]))
    if draw.some(0, 1) or kind == "channels":
        axis = np.int64([1 if kind == "channels" else -1])
        graph.add("Identity")
        source, two = graph.last, graph.store(np.float32(2))
        graph.add("ReduceMean", axis)
        far = graph.add("Sub", inputs=[source, graph.last]).last
        graph.add("Pow", inputs=[far, two]) if draw.some(0, 1) else graph.add("Mul", inputs=[far, far])
        graph.add("ReduceMean", axis).add("Add", np.float32(draw.one(1e-5, 0.1))).add("Sqrt")
        graph.add("Div", inputs=[far, graph.last])
        graph.add("Mul", draw.normal(*((size, 1, 1) if kind == "channels" else (size,))))
    else:
        given = [draw.normal(size), draw.normal(size)][: draw.some(1, 2)]
        graph.add("LayerNormalization", *given, **draw.one({}, {"epsilon": 0.1}, {"axis": 2 if kind == "rows" else 3}))
    return graph.add("Flatten")


def stored(draw):
    """Add, subtract, multiply or divide by numbers that stretch to an image or to rows, from either side."""
    graph, op, sizes = Graph(), draw.one("Add", "Sub", "Mul", "Div"), list(draw.sizes)
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, sizes[0], -1])).add("Transpose", perm=[0, 2, 1])
        sizes = [sizes[1] * sizes[2], sizes[0]]
    shape = [draw.one(1, size) for size in sizes][draw.some(0, len(sizes) - 1) :]
    numbers = draw.normal(*draw.one(shape, [1] * (len(sizes) + 1 - len(shape)) + shape))
    given = [graph.last, graph.store(np.where(np.abs(numbers) < 0.1, np.float32(1), numbers))]
    graph.add(op, inputs=given[::-1] if op != "Div" and draw.some(0, 1) else given)
    return graph.add("Relu").add("Flatten")


def gather(draw):
    """Take a place, or some in a row, of an axis of an image or of rows."""
    graph, sizes = draw.signed(), list(draw.sizes)
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, sizes[0], -1])).add("Transpose", perm=[0, 2, 1])
        sizes = [sizes[1] * sizes[2], sizes[0]]
    axis = draw.some(1, len(sizes))
    size, start, step = sizes[axis - 1], draw.some(0, sizes[axis - 1] - 1), draw.some(1, 2)
    several = np.arange(start, min(size, start + draw.some(1, 4)), step)
    any_order = draw.rng.integers(-size, size, draw.some(1, 5))
    taken = draw.one(np.int64(start), np.int64(start - size), np.int64(several), np.int64(any_order))
    graph.add("Gather", taken, axis=draw.one(axis, axis - len(sizes) - 1))
    return graph.add("Sigmoid").add("Flatten")


def token(draw):
    """Put stored rows, repeated for each film, beside computed ones."""
    graph, sizes = Graph(), list(draw.sizes)
    graph.add("Reshape", np.int64([0, sizes[0], -1])).add("Transpose", perm=[0, 2, 1])
    rows, count = graph.last, draw.some(1, 2)
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64([-1, -1]))], axis=0)
    ones = graph.store(np.int64([1, 1, 1]))
    wanted, minus = graph.last, graph.store(np.int64([-1, -1, -1]))
    graph.add("Equal", inputs=[wanted, minus]).add("Where", inputs=[f"value{len(graph.nodes) - 1}", ones, wanted])
    graph.add("Expand", inputs=[graph.store(draw.normal(1, count, sizes[0])), graph.last])
    parts = [graph.last, rows] if draw.some(0, 1) else [rows, graph.last]
    graph.add("Concat", inputs=parts, axis=1).add("Add", draw.normal(1, sizes[1] * sizes[2] + count, sizes[0]))
    return graph.add("Flatten")


def attention(draw):
    """Multiply queries, keys and values of some heads, as exporters write it: in one tensor, or in three."""
    heads, depth, (channels, *places) = draw.some(2, 3), draw.some(1, 5), draw.sizes
    graph, count, width = Graph(), places[0] * places[1], heads * depth
    graph.add("Reshape", np.int64([0, channels, -1])).add("Transpose", perm=[0, 2, 1])
    rows, one = graph.last, draw.some(0, 1)
    if one:
        graph.add("MatMul", draw.normal(channels, 3 * width) / 3).add("Add", draw.normal(3 * width))
        graph.add("Reshape", np.int64([-1, count, 3, heads, depth])).add("Transpose", perm=[2, 0, 3, 1, 4])
        whole = graph.last
        parts = [graph.add("Gather", inputs=[whole, graph.store(np.int64(at))], axis=0).last for at in range(3)]
    else:
        parts = []
        for _ in range(3):
            graph.last = rows
            graph.add("MatMul", draw.normal(channels, width) / 3)
            graph.add("Reshape", np.int64([0, count, heads, depth])).add("Transpose", perm=[0, 2, 1, 3])
            parts.append(graph.last)
    folded = draw.one("no", "keys", "all")  # heads with the batch, as the newer exporter turns keys
    fold, unfold = np.int64([-1, count, depth]), np.int64([-1, heads, depth, count])
    graph.last = parts[1]
    if folded == "no":
        graph.add("Transpose", perm=[0, 1, 3, 2])
    else:
        graph.add("Reshape", fold).add("Transpose", perm=[0, 2, 1])
    if folded == "keys":
        graph.add("Reshape", unfold)
    keys = graph.last
    for at in (0, 2) if folded == "all" else ():
        graph.last = parts[at]
        parts[at] = graph.add("Reshape", fold).last
    graph.add("MatMul", inputs=[parts[0], keys]).add("Mul", np.float32(depth**-0.5)).add("Softmax", axis=-1)
    graph.add("MatMul", inputs=[graph.last, parts[2]])
    if folded == "all":
        graph.add("Reshape", np.int64([-1, heads, count, depth]))
    graph.add("Transpose", perm=[0, 2, 1, 3])
    return graph.add("Reshape", np.int64([0, count, width])).add("Flatten")


def product(draw):
    """Multiply matrices that a film gives: an image by itself turned, or its rows by what weighs them."""
    graph = draw.signed()
    first = graph.last
    graph.add("Transpose", perm=draw.one([0, 1, 3, 2], [0, 2, 3, 1], [0, 3, 1, 2])).add("Sigmoid")
    return graph.add("MatMul", inputs=[first, graph.last]).add("Flatten")


def group_norm(draw):
    """Normalise images by groups or channels, natively or as PyTorch writes it."""
    groups, each = draw.some(1, 4), draw.some(1, 3)
    channels = groups * each
    draw.sizes = (channels, draw.some(4, 8), draw.some(4, 8))
    graph, weights = Graph().add("Mul", np.float32(draw.one(0.1, 30))), [draw.normal(channels), draw.normal(channels)]
    kind = draw.one("instance", "group", "written out", "rows")
    if kind == "instance":
        graph.add("InstanceNormalization", *weights)
    elif kind == "group":  # opset 20: one weight a group
        graph.add("GroupNormalization", *(one[:groups] for one in weights), num_groups=groups, epsilon=0.01)
    else:
        graph.add("Reshape", np.int64([0, groups, -1]))
        plain = [np.ones(groups, np.float32), np.zeros(groups, np.float32)]
        graph.add("InstanceNormalization", *(plain if kind == "written out" else [one[:groups] for one in weights]))
        graph.add("Reshape", np.int64([-1, *draw.sizes]))
        graph.add("Mul", weights[0].reshape(-1, 1, 1)).add("Add", weights[1].reshape(-1, 1, 1))
    return graph.add("Conv", draw.normal(2, channels, 1, 1))


def resize(draw):
    """Give an image another size, by whole factors of the nearest place or by any of two."""
    graph = draw.signed()
    none, way = graph.store(np.float32([])), draw.one("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    factors = [draw.some(1, 3), draw.some(1, 3)]
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    scales, sizes = np.float32([1, 1, *factors]), None
    if draw.some(0, 2):
        options = {"mode": "linear", "coordinate_transformation_mode": way}
        sizes = np.int64([draw.some(1, 20), draw.some(5, 20)]) if draw.some(0, 1) else None
        scales = np.float32([1, 1, draw.some(4, 40) / 10, draw.one(0.5, 1, 2, 3)])
    elif draw.some(0, 1):
        options |= {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}
    given = [graph.last, none, graph.store(scales)]
    if sizes is not None:
        given, options = [graph.last, none, none, graph.store(sizes)], options | {"axes": [2, 3]}
    return graph.add("Resize", inputs=given, **options).add("Sigmoid")  # one to the same size is no operation


def shuffle(draw):
    """Move channels to places, or places to channels."""
    by, (channels, *places) = draw.some(2, 3), draw.sizes
    graph, op = draw.signed(), draw.one("DepthToSpace", "SpaceToDepth")
    if op == "SpaceToDepth":
        draw.sizes = (channels, *(one - one % by for one in places))
        return graph.add(op, blocksize=by)
    draw.sizes = (draw.some(1, 3) * by * by, *places)
    return graph.add(op, blocksize=by, mode=draw.one("CRD", "DCR"))


def conv_transpose(draw):
    """Convolve the other way round."""
    group, kernel = draw.one(1, draw.sizes[0]), [draw.some(1, 4), draw.some(1, 4)]
    strides, dilations = [draw.some(1, 3), draw.some(1, 3)], [draw.some(1, 2), draw.some(1, 2)]
    more = [draw.some(0, stride - 1) for stride in strides]
    pads = [draw.some(0, (kernel[side % 2] - 1) * dilations[side % 2]) for side in range(4)]
    weight = draw.normal(draw.sizes[0], draw.some(1, 3), *kernel)
    biases = [draw.normal(weight.shape[1] * group)] if draw.some(0, 1) else []
    options = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": more, "group": group}
    return Graph().add("ConvTranspose", weight, *biases, **options)


def heads_with_the_batch(draw):
    """Attend as torch's MultiheadAttention does, and add the result to what it reads."""
    heads, (channels, *places) = draw.some(1, 3), draw.sizes
    width, count, graph = heads * draw.some(1, 4), places[0] * places[1], Graph()
    graph.add("Conv", draw.normal(width, channels, 1, 1) / 2)
    graph.add("Reshape", np.int64([0, width, -1])).add("Transpose", perm=[0, 2, 1])
    rows = graph.last
    attend_as_torch(graph, heads, count, width, draw.normal)
    return graph.add("Add", inputs=[graph.last, rows]).add("Flatten")


def windows(draw):
    """Attend within windows of an image, moved round by some places, as Swin does: masked, and biased by place."""
    heads, depth, side = draw.some(1, 3), draw.some(1, 4), draw.some(2, 3)
    high, wide, width = draw.some(1, 3), draw.some(1, 3), heads * depth
    graph, count, (rows, columns) = Graph(), high * wide, (high * side, wide * side)
    draw.sizes = (width, rows, columns)
    graph.add("Transpose", perm=[0, 2, 3, 1]).add("LayerNormalization", np.ones(width, np.float32), epsilon=0.1)
    shortcut, by = graph.last, draw.some(0, side - 1)
    _roll(graph, by, columns)
    graph.add("Reshape", np.int64([draw.one(0, -1), high, side, wide, side, width]))
    graph.add("Transpose", perm=[0, 1, 3, 2, 4, 5])
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([-1, side * side, width]))
    else:
        _times_the_batch(graph, count, side * side, width)
    graph.add("MatMul", draw.normal(width, 3 * width) / 2).add("Add", draw.normal(3 * width))
    graph.add("Reshape", np.int64([-1, side * side, 3, heads, depth])).add("Transpose", perm=[2, 0, 3, 1, 4])
    whole = graph.last
    if draw.some(0, 1):
        query, key, value = (
            graph.add("Gather", inputs=[whole, graph.store(np.int64(at))], axis=0).last for at in range(3)
        )
    else:
        parts = [f"head{at}" for at in range(3)]
        graph.nodes.append(helper.make_node("Split", [whole], parts, name="drawn/Split", axis=0, num_outputs=3))
        query, key, value = (graph.add("Squeeze", inputs=[one, graph.store(np.int64([0]))]).last for one in parts)
    graph.last = key
    graph.add("Transpose", perm=[0, 1, 3, 2]).add("MatMul", inputs=[query, graph.last])
    graph.add("Add", draw.normal(*draw.one((1, heads), (heads,)), side * side, side * side))
    if draw.some(0, 1):
        mask = np.where(draw.rng.uniform(size=(1, count, 1, side * side, side * side)) < 0.5, 0, -100)
        graph.add("Reshape", np.int64([-1, count, heads, side * side, side * side])).add("Add", mask.astype(np.float32))
        graph.add("Reshape", np.int64([-1, heads, side * side, side * side]))
    graph.add("Softmax", axis=-1).add("MatMul", inputs=[graph.last, value]).add("Transpose", perm=[0, 2, 1, 3])
    graph.add("Reshape", np.int64([-1, side * side, width])).add("MatMul", draw.normal(width, width) / 2)
    graph.add("Reshape", np.int64([-1, high, wide, side, side, width])).add("Transpose", perm=[0, 1, 3, 2, 4, 5])
    graph.add("Reshape", np.int64([-1, rows, columns, width]))
    _roll(graph, columns - by, columns)
    return graph.add("Add", inputs=[shortcut, graph.last]).add("Flatten")


def _roll(graph, by, size):
    """Move columns round by some places, as both exporters write torch.roll."""
    if by in (0, size):
        return graph
    whole = graph.last
    graph.add("Size", inputs=[whole]).add("Reshape", np.int64([-1]))
    graph.add("Slice", inputs=[whole, graph.store(np.int64([by])), graph.last, graph.store(np.int64([2]))])
    last, graph.last = graph.last, whole
    graph.add("Slice", np.int64([0]), np.int64([by]), np.int64([2]))
    return graph.add("Concat", inputs=[last, graph.last], axis=2)


def _times_the_batch(graph, times, *sizes):
    """Fold into the batch so many rows of each film, their number computed from the batch."""
    last = graph.last
    graph.add("Shape", inputs=["image"]).add("Gather", np.int64(0), axis=0).add("Mul", np.int64(times * 2))
    graph.add("Div", np.int64(2)).add("Unsqueeze", np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64(sizes))], axis=0)
    return graph.add("Reshape", inputs=[last, graph.last])


def pads(draw):
    """Put numbers, the edge or a mirror around any axes."""
    graph, mode = draw.signed(), draw.one("constant", "edge", "reflect", "wrap")
    if draw.some(0, 1):
        graph.add("Transpose", perm=[0, 2, 3, 1])
    sides = [[draw.some(0, 2) if size > 2 else 0 for size in (0, *draw.sizes)] for _ in range(2)]
    if draw.some(0, 1):  # of an image's places alone
        sides = [[0, 0, *(draw.some(0, 2) for _ in range(2))] for _ in range(2)]
    fills = [np.float32(draw.one(0, 1, -2.5))] if mode == "constant" and draw.some(0, 1) else []
    if draw.sizes[0] < 3 and mode == "reflect":
        mode = "edge"
    graph.add("Pad", np.int64([*sides[0], *sides[1]]), *fills, mode=mode)
    return graph.add("Sigmoid").add("Flatten")


def softmax(draw):
    """Normalise exponentials over any axis of an image or of rows."""
    graph, op = draw.signed(), draw.one("Softmax", "LogSoftmax")
    if draw.some(0, 1):
        graph.add("Transpose", perm=draw.one([0, 2, 3, 1], [0, 1, 3, 2]))
    rank = 4
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, draw.sizes[0], -1]))
        rank = 3
    return graph.add(op, axis=draw.one(*range(1, rank), *range(1 - rank, 0))).add("Flatten")


def film_by_film(draw):
    """Repeat stored numbers for each film, lay them out anew, and add them to computed ones."""
    graph, (channels, rows, columns) = Graph(), draw.sizes
    whole = graph.add("Reshape", np.int64([0, channels, -1])).add("Transpose", perm=[0, 2, 1]).last
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    graph.add("Concat", inputs=[graph.last, graph.store(np.int64([1, 1, 1]))], axis=0)
    graph.add("Tile", inputs=[graph.store(draw.normal(1, channels, rows, columns)), graph.last])
    graph.add("Reshape", np.int64([draw.one(0, -1), channels, rows * columns])).add("Transpose", perm=[0, 2, 1])
    return graph.add("Add", inputs=[graph.last, whole]).add("Flatten")


BOUNDED = ("Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Abs", "Softplus", "Mish", "HardSigmoid")


def chain(draw):  # noqa: C901  (one branch an operation)
    """Put four to eight drawn operations one behind the other, with branches that come back, and a classifier."""
    graph, (channels, rows, columns) = Graph(), draw.sizes
    for _ in range(draw.some(4, 8)):
        before, kind = graph.last, draw.some(0, 12)
        if kind <= 3:
            graph.add(draw.one(*BOUNDED))
        elif kind == 4:
            made = draw.some(1, 8)
            graph.add("Conv", draw.normal(made, channels, 3, 3) / 3, draw.normal(made), pads=[1, 1, 1, 1])
            channels = made
        elif kind == 5:
            graph.add("Conv", draw.normal(channels, 1, 3, 3) / 2, group=channels, pads=[1, 1, 1, 1])
        elif kind == 6 and min(rows, columns) > 3:
            graph.add(draw.one("MaxPool", "AveragePool"), kernel_shape=[2, 2], strides=[2, 2])
            rows, columns = rows // 2, columns // 2
        elif kind == 7:
            graph.add("Tanh")
            graph.add(draw.one("Add", "Sub", "Mul", "Max", "Min"), inputs=[before, graph.last])
        elif kind == 8:
            graph.add("GlobalAveragePool").add("Sigmoid").add("Mul", inputs=[before, graph.last])
        elif kind == 9 and channels < 9:
            graph.add("Sigmoid").add("Concat", inputs=[before, graph.last], axis=1)
            channels *= 2
        elif kind == 10:
            graph.add("Softmax", axis=draw.some(1, 3))
        elif kind == 11:
            graph.add("Transpose", perm=[0, 2, 3, 1]).add("Add", draw.normal(channels))
            graph.add("MatMul", draw.normal(channels, channels) / 2).add("Transpose", perm=[0, 3, 1, 2])
        else:
            weights = [draw.rng.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(4)]
            graph.add("BatchNormalization", *weights)
    if draw.some(0, 1):
        graph.add(draw.one("GlobalAveragePool", "GlobalMaxPool"))
        rows = columns = 1
    return graph.add("Flatten").add("Gemm", draw.normal(channels * rows * columns, 3), draw.normal(3))


def local_response(draw):
    """Divide by the squares around; of small numbers, for ONNX Runtime adds to a sum and takes away from it again."""
    graph = Graph().add("Sigmoid")
    options = {"alpha": draw.one(1e-4, 0.1), "beta": draw.one(0.5, 0.75, 1.0), "bias": draw.one(1.0, 2.0)}
    return graph.add("LRN", size=draw.some(1, 6), **options)


COMPARED = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def _ends(draw):
    """Begin with numbers of which many are at one of two ends, and return these and zero: exact in every runtime."""
    low, high = sorted(draw.rng.normal(size=2).astype(np.float32))
    graph = Graph().add("Clip", low, high) if draw.some(0, 1) else Graph().add("Relu")
    return graph, (low, high, np.float32(0))


def _compared(draw, graph, value, ends):
    """Compare a tensor with stored numbers or with a computed tensor, on either side."""
    kind, graph.last = draw.some(0, 3), value
    if kind == 0:
        other = graph.store(draw.one(*ends))
    elif kind == 1:
        other = graph.store(draw.rng.choice(np.float32(ends), (draw.sizes[0], 1, 1)))
    else:
        other = graph.add("GlobalMaxPool" if kind == 2 else "Neg").last  # which every runtime computes to the bit
    return graph.add(draw.one(*COMPARED), inputs=[value, other][:: draw.one(1, -1)]).last


def choices(draw):
    """Choose between tensors and stored numbers by a comparison, or by stored truths, in an image or in rows."""
    graph, ends = _ends(draw)
    value = graph.last
    truth = _compared(draw, graph, value, ends)
    if draw.some(0, 5) == 0:
        truth = graph.store(draw.rng.uniform(size=draw.one(draw.sizes[1:], (draw.sizes[0], 1, 1))) < 0.5)
    sides = []
    for _ in range(2):
        kind, graph.last = draw.some(0, 4), value
        made = {0: np.float32(draw.one(0, -1, 2.5)), 1: draw.normal(*draw.one(draw.sizes, (draw.sizes[0], 1, 1)))}
        if kind in made:
            sides.append(graph.store(made[kind]))
        else:
            sides.append(graph.add(draw.one("Sigmoid", "Neg", "GlobalAveragePool")).last if kind > 2 else value)
    if all(one.startswith("constant") for one in (truth, *sides)):
        sides[0] = value
    return graph.add("Where", inputs=[truth, *sides]).add("Sigmoid").add("Flatten")


def truths(draw):
    """Put comparisons together, move what they give, and multiply by it or choose by it."""
    graph, ends = _ends(draw)
    value = graph.last
    found = [_compared(draw, graph, value, ends) for _ in range(2)]
    if draw.some(0, 1):  # as the older exporter writes them
        found = [graph.add("Cast", inputs=[one], to=9).last for one in found]
    graph.add(draw.one("And", "Or"), inputs=found)
    if draw.some(0, 1):
        graph.add("Not")
    if draw.some(0, 1):
        graph.add("Transpose", perm=[0, 2, 3, 1])
        truth, graph.last = graph.last, value
        value = graph.add("Transpose", perm=[0, 2, 3, 1]).last
        graph.last = truth
    if draw.some(0, 1):
        graph.add("Where", inputs=[graph.last, value, graph.store(np.float32(-0.5))])
    else:
        graph.add("Cast", to=1)
        graph.add("Mul", inputs=[graph.last, value])
    return graph.add("Flatten")


def sign(draw):
    """Take the sign of numbers among which zero is, whether they are none, or their sine."""
    graph, _ = _ends(draw)
    graph.add(draw.one("Sign", "Sin", "Cos")) if draw.some(0, 2) else graph.add("Cast", to=9).add("Cast", to=1)
    return graph.add(draw.one("Neg", "Flatten"))


def any_power(draw):
    """Raise to a power that is no simple one, in an image or in rows of places."""
    graph = Graph().add("Exp")
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, draw.sizes[0], 1, draw.sizes[1], draw.sizes[2]]))
    return graph.add("Pow", np.float32(draw.one(1 / 3, 0.75, -2, 4, 1.7, -0.3, 1))).add("Flatten")


def cumulated(draw):
    """Sum what comes before each place of an axis."""
    graph = draw.signed()
    if draw.some(0, 1):
        graph.add("Transpose", perm=[0, 2, 3, 1])
    options = {"exclusive": draw.some(0, 1), "reverse": draw.some(0, 1)}
    return graph.add("CumSum", np.array(draw.one(1, 2, 3, -1, -2), np.int64), **options).add("Flatten")


EQUATIONS = (
    "nchw,ndhw->ncd",
    "nchw,nchv->ncwv",
    "nchw,ncvw->nchv",
    "nchw,nwd->nchd",
    "nhwc,nhvc->nhwv",
    "nchw,nchw->n",
    "nchw,nd->ndhcw",
    "nchw,ncg->nghw",
)
WITH_STORED = ("nchw,cd->ndhw", "nchw,dc->nhwd", "nchw,wvh->ncv", "dc,nchw->nhwd", "nchw,d->nchwd", "nchw,chw->n")


def einsum(draw):
    """Sum products of two tensors, or of a tensor and stored numbers, by letters."""
    graph, sizes = draw.signed(), dict(zip("nchw", (FILMS, *draw.sizes), strict=True))
    equation = draw.one(*EQUATIONS, *WITH_STORED)
    left, right = equation.split("->")[0].split(",")
    sizes |= {one: draw.some(1, 5) for one in (left + right) if one not in sizes}
    first, made = graph.add("Identity").last, []
    for letters in (left, right):
        if "n" not in letters:
            made.append(graph.store(draw.normal(*(sizes[one] for one in letters))))
        elif letters == "nchw":
            made.append(first)
        else:  # as many numbers as its letters say, of those of the film
            flat = draw.normal(draw.sizes[1] * draw.sizes[2], int(np.prod([sizes[one] for one in letters[1:]]))) / 8
            graph.add("Slice", inputs=[first, *(graph.store(np.int64([one])) for one in (0, 1, 1))])
            graph.add("Reshape", np.int64([0, flat.shape[0]])).add("MatMul", flat)
            made.append(graph.add("Reshape", np.int64([-1, *(sizes[one] for one in letters[1:])])).last)
    if "n" in right and draw.some(0, 1):
        graph.add("Tanh", inputs=[made[1]])
        made[1] = graph.last
    graph.add("Einsum", inputs=made, equation=equation.replace("->", draw.one("->", " -> ")))
    if equation.endswith("->n"):
        graph.add("Unsqueeze", np.int64([1]))
    return graph.add("Flatten")


def stored_left(draw):
    """Multiply by a stored matrix from the left."""
    graph, (channels, rows, columns) = draw.signed(), draw.sizes
    inner, made = rows, draw.some(1, 4)
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, channels, rows * columns]))
        inner = channels
    weight = draw.normal(made, inner)
    weight = weight[None] if draw.some(0, 1) else weight
    return graph.add("MatMul", inputs=[graph.store(weight), graph.last]).add("Flatten")


def unfolded(draw):
    """Take windows of an image as torch's unfold does: rows of places of each axis."""
    graph, _ = draw.signed(), draw.sizes
    for axis, side in ((2, draw.sizes[1]), (4, draw.sizes[2])):
        size, stride, wide = draw.some(1, 3), draw.some(1, 3), draw.some(1, 2)
        starts = np.arange(0, side - (size - 1) * wide, stride)
        graph.add("Gather", (np.arange(size)[:, None] * wide + starts).astype(np.int64), axis=axis)
    return graph.add("Transpose", perm=[0, 1, 2, 4, 3, 5]).add("Flatten")


def selected(draw):
    """Take channels as the newer exporter writes index_select: with the batch moved, by GatherND."""
    places = draw.rng.integers(0, draw.sizes[0], (draw.some(1, 6), 1))
    graph = draw.signed().add("Transpose", perm=[1, 0, 2, 3]).add("GatherND", places)
    return graph.add("Transpose", perm=[1, 0, 2, 3]).add("Flatten")


def stacked(draw):
    """Stack tensors along an axis before the batch, and take the sum, the mean or the largest over it."""
    graph, made = Graph(), []
    for op in ("Relu", "Tanh", "Sigmoid")[: draw.some(2, 3)]:
        graph.add(op, inputs=["image"])
        made.append(graph.add("Unsqueeze", np.int64([0])).last)
    graph.add("Concat", inputs=made, axis=0)
    op, keep = draw.one("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"), draw.some(0, 1)
    axes = draw.one([0], [0, 3], [-1], [0, 2])
    graph.add(op, np.int64(axes), keepdims=keep)
    if keep or axes == [-1]:
        graph.add("ReduceMax", np.int64([0]), keepdims=0)
    return graph.add("Flatten")


def pool_along_one(draw):
    """Average along one axis of rows, or of five axes, as torch writes LocalResponseNorm."""
    graph, (channels, rows, columns) = draw.signed(), draw.sizes
    if draw.some(0, 1):
        graph.add("Reshape", np.int64([0, channels, rows * columns]))
        options = {"kernel_shape": [draw.some(1, 4)], "strides": [draw.some(1, 3)]}
        return graph.add("AveragePool", **options).add("Flatten")
    graph.add("Reshape", np.int64([0, 1, channels, rows, columns]))
    kernel, strides, axis = [1, 1, 1], [1, 1, 1], draw.some(0, 2)
    kernel[axis], strides[axis] = draw.some(1, draw.sizes[axis]), draw.some(1, 2)
    return graph.add("AveragePool", kernel_shape=kernel, strides=strides, count_include_pad=1).add("Flatten")


def error_function(draw):
    """Take the error function of small numbers, of large ones, of what is positive and of what ends."""
    graph = Graph().add("Mul", np.float32(draw.one(1e-3, 0.3, 1, 5)))
    if draw.some(0, 1):
        graph.add(*draw.one(("Relu",), ("Tanh",), ("Clip", np.float32(-0.5), np.float32(9)), ("Neg",), ("Sigmoid",)))
    if draw.some(0, 1):
        graph.add("Transpose", perm=[0, 2, 3, 1])
    graph.add("Erf")
    if draw.some(0, 1):
        graph.add("Add", np.float32(1))
    return graph.add("Flatten")


FAMILIES = {
    "local_response": local_response,
    "heads_with_the_batch": heads_with_the_batch,
    "resize": resize,
    "shuffle": shuffle,
    "conv_transpose": conv_transpose,
    "group_norm": group_norm,
    "attention": attention,
    "product": product,
    "stored": stored,
    "gather": gather,
    "token": token,
    "layer_norm": layer_norm,
    "copies": copies,
    "reduced": reduced,
    "moves": moves,
    "function": function,
    "of_stored": of_stored,
    "of_two": of_two,
    "power": power,
    "average_pool": average_pool,
    "clip": clip,
    "conv": conv,
    "max_pool": max_pool,
    "slice": cut,
    "split": split,
    "windows": windows,
    "pads": pads,
    "softmax": softmax,
    "film_by_film": film_by_film,
    "chain": chain,
    "conv_of_rows": conv_of_rows,
    "choices": choices,
    "truths": truths,
    "sign": sign,
    "any_power": any_power,
    "cumulated": cumulated,
    "einsum": einsum,
    "stored_left": stored_left,
    "unfolded": unfolded,
    "selected": selected,
    "stacked": stacked,
    "pool_along_one": pool_along_one,
    "error_function": error_function,
}


def main(folder, seed, each=EACH):
    names, answers = {}, {}
    for number, (family, make) in enumerate(FAMILIES.items()):
        names[family] = []
        for index in range(4 * each):
            draw, name = Draw([seed, number, index]), f"{family}_{index}"
            if len(names[family]) == each:
                break
            path = folder / f"{name}.onnx"
            make(draw).save(path, ("batch", *draw.sizes), opset=20)
            films = draw.normal(FILMS, *draw.sizes)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # a window larger than its image is drawn again
            try:
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
                [answers[name]] = session.run(None, {"image": films})
            except Exception as error:
                if not type(error).__module__.startswith("onnxruntime"):
                    raise
                path.unlink()
                continue
            np.save(folder / f"{name}.npy", films)
            names[family].append(name)
    np.savez(folder / "onnxruntime.npz", **answers)
    sys.stdout.write(json.dumps(names) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
