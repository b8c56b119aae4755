"""Operations one by one: what the structure check lets through LiteRT runs and answers in the shapes that it says."""

import contextlib
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from draw_file import CODES, Graph

from convert.formats.tflite.plain import Plain, PlainBuilder
from convert.formats.tflite.write import write_tflite
from tbconv.contract.bundle import read_bundle
from tbconv.contract.certificate import Verdict
from tf_serve.fallback import choose_model
from tf_serve.runtime import structure
from tf_serve.runtime.flatbuffer import Unsound
from tf_serve.runtime.structure import MOST_SIDES, OPERATIONS, inspect

EACH = 60  # drawn graphs of an operation
SIDES = (1, 2, 3)
KINDS = {  # of operations of which a call can be drawn: what checks them
    "one": (structure._same, structure._softmax),
    "two": (structure._elementwise, structure._arithmetic, structure._compare, structure._prelu, structure._extremum),
    "logic": (structure._logic,),
    "select": (structure._select,),
    "reduce": (structure._reduce,),
    "product": (structure._product,),
    "cut": (structure._cut,),
    "tile": (structure._tile,),
    "image": (structure._transposed, structure._resize, structure._move_blocks, structure._normalise),
}
KIND_OF = {one.name: kind for kind, checks in KINDS.items() for one in OPERATIONS.values() if one.check in checks}


# --- drawn ---


class Draw:
    """A call of an operation: mostly right, sometimes of shapes, axes and places that do not fit."""

    def __init__(self, name, seed):
        self.rng, self.name, self.graph = np.random.default_rng(seed), name, Graph()
        self.options = {"beta": 1.0} if name == "SOFTMAX" else {"alpha": 0.1} if name == "LEAKY_RELU" else {}
        inputs, shape, dtype = getattr(self, KIND_OF[name])()
        number = self.graph.tensor(shape, dtype, grid=self.grid(dtype))
        self.graph.output(self.graph.operation(name, inputs, number, **self.options))

    def answers(self):
        """Return the shapes of the graph's outputs."""
        return [list(self.graph.graph.tensors[one].shape) for one in self.graph.graph.outputs]

    def some(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def often(self):
        return self.rng.random() < 0.9

    def shape(self, low=0, high=MOST_SIDES):
        return tuple(self.rng.choice(SIDES, self.some(low, high)).tolist())

    def grid(self, dtype):
        """Return a grid of int8: that of the fixed outputs, or another."""
        wanted = {"TANH": (1 / 128, 0), "SOFTMAX": (1 / 256, -128), "LOGISTIC": (1 / 256, -128)}.get(self.name)
        return None if dtype != "int8" else wanted or (float(self.rng.random()) + 1e-3, self.some(-128, 127))

    def partner(self, shape):
        """Return a shape that stretches to another one, or one that has nothing to do with it."""
        if not self.often():
            return self.shape()
        sides = [side if self.some(0, 1) else 1 for side in shape]
        return tuple(sides[self.some(0, len(sides)) :])

    def operand(self, shape, dtype="float32"):
        if dtype == "float32" and self.some(0, 1):
            return self.graph.tensor(shape, dtype, self.rng.normal(size=shape))
        return self.graph.input(shape, dtype, self.grid(dtype))

    def one(self):
        shape, dtype = (
            self.shape(),
            "int8" if "int8" in OPERATIONS[CODES[self.name]].types and self.some(0, 1) else "float32",
        )
        return [self.graph.input(shape, dtype, (0.1, 3) if dtype == "int8" else None)], shape, dtype

    def two(self):
        shape = self.shape()
        shapes = [shape, self.partner(shape)]
        if self.some(0, 1) and self.name != "PRELU":
            shapes.reverse()
        dtype = "bool" if OPERATIONS[CODES[self.name]].check is structure._compare else "float32"
        return [self.operand(one) for one in shapes], stretched(*shapes), dtype

    def logic(self):
        shape = self.shape()
        shapes = [shape, self.partner(shape)][: OPERATIONS[CODES[self.name]].inputs[0]]
        dtypes = ["bool" if self.often() else "float32" for _ in shapes]
        return [self.graph.input(*one) for one in zip(shapes, dtypes, strict=True)], stretched(*shapes), "bool"

    def select(self):
        shape = self.shape()
        shapes = [self.partner(shape), shape, self.partner(shape)] if self.some(0, 1) else [shape] * 3
        inputs = [self.graph.input(shapes[0], "bool"), self.operand(shapes[1]), self.operand(shapes[2])]
        return inputs, stretched(*shapes), "float32"

    def reduce(self):
        shape = self.shape()
        axes = [self.some(-len(shape), len(shape) - self.often()) for _ in range(self.some(0, 3))] if shape else []
        keep = self.options["keepDims"] = bool(self.some(0, 1))
        gone = {axis % len(shape) for axis in axes}
        sides = [1 if axis in gone else side for axis, side in enumerate(shape) if keep or axis not in gone]
        return [self.operand(shape), self.graph.constant(np.int32(axes))], sides, "float32"

    def product(self):
        left = self.shape(self.often() * 2)
        right = [*self.partner(left[:-2]), left[-1] if left and self.often() else 2, self.some(1, 3)]
        shapes, sides = [list(left), right], [*stretched(left[:-2], tuple(right[:-2])), *left[-2:-1], right[-1]]
        for option, shape in zip(("adjX", "adjY"), shapes, strict=True):
            turned = self.options[option] = bool(self.some(0, 1))
            shape[-2:] = shape[-2:][::-1] if turned else shape[-2:]
        return [self.operand(one) for one in shapes], sides, "float32"

    def cut(self):
        shape = self.shape()
        begin = [self.some(0, side - self.often()) for side in shape]
        left = [side - first + (not self.often()) for side, first in zip(shape, begin, strict=True)]
        size = [self.some(1, most) if most and self.some(0, 1) else -1 for most in left]
        sides = [side - first if kept == -1 else kept for side, first, kept in zip(shape, begin, size, strict=True)]
        places = [self.graph.constant(np.int32(one)) for one in (begin, size)]
        return [self.operand(shape), *places], sides, "float32"

    def tile(self):
        shape = self.shape()
        times = [self.some(1, 3) for _ in range(len(shape) + (not self.often()))]
        kind = np.int64 if self.some(0, 1) else np.int32
        sides = [side * one for side, one in zip(shape, times, strict=False)]
        return [self.operand(shape), self.graph.constant(kind(times), kind.__name__)], sides, "float32"

    def image(self):
        batch, rows, columns, channels = shape = [self.some(1, 2), *(self.some(1, 5) for _ in range(3))]
        if self.name == "DEPTH_TO_SPACE":
            block = self.options["blockSize"] = self.some(1, 3)
            shape[3] = channels * block**2 + (not self.often())
            return [self.operand(shape)], [batch, rows * block, columns * block, channels], "float32"
        if self.name == "SPACE_TO_DEPTH":
            block = self.options["blockSize"] = self.some(1, 3)
            shape[1:3] = rows * block, columns * block + (not self.often())
            return [self.operand(shape)], [batch, rows, columns, channels * block**2], "float32"
        if self.name == "LOCAL_RESPONSE_NORMALIZATION":
            self.options = {"radius": self.some(0, 7), "bias": 1.0, "alpha": 0.1, "beta": 0.5}
            return [self.operand(shape)], shape, "float32"
        if self.name != "TRANSPOSE_CONV":
            self.options[self.rng.choice(["alignCorners", "halfPixelCenters"])] = bool(self.some(0, 1))
            sides = [self.some(1, 9), self.some(1, 9)]
            return [self.operand(shape), self.graph.constant(np.int32(sides))], [batch, *sides, channels], "float32"
        kernel, strides, padding = (
            [self.some(1, 3), self.some(1, 3)],
            [self.some(1, 3), self.some(1, 3)],
            self.some(0, 1),
        )
        self.options = {"padding": padding, "strideH": strides[0], "strideW": strides[1]}
        made = [batch, *self.drawn_sides(rows, columns, kernel, strides, padding), self.some(1, 4)]
        filters = [made[3], *kernel, channels]
        inputs = [self.graph.constant(np.int32(made)), self.operand(filters), self.operand(shape)]
        bias = [self.operand([made[3] + (not self.often())])] if self.some(0, 1) else []
        return [*inputs, *bias], made, "float32"

    def drawn_sides(self, rows, columns, kernel, strides, padding):
        """Return sides of which a convolution makes these, mostly."""
        return [
            side * stride - self.some(0, stride - 1) + (not self.often())
            if padding == 0
            else (side - 1) * stride + size + self.some(0, stride - 1) + (not self.often())
            for side, size, stride in zip((rows, columns), kernel, strides, strict=True)
        ]


def stretched(*shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return shapes[0]


def test_litert_survives_whatever_passes_and_answers_in_the_shapes_of_the_file(tmp_path):
    wanted, passed = {}, Counter()
    for name in KIND_OF:
        for number in range(EACH):
            draw = Draw(name, [1, CODES[name], number])
            data = draw.graph.bytes()
            with contextlib.suppress(Unsound):
                inspect(data)
                (tmp_path / f"{name}_{number}.tflite").write_bytes(data)
                wanted[f"{name}_{number}"] = draw.answers()
                passed[name] += 1
    assert {name: passed[name] for name in KIND_OF if passed[name] < EACH / 4} == {}
    command = [sys.executable, str(Path(__file__).with_name("run_files.py")), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{(tmp_path / 'last').read_text()} ended it: {done.returncode}"
    found = json.loads(done.stdout)
    assert {name: answers for name, answers in found.items() if answers != [wanted[name]] * 2} == {}


# --- malformed ---

FILM, BOUND = (1, 4, 4, 3), (1,)
OF_ONE = "ABS COS ELU EXP GELU LEAKY_RELU LOG LOG_SOFTMAX NEG RSQRT SIGN SIN SOFTMAX SQRT SQUARE TANH"
RIGHT = {  # shapes of the tensors, that of the output last; a list is a constant of whole numbers
    **dict.fromkeys(OF_ONE.split(), (FILM, FILM)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE"), (FILM, BOUND, FILM)),
    "PRELU": (FILM, (1, 1, 3), FILM),
    "BATCH_MATMUL": ((3, 4, 3), (3, 3, 5), (3, 4, 5)),
    "REDUCE_MAX": (FILM, [1, 2], (1, 3)),
    "SELECT": (FILM, FILM, FILM, FILM),
    "SLICE": (FILM, [0, 1, 1, 0], [1, 2, -1, 3], (1, 2, 3, 3)),
    "DEPTH_TO_SPACE": ((1, 4, 4, 12), (1, 8, 8, 3)),
    "SPACE_TO_DEPTH": (FILM, (1, 2, 2, 12)),
    "TILE": (FILM, [1, 2, 1, 3], (1, 8, 4, 9)),
    "LOCAL_RESPONSE_NORMALIZATION": (FILM, FILM),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (FILM, [8, 9], (1, 8, 9, 3))),
    "TRANSPOSE_CONV": ([1, 8, 8, 2], (2, 3, 3, 3), FILM, (2,), (1, 8, 8, 2)),
}
OPTIONS = {
    "SOFTMAX": {"beta": 1.0},
    "LEAKY_RELU": {"alpha": 0.1},
    "DEPTH_TO_SPACE": {"blockSize": 2},
    "SPACE_TO_DEPTH": {"blockSize": 2},
    "LOCAL_RESPONSE_NORMALIZATION": {"radius": 2, "bias": 1.0, "alpha": 0.1, "beta": 0.5},
    "TRANSPOSE_CONV": {"strideH": 2, "strideW": 2},
}


def types_of(name):
    return ["int32" if isinstance(one, list) else "float32" for one in RIGHT[name]]


def graph_of(name, tensors=None, types=None, **options):
    """Return a file with one operation, right but for what is given."""
    graph, numbers, tensors = Graph(), [], tensors or RIGHT[name]
    for slot, (one, dtype) in enumerate(zip(tensors, types or types_of(name), strict=True)):
        kind = "bool" if name == "SELECT" and slot == 0 and types is None else dtype
        if isinstance(one, list):
            numbers.append(graph.constant(one, kind))
        else:
            make = graph.tensor if slot == len(tensors) - 1 else graph.input
            numbers.append(make(one, kind, grid=(1 / 128, 0) if kind in ("int8", "uint8") else None))
    graph.output(graph.operation(name, numbers[:-1], numbers[-1], **OPTIONS.get(name, {}) | options))
    return graph.bytes()


def refused(fault, words, data):
    with pytest.raises(Unsound, match=words) as found:
        inspect(data)
    return found.value.fault == fault


@pytest.mark.parametrize("name", RIGHT)
def test_another_count_of_operands_or_another_shape_is_refused(name):
    *inputs, shape = RIGHT[name]
    inspect(graph_of(name))
    fewer = inputs[: OPERATIONS[CODES[name]].inputs[0] - 1]
    for others in (fewer, [*inputs, FILM]):
        types = ["float32"] * (len(others) + 1)
        assert refused("count", f"{name}, has {len(others)} inputs", graph_of(name, [*others, shape], types))
    for other in (shape[1:], (*shape, 1), (*shape[:-1], shape[-1] + 1), (2, *shape[1:])):
        assert refused("shape", f"{name} gives .*, the file says", graph_of(name, [*inputs, other]))


@pytest.mark.parametrize("name", RIGHT)
def test_another_type_is_refused_of_one_tensor_and_of_all(name):
    right = types_of(name)
    numbers = [slot for slot, dtype in enumerate(right) if dtype == "float32"][name == "SELECT" :]
    for dtype in ("int8", "uint8", "int32", "int64", "float16", "bool"):
        changes = {"dtype": [[slot] for slot in numbers]}
        if dtype not in OPERATIONS[CODES[name]].types:
            changes["operation"] = [numbers]
        if name == "TRANSPOSE_CONV":  # whose types are held to a table
            changes["dtype"] += changes.pop("operation", [])
        for fault, slots in ((fault, slots) for fault, rows in changes.items() for slots in rows):
            types = [dtype if slot in slots else one for slot, one in enumerate(right)]
            types[0] = "bool" if name == "SELECT" else types[0]
            assert refused(
                "dtype" if name == "SELECT" else fault, f"{name} has tensors of", graph_of(name, types=types)
            )


@pytest.mark.parametrize("name", ["LEAKY_RELU", "SOFTMAX", "TANH"])
def test_int8_passes_where_our_own_writer_writes_it(name):
    inspect(graph_of(name, types=["int8", "int8"]))


SIX, FIVE = (1, 2, 1, 2, 1, 2), (1, 2, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "words", "changes"),
    [
        ("SOFTMAX", "beta 0, not 1", {"beta": 0.0}),
        ("SOFTMAX", "beta nan", {"beta": np.nan}),
        ("SOFTMAX", "options of the kind 0", {"bare": True}),
        ("SOFTMAX", "no axis of classes", {"tensors": ((), ())}),
        ("LOG_SOFTMAX", "no axis of classes", {"tensors": ((), ())}),
        ("LEAKY_RELU", "slope nan", {"alpha": np.nan}),
        ("LEAKY_RELU", "slope inf", {"alpha": np.inf}),
        ("LEAKY_RELU", "options of the kind 0", {"bare": True}),
        ("PRELU", "do not fit", {"tensors": (FILM, (1, 1, 4), FILM)}),
        ("PRELU", "slopes of", {"tensors": (FILM, (2, 1, 1, 3), (2, 4, 4, 3))}),
        ("PRELU", "slopes of", {"tensors": (FIVE, (2, 1), FIVE)}),
        ("PRELU", "slopes of", {"tensors": (FIVE, (2, 3), FIVE)}),
        ("MAXIMUM", "do not fit", {"tensors": (FILM, (4,), FILM)}),
        ("MINIMUM", "more than 5 axes", {"tensors": (SIX, BOUND, SIX)}),
        ("MAXIMUM", "bound of", {"tensors": ((1,), (1, 1), (1, 1))}),
        ("POW", "more than 4 axes", {"tensors": (FIVE, BOUND, FIVE)}),
        ("SQUARED_DIFFERENCE", "more than 4 axes", {"tensors": (FIVE, BOUND, FIVE)}),
        ("SELECT", "several shapes", {"tensors": ((1,), FILM, FILM, FILM)}),
        ("SELECT", "else than bool", {"types": ["float32"] * 4}),
        ("BATCH_MATMUL", "multiplies", {"tensors": ((4, 2), (3, 5), (4, 5))}),
        ("BATCH_MATMUL", "multiplies", {"tensors": ((3,), (3, 5), (5,))}),
        ("BATCH_MATMUL", "multiplies", {"adjX": True}),
        ("BATCH_MATMUL", "multiplies", {"adjY": True}),
        ("BATCH_MATMUL", "do not fit", {"tensors": ((2, 4, 3), (3, 3, 5), (3, 4, 5))}),
        ("REDUCE_MAX", "axis 4 of 4", {"tensors": (FILM, [4], FILM)}),
        ("REDUCE_MAX", "axis -5 of 4", {"tensors": (FILM, [-5], FILM)}),
        ("REDUCE_MAX", "an axis twice", {"tensors": (FILM, [1, -3], FILM)}),
        ("REDUCE_MAX", "depends on the image", {"tensors": (FILM, (2,), (1, 3))}),
        ("REDUCE_MAX", "input 1 of REDUCE_MAX is int64", {"types": ["float32", "int64", "float32"]}),
        ("REDUCE_MAX", "options of the kind 0", {"bare": True}),
        ("SLICE", "reads beyond", {"tensors": (FILM, [0, 4, 0, 0], [1, 1, 1, 1], FILM)}),
        ("SLICE", "reads beyond", {"tensors": (FILM, [0, -1, 0, 0], [1, 1, 1, 1], FILM)}),
        ("SLICE", "reads beyond", {"tensors": (FILM, [0, 2, 0, 0], [1, 3, 1, 1], FILM)}),
        ("SLICE", "gives", {"tensors": (FILM, [0, 0, 0, 0], [1, -2, 1, 1], FILM)}),
        ("SLICE", "no begin and size", {"tensors": (FILM, [0, 0], [1, 1], (1, 1))}),
        ("SLICE", "more than 5 axes", {"tensors": (SIX, [0] * 6, [1] * 6, (1,) * 6)}),
        ("SLICE", "depends on the image", {"tensors": (FILM, (4,), [1, 1, 1, 1], FILM)}),
        ("SLICE", "input 2 of SLICE is int64", {"types": ["float32", "int32", "int64", "float32"]}),
        ("DEPTH_TO_SPACE", "blocks of 0", {"blockSize": 0}),
        ("DEPTH_TO_SPACE", "blocks of 46341", {"blockSize": 46341}),  # whose square is beyond int32
        ("DEPTH_TO_SPACE", "blocks of 5", {"blockSize": 5}),
        ("DEPTH_TO_SPACE", "blocks of 2", {"tensors": ((4, 12), (8, 3))}),
        ("SPACE_TO_DEPTH", "blocks of 3", {"blockSize": 3}),
        ("SPACE_TO_DEPTH", "blocks of 0", {"blockSize": 0}),
        ("TILE", "repeats", {"tensors": (FILM, [1, 0, 1, 1], FILM)}),
        ("TILE", "repeats", {"tensors": (FILM, [1, -1, 1, 1], FILM)}),
        ("TILE", "repeats", {"tensors": (FILM, [2, 1], (1, 4, 8, 3))}),
        ("TILE", "values are the most", {"tensors": (FILM, [1 << 20, 1 << 20, 1, 1], FILM)}),
        ("TILE", "depends on the image", {"tensors": (FILM, (4,), FILM)}),
        ("LOCAL_RESPONSE_NORMALIZATION", "radius -1", {"radius": -1}),
        ("LOCAL_RESPONSE_NORMALIZATION", "radius 2147483647", {"radius": (1 << 31) - 1}),
        ("LOCAL_RESPONSE_NORMALIZATION", "nan", {"bias": np.nan}),
        ("LOCAL_RESPONSE_NORMALIZATION", "no 4 axes", {"tensors": (FIVE, FIVE)}),
        ("RESIZE_BILINEAR", "gives", {"tensors": (FILM, [0, 9], (1, 1, 9, 3))}),
        ("RESIZE_BILINEAR", "gives", {"tensors": (FILM, [1 << 20, 1 << 20], FILM)}),
        ("RESIZE_BILINEAR", "depends on the image", {"tensors": (FILM, (2,), (1, 8, 9, 3))}),
        ("RESIZE_BILINEAR", "no two sides", {"tensors": (FILM, [8, 9, 1], (1, 8, 9, 3))}),
        ("RESIZE_NEAREST_NEIGHBOR", "no image", {"tensors": ((4, 4, 3), [8, 9], (8, 9, 3))}),
        ("RESIZE_NEAREST_NEIGHBOR", "corners and centres", {"alignCorners": True, "halfPixelCenters": True}),
        ("TRANSPOSE_CONV", "stride 0", {"strideW": 0}),
        ("TRANSPOSE_CONV", "padding 2", {"padding": 2}),
        ("TRANSPOSE_CONV", "activation 4", {"fusedActivationFunction": 4}),
        ("TRANSPOSE_CONV", "options of the kind 0", {"bare": True}),
        ("TRANSPOSE_CONV", "makes", {"tensors": ([1, 9, 8, 2], (2, 3, 3, 3), FILM, (2,), (1, 9, 8, 2))}),
        ("TRANSPOSE_CONV", "makes", {"tensors": ([1, 8, 8, 2], (2, 3, 3, 4), FILM, (2,), (1, 8, 8, 2))}),
        ("TRANSPOSE_CONV", "makes", {"tensors": ([1, 8, 8, 2], (3, 3, 3, 3), FILM, (3,), (1, 8, 8, 2))}),
        ("TRANSPOSE_CONV", "bias of", {"tensors": ([1, 8, 8, 2], (2, 3, 3, 3), FILM, (3,), (1, 8, 8, 2))}),
        ("TRANSPOSE_CONV", "less than a stride", {"strideW": 9, "padding": 0}),
        ("TRANSPOSE_CONV", "depends on the image", {"tensors": ((4,), (2, 3, 3, 3), FILM, (2,), (1, 8, 8, 2))}),
    ],
)
def test_what_would_lead_a_kernel_astray_is_named(name, words, changes):
    with pytest.raises(Unsound, match=words):
        inspect(graph_of(name, **changes))


@pytest.mark.parametrize(("count", "passes"), [(6000, True), (17_000, False)])
def test_a_network_of_thousands_of_tensors_passes_and_no_more_than_16384(count, passes):
    graph = Graph()
    for _ in range(count):
        graph.tensor((1,), "float32", values=[1])
    if passes:
        inspect(graph.bytes())
    else:
        with pytest.raises(Unsound, match="16,384 are the most"):
            inspect(graph.bytes())


def test_five_axes_have_slopes_of_channels():
    inspect(graph_of("PRELU", (FIVE, (1, 1, 1, 1, 3), FIVE)))


# --- bundles ---


def network():
    """Return a network of what was converted and not served: float32 [1, 224, 224, 1] to the outputs of a bundle."""
    draw, make = np.random.default_rng(0), PlainBuilder()
    image = make.image((224, 224, 1), "image")
    last = make.scale(image, 1 / 64, -2.0, "normalise")
    steps = {"strides": (4, 4), "dilations": (1, 1), "groups": 1}
    last = make.conv(last, draw.normal(size=(4, 4, 1, 8)) / 4, draw.normal(size=8), "stem", 0, **steps)
    for kind in ("gelu", "leaky_relu", "softplus", "tanh", "abs", "exponential", "log", "sqrt", "elu"):
        options = {"leaky_relu": {"slope": 0.1}, "elu": {"alpha": 1.5}}.get(kind, {})
        last = make.activation(last, kind, kind, **options)
        last = make.clip(last, 0.1, math.inf, f"{kind}.clip") if kind in ("abs", "exponential") else last
    last = make.prelu(make.scale(last, 1.0, -1.0, "shift"), draw.normal(size=8), "prelu", 0)
    last = make.combine([last, make.reduce(last, "max", "largest", keep=True)], "minimum", "minimum")
    last = make.pool(last, "average", (8, 8), (8, 8), "pool", same=False)
    evidence = make.reshape(make.dense(last, draw.normal(size=(8, 1)), None, "head", 0), (7, 7), "evidence")
    margin = make.reshape(
        make.reduce(make.reshape(evidence, (49, 1), "rows"), "mean", "mean", keep=False), (1,), "margin"
    )
    logits = make.dense(margin, np.array([[-0.5, 0.5]]), None, "logits", 0)
    probability = make.activation(make.scale(margin, 1.2, -0.3, "line"), "sigmoid", "probability")
    outputs = {"logits": logits, "probability": probability, "evidence": evidence}
    return Plain(image, tuple(make.operations), outputs)


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic"])
def test_a_network_of_such_operations_answers_in_a_bundle_and_no_baseline_for_it(make_bundle, tmp_path, precision):
    model, baseline = "model_float32.tflite", "baseline.tflite"
    (tmp_path / "own.tflite").write_bytes(write_tflite(network(), precision))
    verdicts = {model: Verdict.CERTIFIED, baseline: Verdict.CERTIFIED}
    active = choose_model(read_bundle(make_bundle(verdicts=verdicts, sources={model: tmp_path / "own.tflite"})))
    assert (active.kind, active.artefact, active.reason) == ("trained", model, None)
