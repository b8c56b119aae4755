"""A batch that was fixed at export becomes dynamic where the graph gives the same answers then: tried, not assumed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_wrap.admit import shape_of
from tbconv.contract.errors import ConversionError

BATCH = "batch"
SEED = 4
# Of the largest output: what float32 sums in another order differ by, a hundred steps of 1.2e-7.
RELATIVE = 1e-5


def open_batch(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """Return the graph with a dynamic batch if it answers two films as it answers them one by one.

    Returns:
        The graph to ship, and whether its batch is dynamic; if not, it is 1.

    Raises:
        ConversionError: the batch is fixed at more than one and cannot be changed.
    """
    opened = onnx.ModelProto.FromString(model.SerializeToString())
    fixed = shape_of(model.graph.input[0])[0]
    _set_batch(opened, BATCH)
    if isinstance(fixed, int):
        _free_reshapes(opened, fixed)
    if _answers_alike(opened):
        return opened, True
    if isinstance(fixed, int) and fixed != 1:
        why = "with another batch its answers change or fail: something in it counts films, or mixes them"
        raise ConversionError(f"its batch is fixed at {fixed}", why=why, fix="export with batch 1 or a dynamic batch")
    static = onnx.ModelProto.FromString(model.SerializeToString())
    _set_batch(static, 1)
    return static, False


def _set_batch(model: onnx.ModelProto, batch: int | str) -> None:
    for value in [*model.graph.input, *model.graph.output]:
        sides = value.type.tensor_type.shape.dim
        if not sides:
            continue
        sides[0].Clear()
        if isinstance(batch, int):
            sides[0].dim_value = batch
        else:
            sides[0].dim_param = batch


def _free_reshapes(model: onnx.ModelProto, fixed: int) -> None:
    """Let a Reshape whose stored shape begins with the fixed batch take whatever batch comes: 0 copies the side."""
    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape" and len(node.input) > 1}
    for tensor in _stored(model):
        if tensor.name not in shapes or tensor.name in _read_otherwise(model):
            continue
        shape = numpy_helper.to_array(tensor).copy()
        if shape.size > 1 and shape.flat[0] == fixed:
            shape.flat[0] = 0
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(shape, name))


def _stored(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return initializers, and `Constant` nodes under the names of their outputs."""
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    tensors = [a.t for node in constants for a in node.attribute if a.name == "value"]
    for node, tensor in zip(
        [n for n in constants if any(a.name == "value" for a in n.attribute)], tensors, strict=True
    ):
        tensor.name = node.output[0]
    return [*model.graph.initializer, *tensors]


def _read_otherwise(model: onnx.ModelProto) -> set[str]:
    return {name for node in model.graph.node if node.op_type != "Reshape" for name in node.input}


def _answers_alike(model: onnx.ModelProto) -> bool:
    _, _, height, width = model.graph.input[0].type.tensor_type.shape.dim
    films = np.random.default_rng(SEED).integers(0, 256, (2, 1, height.dim_value, width.dim_value)).astype(np.float32)
    try:
        session = open_session(model)
        together = _answer(session, films)
        alone = [_answer(session, film[None]) for film in films]
    except Exception as error:  # ONNX Runtime's errors have no public base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return False
    apart = [np.concatenate(rows) for rows in zip(*alone, strict=True)]
    return all(near(one, other) for one, other in zip(together, apart, strict=True))


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a graph that answers, without a word of what fails."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails here is an answer, not news
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _answer(session: onnxruntime.InferenceSession, films: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    answers: list[NDArray[np.float32]] = session.run(None, {"image": films})
    return answers


def near(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two answers are the same but for rounding: 1e-5 of the largest, or of 1."""
    if one.shape != other.shape:
        return False
    return bool(np.allclose(one, other, rtol=0, atol=RELATIVE * max(float(np.abs(other).max()), 1.0), equal_nan=True))
