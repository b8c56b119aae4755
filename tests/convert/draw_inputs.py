"""Draw ONNX files with every kind of input that others export: python draw_inputs.py FOLDER; prints their names.

Sizes, layouts, kinds of numbers, several inputs and QDQ, all of one small network whose classes differ by film.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from draw_foreign import CLASSES, FLOAT, SIDE, body, model, weights
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HIGH, WIDE = 32, 48
TO_FIRST = helper.make_node("Transpose", ["input"], ["t"], perm=[0, 3, 1, 2])
HALF = TensorProto.FLOAT16


def sizes():
    yield "dynamic_size", model(body("input", "logits"), weights(), shape=("n", 3, "h", "w"))
    yield "half_dynamic_size", model(body("input", "logits"), weights(), shape=("n", 3, SIDE, "w"))
    yield "not_square", model(body("input", "logits"), weights(), shape=("n", 3, HIGH, WIDE))
    yield "not_square_last", model([TO_FIRST, *body("t", "logits")], weights(), shape=("n", HIGH, WIDE, 3))
    # as a dense layer behind Flatten would: height and width must not be taken for each other
    flat = numpy_helper.from_array(
        np.random.default_rng(3).normal(0, 0.1, (HIGH * WIDE, CLASSES)).astype(np.float32), "w"
    )
    nodes = [helper.make_node("Flatten", ["input"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["logits"])]
    yield "places", model(nodes, [flat], shape=("n", 1, HIGH, WIDE))


def layouts():
    yield "last", model([TO_FIRST, *body("t", "logits")], weights(), shape=("unk__1", SIDE, SIDE, 3))
    yield "last_dynamic", model([TO_FIRST, *body("t", "logits")], weights(), shape=(-1, -1, -1, 3))
    # tf2onnx scales before it moves axes, and reads the image twice
    scaled = [
        helper.make_node("Mul", ["input", "by"], ["m"]),
        helper.make_node("Sub", ["m", "means"], ["s"]),
        helper.make_node("Transpose", ["s"], ["t"], perm=[0, 3, 1, 2]),
        *body("t", "l"),
        helper.make_node("Flatten", ["input"], ["places"]),
        helper.make_node("MatMul", ["places", "fc.other"], ["o"]),
        helper.make_node("Add", ["l", "o"], ["logits"]),
    ]
    draw = np.random.default_rng(2)
    stored = {"by": 1 / 127.5, "means": [0.9, 1.0, 1.1], "fc.other": draw.normal(0, 1e-4, (3 * SIDE**2, CLASSES))}
    stored = [numpy_helper.from_array(np.asarray(one, np.float32), name) for name, one in stored.items()]
    yield "last_scaled", model(scaled, [*weights(), *stored], shape=("n", SIDE, SIDE, 3))
    # of one channel tf2onnx writes a Reshape
    target = numpy_helper.from_array(np.array([-1, 1, HIGH, WIDE], np.int64), "target")
    moved = helper.make_node("Reshape", ["input", "target"], ["t"])
    yield "last_grey", model([moved, *body("t", "logits")], [*weights(1), target], shape=("n", HIGH, WIDE, 1))
    # ... and so does a network that reshapes its grey image to what it is
    same = helper.make_node("Reshape", ["input", "target"], ["t"])
    yield "grey_reshaped", model([same, *body("t", "logits")], [*weights(1), target], shape=("n", 1, HIGH, WIDE))
    # grey films without an axis of channels, which the network adds, or reads as rows as well
    added = [helper.make_node("Unsqueeze", ["input", "one"], ["t"]), *body("t", "logits")]
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
    yield "planes", model(added, [*weights(1), one], shape=("n", HIGH, WIDE))
    yield "planes_of_one_film", model(added, [*weights(1), one], shape=(1, HIGH, WIDE))
    rows = numpy_helper.from_array(draw.normal(0, 1e-3, (HIGH * WIDE, CLASSES)).astype(np.float32), "fc.other")
    both = [helper.make_node("Unsqueeze", ["input", "one"], ["t"]), *body("t", "l"), *scaled[-3:]]
    yield "planes_read_twice", model(both, [*weights(1), one, rows], shape=("n", HIGH, WIDE))
    yield "one_plane", unbatched(added, [*weights(1), one], (HIGH, WIDE))
    yield "three_planes", unbatched(added, [*weights(3), one], (3, HIGH, WIDE))


def unbatched(nodes, stored, shape):
    """A network of one image: its answer [1, CLASSES] has a first axis that its input has not."""
    at = numpy_helper.from_array(np.arange(4 - len(shape)), "one")
    made = model(nodes, [*stored[:-1], at], shape=shape)
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    return made


def kinds():
    cast = [helper.make_node("Cast", ["input"], ["x"], to=FLOAT), *scaled_body("x")]
    yield "uint8", model(cast, [*weights(), *small()], kind=TensorProto.UINT8)
    moved = [
        helper.make_node("Transpose", ["input"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["x"], to=FLOAT),
        *scaled_body("x"),
    ]
    yield "uint8_last", model(moved, [*weights(), *small()], kind=TensorProto.UINT8, shape=("n", SIDE, SIDE, 3))
    computed = [helper.make_node("Add", ["input", "input"], ["a"]), helper.make_node("Cast", ["a"], ["x"], to=FLOAT)]
    yield "uint8_computed", model([*computed, *body("x", "logits")], weights(), kind=TensorProto.UINT8)
    stored = [helper.make_node("Cast", [f"{one.name}.half"], [one.name], to=FLOAT) for one in weights()]
    halves = [named(one, f"{one.name}.half") for one in weights(kind=np.float16)]
    yield "half_stored", model([*stored, *body("input", "logits")], halves)
    whole = model(body("input", "logits"), weights(kind=np.float16), kind=HALF)
    whole.graph.output[0].type.tensor_type.elem_type = HALF
    yield "half", whole
    edges = [helper.make_node("Cast", ["input"], ["x"], to=HALF), *body("x", "l")]
    edges += [helper.make_node("Cast", ["l"], ["logits"], to=FLOAT)]
    yield "half_inside", model(edges, weights(kind=np.float16))
    double = model(body("input", "logits"), weights(kind=np.float64), kind=TensorProto.DOUBLE)
    double.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    yield "double", double
    # what is calculated in float64 beside a float32 network, as sizes are, is none of its numbers
    beside = [helper.make_node("Cast", ["two"], ["d"], to=TensorProto.DOUBLE), helper.make_node("Sqrt", ["d"], ["e"])]
    beside += [helper.make_node("Cast", ["e"], ["f32"], to=FLOAT), helper.make_node("Mul", ["l", "f32"], ["logits"])]
    two = numpy_helper.from_array(np.float32(2), "two")
    yield "double_beside", model([*body("input", "l"), *beside], [*weights(), two])
    yield "deep", model(cast, [*weights(), *small()], kind=TensorProto.UINT16)


def signed(folder):
    """Round by a scale a channel to int8 that no zero point names: nothing is clamped at zero."""
    scales = numpy_helper.from_array(np.float32([0.02, 0.03, 0.04]), "scales")
    pair = [
        helper.make_node("QuantizeLinear", ["input", "scales"], ["q"], axis=1, output_dtype=TensorProto.INT8),
        helper.make_node("DequantizeLinear", ["q", "scales"], ["x"], axis=1),
    ]
    made = model([*pair, *body("x", "logits")], [*weights(), scales], opset=21)
    made.ir_version = 10
    onnx.save(made, str(folder / "qdq_signed.onnx"))


def small():
    return [numpy_helper.from_array(np.float32(1 / 128), "by")]


def scaled_body(source):
    return [helper.make_node("Mul", [source, "by"], ["scaled"]), *body("scaled", "logits")]


def named(tensor, name):
    tensor.name = name
    return tensor


def several():
    age, sex = (
        helper.make_tensor_value_info(*one) for one in (("age", FLOAT, ["n", 1]), ("sex", TensorProto.INT64, ["n", 1]))
    )
    draw = np.random.default_rng(4)
    stored = {"a.w": draw.normal(0, 0.1, (1, 8)), "j.w": draw.normal(0, 0.6, (17, CLASSES)), "by": 0.01}
    stored = [numpy_helper.from_array(np.asarray(one, np.float32), name) for name, one in stored.items()]
    nodes = [
        *body("input", "unused")[:4],
        helper.make_node("Mul", ["age", "by"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "a.w"], ["h"]),
        helper.make_node("Relu", ["h"], ["hr"]),
        helper.make_node("Cast", ["sex"], ["s"], to=FLOAT),
        helper.make_node("Concat", ["f", "hr", "s"], ["joined"], axis=1),
        helper.make_node("MatMul", ["joined", "j.w"], ["logits"]),
    ]
    yield "age_and_sex", model(nodes, [*weights(), *stored], more=[age, sex])
    scalar = helper.make_tensor_value_info("factor", FLOAT, [])
    times = [*body("input", "l"), helper.make_node("Mul", ["l", "factor"], ["logits"])]
    yield "factor", model(times, weights(), more=[scalar])
    other = helper.make_tensor_value_info("lateral", FLOAT, ["n", 3, SIDE, SIDE])
    both = [helper.make_node("Add", ["input", "lateral"], ["x"]), *body("x", "logits")]
    yield "two_images", model(both, weights(), more=[other])


class Films(CalibrationDataReader):
    """Grey levels from black to white, as torchvision normalises them: what lies beyond is clamped in the files."""

    def __init__(self):
        draw = np.random.default_rng(6)
        grey = [draw.integers(0, 256, (1, 1, SIDE, SIDE)) * scale for scale in np.linspace(0, 1, 12)]
        mean, std = np.reshape([0.485, 0.456, 0.406], (1, 3, 1, 1)), np.reshape([0.229, 0.224, 0.225], (1, 3, 1, 1))
        self.left = iter([((one / 255 - mean) / std).astype(np.float32) for one in grey])

    def get_next(self):
        films = next(self.left, None)
        return None if films is None else {"input": films}


def rounded(folder, name, *, six=False, **options):
    """Quantize as ONNX Runtime does; its float32 network stays beside, under a name that no test wraps."""
    whole = model(body("input", "logits"), weights(), shape=(1, 3, SIDE, SIDE))
    if six:
        bounds = [numpy_helper.from_array(np.float32(one), key) for one, key in ((0, "least"), (6, "most"))]
        whole.graph.initializer.extend(bounds)
        whole.graph.node[1].CopyFrom(helper.make_node("Clip", ["c", "least", "most"], ["r"]))
        whole.graph.initializer[0].CopyFrom(
            named(numpy_helper.from_array(6 * numpy_helper.to_array(weights()[0])), "conv.weight")
        )
    (folder / "float").mkdir(exist_ok=True)
    onnx.save(whole, str(folder / "float" / f"{name}.onnx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(str(folder / "float" / f"{name}.onnx"), str(folder / f"{name}.onnx"), Films(), **options)


def main():
    folder = Path(sys.argv[1])
    names = []
    for name, made in (*sizes(), *layouts(), *kinds(), *several()):
        onnx.save(made, str(folder / f"{name}.onnx"))
        names.append(name)
    for name, options in {
        "qdq": {"activation_type": QuantType.QUInt8},
        "qdq_by_channel": {"activation_type": QuantType.QInt8, "per_channel": True},
        "qdq_symmetric": {"extra_options": {"ActivationSymmetric": True}},
        "qdq_six": {"six": True, "activation_type": QuantType.QUInt8},
        "qoperator": {"quant_format": QuantFormat.QOperator},
    }.items():
        rounded(folder, name, **options)
        names.append(name)
    signed(folder)
    sys.stdout.write(json.dumps([*names, "qdq_signed"]))


if __name__ == "__main__":
    main()
