"""PyTorch -> ONNX, in float32 eval mode, BatchNorms kept as nodes, nodes named after their modules."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxscript.optimizer
import torch

from tbconv.contract.manifest import Calibration
from torch_train.model.deployed import load_deployed, load_labels

FRAMEWORK = "torch"

OPSET = 18  # every conversion of docs/log.md was measured with it, onnx2tf 2.6.9 and ONNX Runtime 1.26
OUTPUTS = ["logits", "probability", "evidence"]
INPUTS = {  # what stands where, of the operations whose constants torch makes (onnx.ai/onnx/operators, opset 18)
    "Conv": ("image", "weight", "bias"),
    "Gemm": ("image", "weight", "bias"),
    "Reshape": ("data", "shape"),
    "Pad": ("data", "pads", "value", "axes"),
    "ReduceMean": ("data", "axes"),
    "Clip": ("data", "min", "max"),
    "Greater": ("data", "bound"),
    "Unsqueeze": ("data", "axes"),
    "Squeeze": ("data", "axes"),
}
LARGEST_BATCH = 1024
LOWEST_CONSTANT = -1e6  # below it stands a masked pooling border, which poisons a quantizer's ranges


def torch_to_onnx(request: dict[str, Any]) -> dict[str, Any]:
    """Export one network of a run.

    Args:
        request: folder, network, arch, calibration, out.

    Returns:
        converter, with the opset, by which `verify` knows a file that was exported otherwise; the number of nodes by
        operator.
    """
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    model = export(network)
    onnx.save(model, request["out"])
    operators = Counter(node.op_type for node in model.graph.node)
    return {"converter": f"torch {torch.__version__} (torch.onnx, dynamo, opset {OPSET})", "operators": dict(operators)}


def labels_to_onnx(request: dict[str, Any]) -> dict[str, Any]:
    """Export a network of several labels, or of one of N classes.

    Args:
        request: folder, arch, outputs (how many), out.

    Returns:
        converter.
    """
    network = load_labels(Path(request["folder"]), arch=request["arch"], outputs=request["outputs"])
    onnx.save(export(network, outputs=OUTPUTS[:1]), request["out"])
    return {"converter": f"torch {torch.__version__} (torch.onnx, dynamo, opset {OPSET})"}


def export(network: torch.nn.Module, *, outputs: Sequence[str] = OUTPUTS) -> onnx.ModelProto:
    """Return the ONNX of a deployed network: `image` [batch, 1, 224, 224], dynamic batch."""
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own tree specs
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 1, 224, 224),),
            dynamo=True,
            optimize=False,  # its rewrites fold every BatchNorm away; the H5 would not be fine-tunable
            verbose=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_shapes={"image": {0: batch}},
        )
    if program is None:  # what torch returns when it is asked to write the file itself
        raise ValueError("torch.onnx.export returned no program")
    onnxscript.optimizer.inline(program.model)  # torch writes ReLU6 and SiLU as functions of their own
    onnxscript.optimizer.fold_constants(program.model)
    onnxscript.optimizer.remove_unused_nodes(program.model)
    model = program.model_proto
    name_nodes(model)
    _name_tensors(model, {name for name, _ in (*network.named_parameters(), *network.named_buffers())})
    strip(model)
    _assert_quantizable(model)
    onnx.checker.check_model(model)
    return model


def name_nodes(model: onnx.ModelProto) -> None:
    """Give each node the path of the module that it came from, so that a person can find it."""
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        path = [scope for scope in _parse_scopes(scopes)[:-1] if scope]
        base = path[-1].removeprefix("network.") if path else "graph"
        name = base if node.op_type in ("Conv", "BatchNormalization", "Gemm") else f"{base}.{node.op_type}"
        node.name = name if not seen[name] else f"{name}_{seen[name]}"
        seen[name] += 1


def _name_tensors(model: onnx.ModelProto, of_modules: set[str]) -> None:
    """Name what a node gives after the node, and constants that are no module's after their first reader.

    torch numbers them as it traces (`getitem_159`, `val_612`), so that a viewer such as Netron tells nothing of them.
    The names of inputs and outputs stay, and those of parameters and buffers, `of_modules`.
    """
    names: dict[str, str] = {}
    for node in model.graph.node:
        for index, tensor in enumerate(node.output):
            names[tensor] = node.name if not index else f"{node.name}.{index}"
    stored = {one.name for one in model.graph.initializer} - of_modules
    for node in model.graph.node:
        slots = INPUTS.get(node.op_type, ())
        for index, tensor in enumerate(node.input):
            if tensor in stored:
                names.setdefault(tensor, f"{node.name}.{slots[index] if index < len(slots) else f'input{index}'}")
    kept = {one.name for one in (*model.graph.input, *model.graph.output)} | of_modules
    names = _apart({old: new for old, new in names.items() if old not in kept}, kept)
    for node in model.graph.node:
        node.input[:] = [names.get(one, one) for one in node.input]
        node.output[:] = [names.get(one, one) for one in node.output]
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _apart(names: dict[str, str], taken: set[str]) -> dict[str, str]:
    """Return the names with a number behind those that are taken."""
    found: dict[str, str] = {}
    for old, new in names.items():
        name, number = new, 1
        while name in taken:
            number += 1
            name = f"{new}.{number}"
        taken = taken | {name}
        found[old] = name
    return found


def _parse_scopes(text: str) -> list[str]:
    return list(json.loads(text.replace("'", '"')))


def strip(model: onnx.ModelProto) -> None:
    """Remove what names the machine: stack traces and source paths."""
    owners = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    for owner in [*owners, *model.graph.input, *model.graph.output]:
        del owner.metadata_props[:]
        owner.doc_string = ""
    del model.graph.value_info[:]


def _assert_quantizable(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and values.size and values.min() < LOWEST_CONSTANT:
            raise ValueError(f"{tensor.name} holds {values.min():g}: a quantizer would take it for a value")
