"""Foreign ONNX -> model.onnx that takes grey films: the first step, and the only one that reads the original.

The original is read and never written; its digest is taken before and after.
"""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import onnx

from convert.foreign.admit import check_body, digests, image_input, read_foreign, shape_of
from convert.foreign.batch import open_batch
from convert.foreign.front import add_front, clear_name, name_nodes, name_outputs, strip
from convert.foreign.normalise import choose_normalise
from convert.isolate import child_main
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import sha256_file

MATRIX = 2  # axes of a dense layer's weights


def wrap(request: dict[str, Any]) -> dict[str, Any]:
    """Write the wrapped graph.

    Args:
        request: onnx (theirs), out (ours), normalise (name or null), mean and std (lists or null).

    Returns:
        converter, source (SHA-256 by file), opset, producer, input (their name and shape), channels, size,
        outputs (ours, in their order), source_outputs, dynamic_batch, source_batch, normalise (name, mean, std,
        white, assumed), renamed_outputs, renamed_nodes, nodes, dense_share, operators, parameters, wrapped (SHA-256).

    Raises:
        ConversionError: the file cannot be converted.
        ConfigError: the normalisation does not fit its channels.
    """
    source, out = Path(request["onnx"]), Path(request["out"])
    before = digests(source)
    model = read_foreign(source)
    value, opset = image_input(model), check_body(model)
    facts = _facts(model, value) | {"source": before, "opset": opset}
    mean, std = (None if request.get(key) is None else tuple(request[key]) for key in ("mean", "std"))
    normalise = choose_normalise(facts["channels"], name=request.get("normalise"), mean=mean, std=std)
    strip(model)
    _drop_stored_inputs(model, value)
    outputs = name_outputs(model)
    clear_name(model, "image")
    add_front(model, model.graph.input[0], normalise)
    nodes = name_nodes(model)
    wrapped, dynamic = open_batch(model)
    onnx.checker.check_model(wrapped)
    onnx.save(wrapped, str(out))
    _untouched(source, before)
    return facts | {
        "converter": f"tbconv's front, onnx {onnx.__version__}",
        "outputs": [one.name for one in wrapped.graph.output],
        "dynamic_batch": dynamic,
        "normalise": {key: getattr(normalise, key) for key in ("name", "mean", "std", "white", "assumed")},
        "renamed_outputs": outputs,
        "renamed_nodes": nodes,
        "nodes": [node.name for node in wrapped.graph.node],
        "dense_share": dense_share(wrapped),
        "wrapped": sha256_file(out),
    }


def dense_share(model: onnx.ModelProto) -> float:
    """Return the share of the weights that dense layers hold, 0 to 1: matrices, of all float constants."""
    stored = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    dense = sum(prod(tensor.dims) for tensor in stored if len(tensor.dims) == MATRIX)
    share: float = dense / max(sum(prod(tensor.dims) for tensor in stored), 1)
    return share


def _facts(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> dict[str, Any]:
    batch, channels, size, _ = shape_of(value)
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip() or "unknown",
        "input": {"name": value.name, "shape": shape_of(value)},
        "channels": channels,
        "size": size,
        "source_batch": batch,
        "source_outputs": [one.name for one in model.graph.output],
        "operators": dict(Counter(node.op_type for node in model.graph.node)),
        "parameters": sum(prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1),
    }


def _drop_stored_inputs(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> None:
    """Keep the image as the only input: files of IR version 3 list their weights there, too."""
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(value)
    del model.graph.input[:]
    model.graph.input.append(kept)


def _untouched(source: Path, before: dict[str, str]) -> None:
    if digests(source) != before:
        why = "its digest differs from that of a minute ago"
        raise ConversionError(f"{source.name} changed while it was read", why=why, fix="convert it again")


if __name__ == "__main__":
    child_main(wrap)
