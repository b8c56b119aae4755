"""The table of ONNX operations that become Keras layers, and how; docs/ops.md is written from it.

The first line of an operation's docstring names the layers, the rest says when they are exact.
"""

from __future__ import annotations

from convert.keras_ops.activate import clip, elu, hard_sigmoid, hard_swish, leaky_relu, relu, sigmoid, softmax, tanh
from convert.keras_ops.combine import arithmetic, concat
from convert.keras_ops.convolve import conv, pad
from convert.keras_ops.dense import gemm, matmul
from convert.keras_ops.normalise import batch_normalization
from convert.keras_ops.pool import average_pool, global_mean, max_pool
from convert.keras_ops.reshape import flatten, reshape, squeeze, transpose, unsqueeze
from convert.keras_ops.store import cast, greater, identity
from convert.keras_walk import Operation

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
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Sub": arithmetic,
    "Tanh": tanh,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
