"""TFLite: a bundle's file through the class that the server answers with, so that what is measured is what serves."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert.runners.base import Run, run_films
from tbconv.contract.errors import ConversionError
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
    [(name, detail)] = runner.get_input_details().items()
    if detail["dtype"] is np.uint8 and detail["quantization"] != (1.0, 0):
        why = f"its scale and zero point are {detail['quantization']}; grey levels need (1.0, 0)"
        raise ConversionError(f"{path.name} would receive another image", why=why, fix="convert again")
    return lambda films: {
        key: np.array(value, copy=True) for key, value in runner(**{name: films.astype(detail["dtype"])}).items()
    }


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
