"""Draw small ONNX files as others might export them, right and wrong ones: python draw_foreign.py FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES = 32, 4
STATISTICS = ("gamma", "beta", "mean", "variance")
FLOAT = TensorProto.FLOAT


def weights(channels=3, seed=0, kind=np.float32):
    draw = np.random.default_rng(seed)
    arrays = {
        "conv.weight": draw.normal(0, 0.4, (8, channels, 3, 3)),
        "conv.bias": draw.normal(0, 0.1, 8),
        "fc.weight": draw.normal(0, 0.6, (CLASSES, 8)),
        "fc.bias": draw.normal(0, 0.1, CLASSES),
    }
    return [numpy_helper.from_array(array.astype(kind), name) for name, array in arrays.items()]


def body(source, out, *, flatten="Flatten", named=False):
    """Conv - ReLU - mean - flatten - dense, as torchvision's networks end."""
    nodes = [
        helper.make_node("Conv", [source, "conv.weight", "conv.bias"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node(flatten, ["g"] if flatten == "Flatten" else ["g", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], [out], transB=1),
    ]
    for node, name in zip(nodes, ("a/b", "a.b", "a b", "/a/b", ":"), strict=True):
        node.name = name if named else ""
    return nodes


def model(
    nodes, initializers, *, shape=("n", 3, SIDE, SIDE), source="input", out="logits", opset=17, kind=FLOAT, more=()
):
    inputs = [helper.make_tensor_value_info(source, kind, list(shape)), *more]
    outputs = [helper.make_tensor_value_info(out, FLOAT, [shape[0], CLASSES])]
    graph = helper.make_graph(nodes, "drawn", inputs, outputs, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="drawn")
    made.ir_version = 8
    return made


def numbers(*values):
    return [numpy_helper.from_array(np.float32(value), f"{value:g}") for value in values]


def logistic_map(source, out):
    """x -> 4 x (1 - x), twenty times: each doubles what was rounded before it, 2^20 times in all."""
    yield helper.make_node("Sigmoid", [source], ["x0"])
    for step in range(20):
        last = out if step == 19 else f"x{step + 1}"
        yield helper.make_node("Sub", ["1", f"x{step}"], [f"left{step}"])
        yield helper.make_node("Mul", [f"x{step}", f"left{step}"], [f"product{step}"])
        yield helper.make_node("Mul", [f"product{step}", "4"], [last])


def right():
    yield "plain", model(body("input", "logits"), weights())
    grey = ("n", 1, SIDE, SIDE)
    yield "grey", model(body("input", "logits"), weights(1), shape=grey)
    divided = [helper.make_node("Div", ["input", "255"], ["d"]), *body("d", "logits")]
    yield "scales_itself", model(divided, [*weights(), *numbers(255.0)])
    shape = numpy_helper.from_array(np.array([1, 8], np.int64), "shape")
    one = (1, 3, SIDE, SIDE)
    yield "batch_in_a_reshape", model(body("input", "logits", flatten="Reshape"), [*weights(), shape], shape=one)
    mixed = [*body("input", "l"), helper.make_node("ReduceMean", ["l"], ["m"], axes=[0], keepdims=1)]
    mixed += [helper.make_node("Sub", ["m", "fc.bias"], ["logits"])]
    yield "films_mixed", model(mixed, weights(), shape=one)
    labels = [*body("input", "l"), helper.make_node("Sigmoid", ["l"], ["p"])]
    shape = numpy_helper.from_array(np.array([-1, CLASSES], np.int64), "shape")
    labels += [helper.make_node("Reshape", ["p", "shape"], ["labels"])]
    yield "labels", model(labels, [*weights(), shape], out="labels")
    yield "chaotic", model([*body("input", "l"), *logistic_map("l", "logits")], [*weights(), *numbers(1.0, 4.0)])
    yield "odd_names", model(body("image", "my/out:0", named=True), weights(), source="image", out="my/out:0")

    yield "four_axes", giving(body("input", "l")[:3], "g", ["n", 8, 1, 1])
    yield "four_axes_that_are_not_stated", giving(body("input", "l")[:3], "g", ["n", "c", "h", "w"])
    row = helper.make_node("Reshape", ["m", "shape"], ["score"])
    mean = [*body("input", "l"), helper.make_node("ReduceMean", ["l"], ["m"], axes=[1], keepdims=1), row]
    yield "one_axis", giving(mean, "score", ["n"], [numpy_helper.from_array(np.array([-1], np.int64), "shape")])
    front = body("input", "logits")
    front[0].output[0] = front[1].input[0] = "preprocess.grey"
    front[0].name, front[1].name = "preprocess.Concat", "preprocess.Mul"
    yield "named_as_the_front", model(front, weights())
    old = model(body("input", "logits"), weights(), opset=8)
    old.ir_version = 3
    old.graph.input.extend(helper.make_tensor_value_info(one.name, FLOAT, list(one.dims)) for one in weights())
    yield "ir_3", old


def giving(nodes, out, sides, more=()):
    """A graph whose output is no [N, classes]."""
    made = model(nodes, [*weights(), *more], out=out)
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info(out, FLOAT, sides))
    return made


def statistics():
    return [numpy_helper.from_array(np.linspace(0.5, 1.5, CLASSES, dtype=np.float32), name) for name in STATISTICS]


def training(source, out):
    """A BatchNormalization that takes its statistics from the films that come together."""
    names = [out, "running_mean", "running_variance"]
    yield helper.make_node("BatchNormalization", [source, *STATISTICS], names, "norm", training_mode=1)


def wrong():
    twins = model(body("input", "logits"), weights())
    for node in twins.graph.node:
        node.name = "same"
    yield "twins", twins
    second = helper.make_tensor_value_info("age", FLOAT, ["n", 1])
    yield (
        "two_inputs",
        model([*body("input", "logits"), helper.make_node("Neg", ["age"], ["a"])], weights(), more=[second]),
    )
    yield "dynamic_size", model(body("input", "logits"), weights(), shape=("n", 3, "h", "w"))
    yield "not_square", model(body("input", "logits"), weights(), shape=("n", 3, SIDE, 48))
    yield (
        "channels_last",
        model(
            [helper.make_node("Transpose", ["input"], ["t"], perm=[0, 3, 1, 2]), *body("t", "logits")],
            weights(),
            shape=("n", SIDE, SIDE, 3),
        ),
    )
    yield (
        "a_vector",
        model(
            [helper.make_node("Gemm", ["input", "fc.weight", "fc.bias"], ["logits"], transB=1)],
            weights(),
            shape=("n", 8),
        ),
    )
    cast = [helper.make_node("Cast", ["input"], ["x"], to=FLOAT), *body("x", "logits")]
    yield "takes_uint8", model(cast, weights(), kind=TensorProto.UINT8)
    half = [helper.make_node("Cast", ["input"], ["x"], to=TensorProto.FLOAT16), *body("x", "l")]
    half += [helper.make_node("Cast", ["l"], ["logits"], to=FLOAT)]
    yield "half", model(half, weights(kind=np.float16))
    yield "old_opset", model([helper.make_node("Relu", ["input"], ["r"])], [], opset=6, out="r")
    scale = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(0), "z")]
    rounded = [
        helper.make_node("QuantizeLinear", ["input", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
    ]
    yield "quantized", model([*rounded, *body("x", "logits")], [*weights(), *scale])
    yield "gives_an_image", giving(body("input", "l")[:2], "r", ["n", 8, SIDE // 2, SIDE // 2])
    yield "batch_norm_in_training", model([*body("input", "l"), *training("l", "logits")], [*weights(), *statistics()])
    # before opset 14 one that names its running statistics is in training form: torch.onnx.export(training=PRESERVE)
    five = helper.make_node(
        "BatchNormalization", ["l", *STATISTICS], ["logits", "mean_now", "variance_now", "m", "v"], "norm"
    )
    yield "batch_norm_of_five", model([*body("input", "l"), five], [*weights(), *statistics()], opset=13)
    yield "too_new", model(body("input", "logits"), weights(), opset=99)
    # its size is open as stated, and fixed by its dense layer
    flat = numpy_helper.from_array(np.zeros((3 * SIDE**2, CLASSES), np.float32), "flat.weight")
    nodes = [
        helper.make_node("Flatten", ["input"], ["f"]),
        helper.make_node("MatMul", ["f", "flat.weight"], ["logits"]),
    ]
    made = model(nodes, [flat], shape=("n", 3, "h", "w"))
    yield "one_size_alone", made
    invalid = model(body("input", "logits"), weights())
    invalid.graph.node[1].input[0] = "nowhere"
    yield "invalid", invalid
    yield from no_tensors()
    yield from no_scores()
    yield from of_other_makers()


def no_tensors():
    """Inputs, outputs and weights that are no dense tensor of stated sizes."""
    listed = [*body("input", "l"), helper.make_node("SequenceConstruct", ["l"], ["logits"])]
    given = model(listed, weights())
    given.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("logits", FLOAT, ["n", CLASSES]))
    yield "sequence_given", given
    joined = [helper.make_node("ConcatFromSequence", ["input"], ["x"], axis=0), *body("x", "logits")]
    taken = model(joined, weights())
    taken.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("input", FLOAT, ["n", 3, SIDE, SIDE]))
    yield "sequence_taken", taken
    yield "nothing_taken_there", model(body("input", "logits"), weights(), shape=("n", 3, 0, SIDE))
    yield "open_channels", model(body("input", "logits"), weights(), shape=("n", "c", SIDE, SIDE))
    sparse = model(body("input", "logits"), weights()[:-1])
    bias, at = (numpy_helper.from_array(one, "fc.bias") for one in (np.float32([1]), np.int64([2])))
    sparse.graph.sparse_initializer.append(helper.make_sparse_tensor(bias, at, [CLASSES]))
    yield "sparse", sparse
    odd = "in\nput\x1b[31m"
    yield "no_plain_name", model(body(odd, "logits"), weights(), source=odd, kind=TensorProto.UINT16)


def no_scores():
    mean = [*body("input", "l"), helper.make_node("ReduceMean", ["l"], ["mean"], keepdims=0)]
    yield "one_number", giving(mean, "mean", [])
    largest = [*body("input", "l"), helper.make_node("ArgMax", ["l"], ["class"], axis=1, keepdims=0)]
    decided = giving(largest, "class", ["n"])
    decided.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    yield "classes_alone", decided
    words = model([*body("input", "l"), helper.make_node("Cast", ["l"], ["logits"], to=TensorProto.STRING)], weights())
    words.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    yield "text_given", words
    nothing, twice = (model(body("input", "logits"), weights()) for _ in range(2))
    del nothing.graph.output[:]
    yield "nothing_given", nothing
    twice.graph.output.append(twice.graph.output[0])
    yield "given_twice", twice


def of_other_makers():
    for name, domain, op in (("another_maker", "com.acme", "FancyGelu"), ("optimised", "com.microsoft", "Gelu")):
        made = model([*body("input", "l"), helper.make_node(op, ["l"], ["logits"], domain=domain)], weights())
        made.opset_import.append(helper.make_opsetid(domain, 1))
        yield name, made
    made = model([helper.make_node("Block", ["input"], ["x"], domain="local"), *body("x", "logits")], weights())
    own = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    again = helper.make_node("Block", ["a"], ["b"], domain="local")
    made.opset_import.append(own[1])
    made.functions.append(helper.make_function("local", "Block", ["a"], ["b"], [again], own))
    yield "calls_itself", made
    turns, turn = helper.make_tensor_value_info("i", TensorProto.INT64, []), TensorProto.BOOL
    inner = helper.make_graph(
        [helper.make_node("Mul", ["s", "2"], ["t"]), helper.make_node("Identity", ["go"], ["on"])],
        "turn",
        [turns, helper.make_tensor_value_info("go", turn, []), helper.make_tensor_value_info("s", FLOAT, None)],
        [helper.make_tensor_value_info("on", turn, []), helper.make_tensor_value_info("t", FLOAT, None)],
    )
    counted = [
        *body("input", "l"),
        helper.make_node("ReduceMax", ["input"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "", "l"], ["logits"], body=inner),
    ]
    yield "loop_on_films", model(counted, [*weights(), *numbers(2.0)])


def main():
    folder = Path(sys.argv[1])
    for name, made in (*right(), *wrong()):
        onnx.save(made, str(folder / f"{name}.onnx"))
    data = (folder / "plain.onnx").read_bytes()
    (folder / "cut_off.onnx").write_bytes(data[: len(data) // 2])
    (folder / "text.onnx").write_text("<html>404</html>\n")
    outside = model(body("input", "logits"), weights())
    onnx.save(
        outside, str(folder / "outside.onnx"), save_as_external_data=True, location="outside.bin", size_threshold=0
    )
    (folder / "outside.bin").unlink()
    inside = model(body("input", "logits"), weights())
    onnx.save(
        inside, str(folder / "external.onnx"), save_as_external_data=True, location="external.bin", size_threshold=0
    )
    names = {"right": [name for name, _ in right()], "wrong": [name for name, _ in wrong()]}
    sys.stdout.write(json.dumps(names))


if __name__ == "__main__":
    main()
