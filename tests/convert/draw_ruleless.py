"""Draw small ONNX files with operations that no rule here knows: python draw_ruleless.py FOLDER."""

import json
import sys
from pathlib import Path

import onnx
from draw_foreign import body, model, weights
from onnx import helper


def served():
    """Subtract ReduceLogSumExp over channels: onnx2tf writes it with operators that the server knows."""
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight", "conv.bias"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceLogSumExp", ["c"], ["sum"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["c", "sum"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    return model(nodes, weights())


def unserved():
    """Add the whole part of each logit, which no reader of the server knows."""
    whole = helper.make_node("Floor", ["l"], ["whole"])
    return model([*body("input", "l"), whole, helper.make_node("Add", ["l", "whole"], ["logits"])], weights())


def known():
    """Take the plain network, all of whose operations have rules."""
    return model(body("input", "logits"), weights())


def main(folder):
    made = (served, unserved, known)
    for draw in made:
        drawn = draw()
        onnx.checker.check_model(drawn)
        onnx.save(drawn, str(folder / f"{draw.__name__}.onnx"))
    sys.stdout.write(json.dumps([draw.__name__ for draw in made]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
