"""What is put in front of a third-party graph and behind it, and the version it is raised to: in place, on a copy.

The front is `image` [N, 1, H, W], grey 0..255 -> Concat to three channels -> Mul -> Add -> their network, behind a
Transpose where that takes [N, H, W, C], and a Reshape where it takes [N, H, W].
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper

from convert.formats.normalise import Normalise
from convert.formats.onnx_wrap.admit import output_sides
from convert.formats.onnx_wrap.inputs import ImageInput, meets_channels_first
from convert.formats.onnx_wrap.names import IMAGE, PREFIX, fresh, names_in, rename_tensors
from tbconv.contract.errors import printable

FIRST_OPSET, LEAST_IR = 13, 8  # of docs/ops.md, and a version of the format that has it
FLATTENED = (1, 4)  # axes of outputs that are given as [N, classes]


def add_front(model: onnx.ModelProto, given: ImageInput, normalise: Normalise) -> None:
    """Put preprocessing before the one input, which becomes `image`; the network's own nodes stay as they are.

    But for those that bring [N, H, W, C] or [N, H, W] to [N, C, H, W]: they go where nothing else reads the image.
    """
    [value] = model.graph.input
    inner, batch = value.name, value.type.tensor_type.shape.dim[0]
    nodes: list[onnx.NodeProto] = []
    last = IMAGE
    if len(normalise.mean) == 3:
        nodes.append(helper.make_node("Concat", [last] * 3, [f"{PREFIX}.grey"], f"{PREFIX}.Concat", axis=1))
        last = f"{PREFIX}.grey"
    if not normalise.changes_nothing:
        for op, numbers in (("Mul", normalise.scale), ("Add", normalise.offset)):
            constant, made = f"{PREFIX}.{op}.by", f"{PREFIX}.{op}.out"
            array = numbers.astype(np.float32).reshape(1, -1, 1, 1)
            model.graph.initializer.append(numpy_helper.from_array(array, constant))
            nodes.append(helper.make_node(op, [last, constant], [made], f"{PREFIX}.{op}"))
            last = made
    if (given.channels_last or given.without_channels) and not meets_channels_first(model, given, inner):
        nodes.append(_to_theirs(model, given, last))
        last = nodes[-1].output[0]
    rename_tensors(model, {inner: last})
    sides = [batch.dim_value or batch.dim_param or None, 1, given.height, given.width]
    value.CopyFrom(helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, sides))
    own = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *own])


def _to_theirs(model: onnx.ModelProto, given: ImageInput, image: str) -> onnx.NodeProto:
    """Return the node that brings [N, C, H, W] to the layout that their network reads."""
    if given.channels_last:
        return helper.make_node("Transpose", [image], [f"{PREFIX}.last"], f"{PREFIX}.Transpose", perm=[0, 2, 3, 1])
    target, made = f"{PREFIX}.Reshape.to", f"{PREFIX}.Reshape.out"
    sizes = np.array([0, given.height, given.width], np.int64)  # 0 keeps the batch
    model.graph.initializer.append(numpy_helper.from_array(sizes, target))
    return helper.make_node("Reshape", [image, target], [made], f"{PREFIX}.Reshape")


def strip(model: onnx.ModelProto) -> None:
    """Remove what exporters leave of the machine (source paths, stack traces) and shapes of a fixed batch."""
    owners = [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for owner in owners:
        if hasattr(owner, "metadata_props"):
            del owner.metadata_props[:]
        owner.doc_string = ""
    del model.graph.value_info[:]


def raise_opset(model: onnx.ModelProto, opset: int) -> tuple[onnx.ModelProto, str]:
    """Return an old graph in the first opset that docs/ops.md is about, and in words what onnx made of it.

    Where its version converter fails the graph stays as it is: every file is compared with the given one in any case.
    """
    model.ir_version = max(model.ir_version, LEAST_IR)
    if opset >= FIRST_OPSET:
        return model, ""
    converter = f"by the version converter of onnx {onnx.__version__}"
    try:
        raised = onnx.version_converter.convert_version(model, FIRST_OPSET)
        onnx.checker.check_model(raised)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:  # what its C++ raises
        return model, f"not raised {converter}, which says: {printable(error, most=200)}"
    return raised, f"raised to {FIRST_OPSET} {converter}"


def flatten_outputs(model: onnx.ModelProto, *, but: str = "") -> dict[str, list[int | str | None]]:
    """Give outputs [N, C, 1, 1] as [N, C] and [N] as [N, 1], `but` one; return the sides that they had, by name."""
    changed = {}
    for value in model.graph.output:
        sides = output_sides(model, value)
        if len(sides) not in FLATTENED or value.name == but:
            continue
        taken = names_in(model)
        name, classes = value.name, sides[1] if len(sides) > 1 and isinstance(sides[1], int) else 1
        inner, target = fresh(f"{name}_{len(sides)}d", taken), fresh(f"{name}_sizes", taken)
        rename_tensors(model, {name: inner})
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1, classes], np.int64), target))
        model.graph.node.append(helper.make_node("Reshape", [inner, target], [name]))
        value.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, [sides[0], classes]))
        changed[name] = sides
    return changed
