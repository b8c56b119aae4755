"""The table of ONNX operations that are converted, and what they become; docs/ops.md is written from it.

The first line of an operation's docstring names the layers, a paragraph the operators of TFLite, the rest says when
both are exact.
"""

from __future__ import annotations

from convert.formats.ops.elementwise import (
    arithmetic,
    clip,
    concat,
    elu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from convert.formats.ops.linear import batch_normalization, gemm, matmul
from convert.formats.ops.shape import (
    cast,
    cut,
    flatten,
    greater,
    identity,
    reshape,
    split,
    squeeze,
    transpose,
    unsqueeze,
)
from convert.formats.ops.walk import Operation
from convert.formats.ops.windowed import average_pool, conv, global_mean, max_pool, pad

OPERATIONS: dict[str, Operation] = {
    "Add": arithmetic,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": arithmetic,
    "Dropout": identity,
    "Elu": elu,
    "Flatten": flatten,
    "Gemm": gemm,
    "GlobalAveragePool": global_mean,
    "Greater": greater,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Identity": identity,
    "LeakyRelu": leaky_relu,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": arithmetic,
    "Pad": pad,
    "ReduceMean": global_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Sigmoid": sigmoid,
    "Slice": cut,
    "Softmax": softmax,
    "Split": split,
    "Squeeze": squeeze,
    "Sub": arithmetic,
    "Tanh": tanh,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
