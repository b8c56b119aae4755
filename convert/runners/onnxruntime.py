"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.formats.onnx_graph import load_onnx
from convert.runners.base import Takes, run_films
from convert.runners.base import run_given as run_given_images
from tbconv.contract.errors import ConversionError, TbconvError, printable

FRAMEWORK = "litert"


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what files state of themselves, and run none.

    Args:
        request: files (paths).

    Returns:
        by path: opset, inputs and outputs, each by name: [dtype, sides], 0 for a side that is not fixed; `problem`
        instead where a file is refused, or none.
    """
    return {path: _described(Path(path)) for path in request["files"]}


def _described(path: Path) -> dict[str, Any]:
    try:
        model = load_onnx(path)
    except TbconvError as error:
        return {"problem": error.one_line}
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
    stored = {one.name for one in model.graph.initializer}
    sides = {"inputs": [one for one in model.graph.input if one.name not in stored], "outputs": model.graph.output}
    tensors = {side: {one.name: _tensor(one.type.tensor_type) for one in values} for side, values in sides.items()}
    return {"opset": opset, **tensors}


def _tensor(kind: Any) -> list[Any]:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name if kind.elem_type else "undefined"
    return [dtype, [one.dim_value for one in kind.shape.dim]]


def changed_weights(request: dict[str, Any]) -> dict[str, Any]:
    """Return where the numbers of an exported network are not those of the weights that it was exported from.

    Args:
        request: artefact, weights (.safetensors). Those of the graph are called `network.` and their name there; what
            has no such name was computed in the export.

    Returns:
        `compared`, how many tensors have both; `changed`: by name, numbers that differ, numbers, the first that
        differs in the file, and in the weights.
    """
    from safetensors import safe_open  # not in the extra `tflite`, which runs ONNX files as well

    try:
        model = load_onnx(Path(request["artefact"]))
    except TbconvError:  # which its run says
        return {"compared": 0, "changed": {}}
    inside = {one.name.removeprefix("network."): one for one in model.graph.initializer}
    compared, changed = 0, {}
    with safe_open(request["weights"], "numpy") as weights:
        for name in sorted(inside.keys() & set(weights.keys())):
            file, true = numpy_helper.to_array(inside[name]), weights.get_tensor(name)
            one, other = file.ravel(), true.ravel()
            if file.shape != true.shape:  # an export may write another layout, of the same numbers
                one, other = np.sort(one), np.sort(other)
            compared += 1
            if one.size != other.size:
                changed[name] = [int(other.size), int(other.size), float(one[0]), float(other[0])]
                continue
            places = np.flatnonzero((one != other) & ~(np.isnan(one) & np.isnan(other)))
            if len(places):
                changed[name] = [len(places), int(other.size), float(one[places[0]]), float(other[places[0]])]
    return {"compared": compared, "changed": changed}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file.

    Args:
        request: artefact, optimised (ONNX Runtime's graph optimisations; default true: what a user gets), input (its
            name; default image), third_party (it is a file to convert, not a bundle's), without_channels (it takes
            [N, H, W]), fixed_inputs (of others, by name: `values` for each film, and whether their first axis is its
            place: `by_film`), and what `run_films` reads.

    Raises:
        ArtefactError: the file is refused before it is opened.
        ConversionError: it cannot be opened, or fails on the films.
    """
    load_onnx(Path(request["artefact"]), third_party=request.get("third_party", False))
    options = onnxruntime.SessionOptions()
    if not request.get("optimised", True):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _open(request["artefact"], options)
    names, source = [output.name for output in session.get_outputs()], request.get("input", "image")
    kinds = {one.name: DTYPES.get(one.type, "float32") for one in session.get_inputs()}
    fixed = {
        name: (np.array(one["values"], kinds[name]), one["by_film"])
        for name, one in (request.get("fixed_inputs") or {}).items()
    }

    def answer(films: NDArray[Any]) -> dict[str, NDArray[Any]]:
        films = films[:, 0] if request.get("without_channels") else films
        others = {name: np.repeat(one, len(films), axis=0) if each else one for name, (one, each) in fixed.items()}
        try:
            return dict(zip(names, session.run(names, {source: films, **others}), strict=True))
        except Exception as error:  # ONNX Runtime's errors have no public base class
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            what = f"ONNX Runtime cannot run {Path(request['artefact']).name} on an image {list(films.shape)}"
            third, again = request.get("third_party", False), "export it again"
            fix = f"check --size and --input, where the file leaves them open, or {again}" if third else again
            raise ConversionError(what, why=printable(error, most=400), fix=fix) from error

    return run_films(answer, request, channels_first=True)


def _open(path: str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        why = " ".join(str(error).split())
        raise ConversionError(f"ONNX Runtime cannot open {Path(path).name}", why=why, fix="export it again") from error


# as ONNX Runtime writes the dtypes of images
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def run_given(request: dict[str, Any]) -> dict[str, Any]:
    """Run any file of one input on images as they are; request: artefact, and what `convert.runners.base` reads.

    Raises:
        ConversionError: it cannot be opened, or takes more than one input.
    """
    name = Path(request["artefact"]).name
    session = _open(request["artefact"], onnxruntime.SessionOptions())
    given = session.get_inputs()
    if len(given) != 1:
        why = f"it takes {', '.join(one.name for one in given)}"
        raise ConversionError(f"{name} is no model of one input", why=why, fix="give a function that feeds it")
    [one], names = given, [output.name for output in session.get_outputs()]
    shape = tuple(side if isinstance(side, int) else 0 for side in one.shape)  # a name is an open side
    takes = Takes(DTYPES.get(one.type, "float32"), shape)
    return run_given_images(
        lambda images: dict(zip(names, session.run(names, {one.name: images}), strict=True)), request, takes
    )
