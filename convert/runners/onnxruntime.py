"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime

from convert.formats.onnx_graph import load_onnx
from convert.runners.base import run_films
from tbconv.contract.errors import ConversionError

FRAMEWORK = "litert"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file.

    Args:
        request: artefact, optimised (ONNX Runtime's graph optimisations; default true: what a user gets), input (its
            name; default image), third_party (it is a file to convert, not a bundle's), and what `run_films` reads.

    Raises:
        ArtefactError: the file is refused before it is opened.
        ConversionError: it cannot be opened.
    """
    load_onnx(Path(request["artefact"]), third_party=request.get("third_party", False))
    options = onnxruntime.SessionOptions()
    if not request.get("optimised", True):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    try:
        session = onnxruntime.InferenceSession(request["artefact"], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no public base class
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        name, why = Path(request["artefact"]).name, " ".join(str(error).split())
        raise ConversionError(f"ONNX Runtime cannot open {name}", why=why, fix="export it again") from error
    names, source = [output.name for output in session.get_outputs()], request.get("input", "image")
    return run_films(
        lambda films: dict(zip(names, session.run(names, {source: films}), strict=True)), request, channels_first=True
    )
