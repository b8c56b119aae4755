"""Whether files hold what is said of them: the manifest's tensors and opset, the numbers of weights.safetensors.

Parity finds that a file answers otherwise; these find what somebody changed, and name it. `verify` runs them, and the
conversion that has just made the files does not.
"""

from __future__ import annotations

import re
from typing import Any

from convert.formats.table import ONNX
from convert.worker import run_step
from tbconv.contract.bundle import Bundle
from tbconv.contract.manifest import Artefact
from torch_train.run_folder import WEIGHTS


def content_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where a file holds other tensors, another opset or other numbers than is said of it.

    Args:
        bundle: with digests that were checked already. A file that cannot be read is left to its run.
    """
    found = tensor_problems(bundle)
    for path, problem in weight_problems(bundle).items():
        found[path] = f"{found[path]}; {problem}" if path in found else problem
    return found


# --- tensors ---
# Whether files take and give what the manifest says, and are written in the opset that it names.

DESCRIBE = {
    "convert.runners.onnxruntime:describe": ("onnx",),
    "convert.runners.tflite:describe": ("tflite",),
    "convert.runners.tensorflow:describe": ("saved_model", "keras", "keras_h5"),
}
OPSET = re.compile(r"\bopset (\d+)\b")  # in the words on who converted a file; manifests of before name none


def tensor_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where the tensors or the opset of a file are others than the manifest says."""
    found: dict[str, str] = {}
    for step, kinds in DESCRIBE.items():
        named = [one for one in bundle.manifest.artefacts if one.format in kinds]
        artefacts = [one for one in named if (bundle.root / one.path).exists()]
        if not artefacts:
            continue
        stated = run_step(step, {"files": [str(bundle.root / one.path) for one in artefacts]})
        for one in artefacts:
            if problems := _described(one, stated[str(bundle.root / one.path)]):
                found[one.path] = "; ".join(problems)
    return found


def _described(artefact: Artefact, stated: dict[str, Any]) -> list[str]:
    if "problem" in stated:
        return []  # which its run says
    problems = []
    known = OPSET.search(artefact.converter)
    if known and "opset" in stated and stated["opset"] != int(known[1]):
        problems.append(f"its opset is {stated['opset']}, the manifest says {known[1]}: it was exported otherwise")
    for side, specs in (("input", artefact.inputs), ("output", artefact.outputs)):
        tensors: dict[str, Any] = stated.get(f"{side}s", {})
        for spec in specs if tensors else ():  # a Keras file's outputs are named where it is run
            if spec.name not in tensors:
                problems.append(f"it has no {side} {spec.name}, which the manifest names; it has {', '.join(tensors)}")
                continue
            dtype, sides = tensors[spec.name]
            if dtype != spec.dtype:
                problems.append(f"the dtype of its {side} {spec.name} is {dtype}, the manifest says {spec.dtype}")
            if sides[1:] != list(spec.shape[1:]):
                problems.append(f"its {side} {spec.name} is {sides}, the manifest says {list(spec.shape)}")
    return problems


# --- weights ---
# Whether model.onnx was exported from the weights beside it.

# Numbers of the normalisation, by their names in weights.safetensors: x is (grey level - mean) / std (model.network).
NORMALISATION = ("mean", "std")
SHOWN = 3  # tensors that a line spells out


def weight_problems(bundle: Bundle) -> dict[str, str]:
    """Return whether model.onnx, which every other file is made of, holds other numbers than weights.safetensors."""
    here = bundle.manifest.files
    if ONNX.path not in here or WEIGHTS not in here:
        return {}
    places = {"artefact": str(bundle.root / ONNX.path), "weights": str(bundle.root / WEIGHTS)}
    changed = run_step("convert.runners.onnxruntime:changed_weights", places)["changed"]
    said = []
    for name in NORMALISATION:
        if name in changed:
            _, _, one, other = changed.pop(name)
            said.append(f"the normalisation changed: {name} is {one:.6g}, {WEIGHTS} has {other:.6g}")
    for name, (count, size, one, other) in list(changed.items())[:SHOWN]:
        said.append(f"weights changed: {count:,} of {size:,} of {name} (first {one:.6g}, {WEIGHTS} has {other:.6g})")
    if len(changed) > SHOWN:
        said.append(f"and those of {len(changed) - SHOWN} more tensors")
    return {ONNX.path: "; ".join(said)} if said else {}
