"""Third-party ONNX -> model.onnx that takes grey films: the first step, and the only one that reads the original.

The original is read and never written; its digest is taken before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner

from convert.formats.normalise import choose_normalise
from convert.formats.onnx_wrap.admit import check_body, digests, read_foreign, refused, require_bounded
from convert.formats.onnx_wrap.batch import open_batch
from convert.formats.onnx_wrap.evidence import EVIDENCE, NoMapError, add_map, find_map
from convert.formats.onnx_wrap.float32 import to_float32
from convert.formats.onnx_wrap.front import add_front, flatten_outputs, raise_opset, strip
from convert.formats.onnx_wrap.inputs import FixedInput, ImageInput, read_inputs, take_image_alone
from convert.formats.onnx_wrap.names import clear_names, name_nodes, name_outputs
from convert.formats.onnx_wrap.unroll import unroll
from tbconv.contract.errors import ConfigError, ConversionError, printable
from tbconv.contract.files import sha256_file

FRAMEWORK = "litert"

MATRIX = 2  # axes of a dense layer's weights
ARRANGES = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Dropout")


def wrap(request: dict[str, Any]) -> dict[str, Any]:
    """Write the wrapped graph.

    Args:
        request: onnx (theirs), out (ours), float32 (where to write their network in float32, if it is not), normalise
            (name or null), mean and std (lists or null), size ([H, W] or null), inputs (numbers by name), evidence
            (where to write their network with its evidence map, which `out` then gives, too; null leaves it as it is).

    Returns:
        converter, source (SHA-256 by file), opset, producer, input (their name, shape, dtype, channels_last,
        without_channels and, in float32_dtype, what the file in float32 takes), fixed_inputs (by name: values, dtype,
        by_film), float32 (what was done to bring it to float32, or nothing), channels, size ([H, W]), outputs (ours, in
        their order), own_outputs (without the evidence map), source_outputs, dynamic_batch, source_batch, normalise
        (name, mean, std, white, assumed), starts_with (operations of stored numbers that the image meets first),
        versions (what was done to the opset, or nothing), flattened_outputs (ours, with the axes that they had),
        evidence (what its map is, or `why` there is none; and whether it was `added`), renamed_outputs, renamed_nodes,
        nodes, last_ops (by output), dense_share, operators, parameters, wrapped (SHA-256).

    Raises:
        ConversionError: the file cannot be converted.
        ConfigError: the normalisation, the size or the inputs do not fit it, or it has no evidence map to add.
    """
    source, out = Path(request["onnx"]), Path(request["out"])
    before = digests(source)
    model = read_foreign(source)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    size, numbers = request.get("size"), request.get("inputs") or {}
    stated, _ = read_inputs(model, size=size, given=numbers)
    opset, cast = check_body(model), to_float32(model)
    if cast and request.get("float32"):
        _save_float32(model, Path(request["float32"]))
    image, fixed = read_inputs(model, size=size, given=numbers)
    facts = _facts(model, stated, fixed) | {"source": before, "opset": opset, "float32": cast}
    facts["input"]["float32_dtype"] = image.dtype
    mean, std = (None if request.get(key) is None else tuple(request[key]) for key in ("mean", "std"))
    whole = image.dtype == "uint8"
    normalise = choose_normalise(image.channels, name=request.get("normalise"), mean=mean, std=std, whole=whole)
    theirs = onnx.ModelProto.FromString(model.SerializeToString()) if request.get("evidence") else None
    strip(model)
    take_image_alone(model, image, fixed)
    evidence = _look_for_map(model, theirs, image, request)
    share = dense_share(model)
    model, versions = raise_opset(model, opset)
    added = EVIDENCE if evidence["added"] else ""
    outputs, flattened = name_outputs(model), flatten_outputs(model, but=added)
    evidence |= {"output": outputs.get(evidence["output"], evidence["output"])} if "output" in evidence else {}
    clear_names(model)
    starts_with = first_scaling(model)
    add_front(model, image, normalise)
    unroll(model)
    require_bounded(model)
    nodes = name_nodes(model)
    wrapped, dynamic = open_batch(model)
    onnx.checker.check_model(wrapped)
    onnx.save(wrapped, str(out))
    _untouched(source, before)
    return facts | {
        "converter": f"tbconv's front, onnx {onnx.__version__}",
        "outputs": [one.name for one in wrapped.graph.output],
        "own_outputs": [one.name for one in wrapped.graph.output if one.name != added],
        "dynamic_batch": dynamic,
        "normalise": {key: getattr(normalise, key) for key in ("name", "mean", "std", "white", "assumed")},
        "starts_with": starts_with,
        "renamed_outputs": outputs,
        "flattened_outputs": flattened,
        "evidence": evidence,
        "versions": versions,
        "renamed_nodes": nodes,
        "nodes": [node.name for node in wrapped.graph.node],
        "last_ops": {one.name: last_op(wrapped, one.name) for one in wrapped.graph.output},
        "dense_share": share,
        "wrapped": sha256_file(out),
    }


def _look_for_map(
    model: onnx.ModelProto, theirs: onnx.ModelProto | None, image: ImageInput, request: dict[str, Any]
) -> dict[str, Any]:
    """Find a network's evidence map; where it is asked for, add it in place, and write `theirs` with it.

    Raises:
        ConfigError: it is asked for, and there is none that is exact.
    """
    try:
        found = find_map(model, channels_last=image.channels_last)
    except NoMapError as error:
        if theirs is None:
            return {"added": False, "why": str(error)}
        what, why = "--evidence: this network has no exact evidence map", str(error)
        raise ConfigError(what, why=why, fix="omit --evidence") from error
    if theirs is not None:
        add_map(model, found)
        add_map(theirs, found)
        onnx.save(theirs, str(request["evidence"]))
    return {"added": theirs is not None, "why": ""} | found.to_json()


def _save_float32(model: onnx.ModelProto, place: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        why = printable(error, most=400)
        raise refused("its network in float32 is not valid", why, "give the file that it was made from") from error
    onnx.save(model, str(place))


def last_op(model: onnx.ModelProto, output: str) -> str:
    """Return the operation that gives an output, behind those that only arrange or name its values."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while (node := makers.get(output)) is not None and node.op_type in ARRANGES:
        output = node.input[0]
    return node.op_type if node is not None else ""


def first_scaling(model: onnx.ModelProto) -> str:
    """Return the operation by which a graph may normalise its image itself, behind those that only arrange it.

    A network that begins so and is normalised in front of it as well answers something, and something else.
    """
    name, stored = model.graph.input[0].name, {one.name for one in model.graph.initializer}
    stored |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    while len(readers := [node for node in model.graph.node if name in node.input]) == 1:
        [node] = readers
        if node.op_type not in ARRANGES:
            others = [one for one in node.input if one and one != name]
            scales = node.op_type in ("Mul", "Div", "Sub", "Add", "BatchNormalization")
            return node.op_type if scales and others and stored.issuperset(others) else ""
        name = node.output[0]
    return ""


def dense_share(model: onnx.ModelProto) -> float:
    """Return the share of the weights that dense layers hold, 0 to 1: matrices, of all float constants."""
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    dense = sum(prod(tensor.dims) for tensor in stored if len(tensor.dims) == MATRIX)
    share: float = dense / max(sum(prod(tensor.dims) for tensor in stored), 1)
    return share


def _facts(model: onnx.ModelProto, image: ImageInput, fixed: Sequence[FixedInput]) -> dict[str, Any]:
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        "input": {
            "name": image.name,
            "shape": list(image.shape),
            "dtype": image.dtype,
            "channels_last": image.channels_last,
            "without_channels": image.without_channels,
        },
        "fixed_inputs": {one.name: one.to_json() for one in fixed},
        "channels": image.channels,
        "size": [image.height, image.width],
        "source_batch": image.batch,
        "source_outputs": [one.name for one in model.graph.output],
        "operators": dict(Counter(node.op_type for node in model.graph.node)),
        "parameters": sum(prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1),
    }


def _untouched(source: Path, before: dict[str, str]) -> None:
    if digests(source) != before:
        why = "its digest differs from that of a minute ago"
        raise ConversionError(f"{source.name} changed while it was read", why=why, fix="convert it again")
