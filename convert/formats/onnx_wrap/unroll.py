"""Loops, branches and masks over sizes, written out or stored before anything reads the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.formats.onnx_wrap.admit import shape_of
from convert.formats.onnx_wrap.batch import SEED, near, open_session
from convert.formats.ops.control import WEIGHTS, resolve_control, store_masks

CONTROL = ("If", "Loop", "Scan")
OF_MASKS = ("IsNaN", "Where", "Expand", WEIGHTS)  # one of which stands wherever a mask is made or met


def unroll(model: onnx.ModelProto) -> None:
    """Write loops and branches over sizes out and store masks, where the graph answers at all.

    Args:
        model: of one input, a batch of images; changed in place.
    """
    operations = {node.op_type for node in model.graph.node if node.op_type != WEIGHTS or len(node.output) > 1}
    if not operations.intersection(CONTROL) and not operations.intersection(OF_MASKS):
        return
    value = model.graph.input[0]
    sides = [one if isinstance(one, int) else None for one in shape_of(value)]

    def answer(asked: onnx.ModelProto, films: int) -> list[NDArray[Any]]:
        drawn = np.random.default_rng(SEED).integers(0, 256, (films, *(one or 1 for one in sides[1:])))
        given = {value.name: drawn.astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))}
        found: list[NDArray[Any]] = open_session(asked).run(None, given)
        return found

    try:
        if operations.intersection(CONTROL):
            resolve_control(model, answer, sides[0])
        kept = onnx.ModelProto.FromString(model.SerializeToString())
        if store_masks(model, answer, sides[0]):
            films = 1 if sides[0] else 2
            pairs = zip(answer(kept, films), answer(model, films), strict=True)
            if not all(near(one, other) for one, other in pairs):
                model.CopyFrom(kept)
    except Exception as error:  # ONNX Runtime's errors have no public base class; the walk names what is left
        if not type(error).__module__.startswith("onnxruntime"):
            raise
