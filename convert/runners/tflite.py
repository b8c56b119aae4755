"""TFLite: a bundle's file through the class that the server answers with, so that what is measured is what serves."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert.runners.base import Run, Takes, run_films
from convert.runners.base import run_given as run_given_images
from tbconv.contract.errors import ArtefactError, ConversionError
from tf_serve.runtime.pool import judge
from tf_serve.runtime.tflite import SIGNATURE, TFLiteModel

FRAMEWORK = "litert"
ROUNDS = 15  # of all files; the median of 15 is not moved by a few that were interrupted
WARM_UP = 2


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file of a bundle.

    Args:
        request: artefact, threads (default 1), xnnpack (default true, as it is served), and what `run_films` reads.

    Raises:
        ArtefactError: the file is refused as the server refuses it, so that no file of others ends this process.
    """
    path, threads, xnnpack = Path(request["artefact"]), request.get("threads", 1), request.get("xnnpack", True)
    if path.is_file():
        with path.open("rb") as file:
            judge(file.fileno(), name=path.name)
    model = TFLiteModel(path, threads=threads, xnnpack=xnnpack)

    def outputs(films: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        found = model.predict(films)
        assert found.evidence is not None  # noqa: S101  # the class refuses a file without
        return {"logits": found.logits, "probability": found.probability, "evidence": found.evidence}

    return run_films(outputs, request)


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what files state of themselves: by path inputs and outputs, each by name: [dtype, sides].

    Args:
        request: files (paths).

    Returns:
        by path; `problem` instead where LiteRT refuses a file.
    """
    return {path: _described(Path(path)) for path in request["files"]}


def _described(path: Path) -> dict[str, Any]:
    try:
        model = TFLiteModel(path)
    except ArtefactError as error:
        return {"problem": error.one_line}
    sides = {"inputs": model.inputs, "outputs": model.outputs}
    return {side: {one.name: [one.dtype, list(one.shape)] for one in specs} for side, specs in sides.items()}


def run_any(request: dict[str, Any]) -> dict[str, Any]:
    """Run a file with whatever outputs; request: artefact, and what `run_films` reads.

    Raises:
        ConversionError: the file cannot be opened.
    """
    return run_films(_open(Path(request["artefact"])), request | {"batch": 1})


def _open(path: Path) -> Run:
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:  # what LiteRT raises on a file that it cannot prepare
        why = " ".join(str(error).split())
        raise ConversionError(f"LiteRT cannot open {path.name}", why=why, fix="convert without this format") from error
    [(name, detail)], outputs = runner.get_input_details().items(), runner.get_output_details()
    wanted = {np.uint8: (1.0, 0), np.int8: (1.0, -128)}.get(detail["dtype"])
    if wanted is not None and detail["quantization"] != wanted:
        why = f"its scale and zero point are {detail['quantization']}; grey levels need {wanted}"
        raise ConversionError(f"{path.name} would receive another image", why=why, fix="convert again")
    zero = 0 if wanted is None else wanted[1]
    return lambda films: {
        key: _real(np.array(value, copy=True), outputs[key])
        for key, value in runner(**{name: (films + zero).astype(detail["dtype"])}).items()
    }


def run_given(request: dict[str, Any]) -> dict[str, Any]:
    """Run any file of one input on images as they are, with or without a signature.

    Integers that stand for real numbers are made of them, and made into them, by the file's own scale and zero point.

    Args:
        request: artefact, and what `convert.runners.base.run_given` reads.

    Raises:
        ConversionError: it cannot be opened, or takes more than one input.
    """
    path = Path(request["artefact"])
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        names = list(interpreter.get_signature_list())
        name = SIGNATURE if SIGNATURE in names else names[0] if len(names) == 1 else None
        runner = interpreter.get_signature_runner(name) if name else None
    except (ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ConversionError(f"LiteRT cannot open {path.name}", why=why, fix="convert it again") from error
    inputs = runner.get_input_details() if runner else {one["name"]: one for one in interpreter.get_input_details()}
    outputs = runner.get_output_details() if runner else {one["name"]: one for one in interpreter.get_output_details()}
    if len(inputs) != 1:
        why = f"it takes {', '.join(inputs)}"
        raise ConversionError(f"{path.name} is no model of one input", why=why, fix="give a function that feeds it")
    [(source, detail)] = inputs.items()
    scale, zero = detail["quantization"]
    shape = tuple(int(side) for side in detail["shape_signature"])
    takes = Takes(np.dtype(detail["dtype"]).name, shape if shape else tuple(detail["shape"]), float(scale), zero)

    def run(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        if runner:
            found = runner(**{source: images})
        else:
            interpreter.resize_tensor_input(detail["index"], images.shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(detail["index"], images)
            interpreter.invoke()
            found = {key: interpreter.get_tensor(one["index"]) for key, one in outputs.items()}
        return {key: _real(np.array(value, copy=True), outputs[key]) for key, value in found.items()}

    return run_given_images(run, request, takes)


def _real(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero = detail["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values
    return np.asarray((values.astype(np.float64) - zero) * scale, np.float32)


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Measure how long each file takes for one film: in turn, one thread each, so that noise meets all of them alike.

    Args:
        request: files (paths); film (.npy, float32 [1, 224, 224, 1]).

    Returns:
        by path, the median and the quartiles in ms.
    """
    film = np.load(request["film"], allow_pickle=False)
    models = {path: TFLiteModel(Path(path), threads=1) for path in request["files"]}
    taken: dict[str, list[float]] = {path: [] for path in models}
    for turn in range(WARM_UP + ROUNDS):
        for path, model in models.items():
            start = time.perf_counter()
            model.predict(film)
            if turn >= WARM_UP:
                taken[path].append(1e3 * (time.perf_counter() - start))
    return {path: _summarise(times) for path, times in taken.items()}


def _summarise(times: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(times, n=4)
    return {"median": median, "low_quartile": low, "high_quartile": high, "rounds": len(times), "threads": 1}
