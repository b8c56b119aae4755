"""Child of test_round_onnx.py: a small graph with every pattern that is folded, and what rounding made of it.

usage: round_small.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from convert.quantization.float16 import Folding, round_onnx

RNG = np.random.default_rng(0)


def constants():
    """Weights of a convolution, three BatchNorms and two dense layers, transB = 1 as torch exports them."""
    found = {"mean": np.float32([100.3]), "std": np.float32([57.6]), "w": RNG.normal(size=(4, 1, 3, 3))}
    for name, width in {"a": 4, "b": 4, "c": 4}.items():
        found |= {f"{name}.gamma": RNG.uniform(0.5, 1.5, width), f"{name}.beta": RNG.normal(size=width)}
        found |= {f"{name}.mean": RNG.normal(size=width), f"{name}.var": RNG.uniform(0.5, 2, width)}
    found |= {"d.w": RNG.normal(size=(1, 4)), "d.b": RNG.normal(size=1)}
    found |= {"slope": np.float32(1.3), "offset": np.float32(-0.2)}
    return {name: np.asarray(array, np.float32) for name, array in found.items()}


def norm(source, name, out):
    inputs = [source, *(f"{name}.{part}" for part in ("gamma", "beta", "mean", "var"))]
    return helper.make_node("BatchNormalization", inputs, [out], name=f"bn_{name}", epsilon=1e-3)


def graph():
    dense = {"transB": 1}
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["s"], name="sub"),
        helper.make_node("Div", ["s", "std"], ["n"], name="div"),
        helper.make_node("Conv", ["n", "w"], ["c0"], name="conv"),
        norm("c0", "a", "c1"),
        helper.make_node("Relu", ["c1"], ["r"], name="relu"),
        helper.make_node("ReduceMean", ["r", "axes"], ["pooled"], name="mean", keepdims=0),
        norm("pooled", "b", "p"),
        helper.make_node("Gemm", ["p", "d.w", "d.b"], ["margin"], name="dense", **dense),
        helper.make_node("Mul", ["margin", "slope"], ["m"], name="mul"),
        helper.make_node("Add", ["m", "offset"], ["o"], name="add"),
        helper.make_node("Sigmoid", ["o"], ["probability"], name="sigmoid"),
        helper.make_node("Transpose", ["r"], ["t"], name="transpose", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t", "rows"], ["places"], name="reshape"),
        norm("places", "c", "q"),
        helper.make_node("Gemm", ["q", "d.w", "d.b"], ["evidence"], name="dense_1", **dense),
    ]
    arrays = constants() | {"axes": np.int64([2, 3]), "rows": np.int64([-1, 4])}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("probability", "evidence")]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 6, 6])
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    made = helper.make_graph(nodes, "small", [image], outputs, stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answers(path, films):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probability", "evidence"], {"image": films})


def fold_only(source, place):
    model = onnx.load(str(source))
    folding = Folding(model.graph)
    folding.fold_normalisation()
    folding.fold_batch_norms()
    folding.fold_calibration()
    folding.store()
    onnx.save(model, str(place))


def main(folder):
    source, folded, rounded = (folder / f"{name}.onnx" for name in ("source", "folded", "rounded"))
    onnx.save(graph(), str(source))
    before = source.read_bytes()
    fold_only(source, folded)
    round_onnx({"onnx": str(source), "out": str(rounded)})
    films = RNG.uniform(0, 255, (5, 1, 6, 6)).astype(np.float32)
    first, second, third = (answers(path, films) for path in (source, folded, rounded))
    model = onnx.load(str(rounded))
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    floats = [array for array in arrays if array.dtype == np.float32]
    value = {
        "operators": sorted(node.op_type for node in model.graph.node),
        "folding": max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True)),
        "rounding": max(float(np.abs(a - b).max()) for a, b in zip(first, third, strict=True)),
        "through_float16": all(np.array_equal(array, array.astype(np.float16)) for array in floats),
        "untouched": before == source.read_bytes(),
    }
    sys.stdout.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
