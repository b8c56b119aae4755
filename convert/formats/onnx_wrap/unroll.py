"""Loops and branches over sizes, written out before anything reads the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.formats.onnx_wrap.admit import shape_of
from convert.formats.onnx_wrap.batch import SEED, open_session
from convert.formats.ops.control import resolve_control

CONTROL = ("If", "Loop", "Scan")


def unroll(model: onnx.ModelProto) -> None:
    """Write loops and branches over sizes out, where the graph answers at all.

    Args:
        model: of one input, a batch of images; changed in place.
    """
    if not any(node.op_type in CONTROL for node in model.graph.node):
        return
    value = model.graph.input[0]
    sides = [one if isinstance(one, int) else None for one in shape_of(value)]

    def answer(asked: onnx.ModelProto, films: int) -> list[NDArray[Any]]:
        drawn = np.random.default_rng(SEED).integers(0, 256, (films, *(one or 1 for one in sides[1:])))
        given = {value.name: drawn.astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))}
        found: list[NDArray[Any]] = open_session(asked).run(None, given)
        return found

    try:
        resolve_control(model, answer, sides[0])
    except Exception as error:  # ONNX Runtime's errors have no public base class; the walk names what is left
        if not type(error).__module__.startswith("onnxruntime"):
            raise
