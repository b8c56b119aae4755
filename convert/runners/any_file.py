"""Any file of any format -> its outputs by name, whatever their names and number: for networks that others made.

The other runners know what a bundle's outputs mean; this one only carries them. It loads the
framework of the format that is asked for, and no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.worker import child_main
from tbconv.contract.errors import ConversionError

Ask = Callable[[NDArray[np.float32]], dict[str, NDArray[Any]]]
BATCH = 16  # films a call where the file takes a batch
SIGNATURE = "serving_default"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Ask one file about every film and write its outputs by name, [N, ...] each.

    Args:
        request: artefact, format (onnx, saved_model, keras, keras_h5, tflite), images (.npy: uint8 [N, S, S] grey
            levels, or float32 [N, C, S, S] that are fed as they are), out (.npz); batch (the only number of films
            that a call takes), optimised (ONNX Runtime's graph optimisations), input (name; default image), names
            (new name by old one) may be given.

    Returns:
        films.

    Raises:
        ConversionError: the file cannot be opened.
    """
    images = np.load(request["images"], allow_pickle=False)
    ask = OPEN[request["format"]](request)
    fixed = 1 if request["format"] == "tflite" else request.get("batch")
    films = _fed(images, channels_first=request["format"] == "onnx")
    parts = [ask(part) for part in _parts(films, fixed)]
    names = request.get("names") or {}
    rows = {names.get(name, name): np.concatenate([part[name] for part in parts])[: len(films)] for name in parts[0]}
    np.savez(request["out"], allow_pickle=False, **rows)
    return {"films": len(images)}


def _parts(films: NDArray[np.float32], fixed: int | None) -> Iterator[NDArray[np.float32]]:
    """Yield films call by call; where a call takes a fixed number, the last film is repeated to fill it."""
    size = fixed or BATCH
    for start in range(0, len(films), size):
        part = films[start : start + size]
        missing = fixed - len(part) if fixed else 0
        yield part if not missing else np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


def _fed(images: NDArray[Any], *, channels_first: bool) -> NDArray[np.float32]:
    if images.ndim == 4:
        return np.ascontiguousarray(images, np.float32)
    grey = images.astype(np.float32)
    return grey[:, None] if channels_first else grey[..., None]


def _open_onnx(request: dict[str, Any]) -> Ask:
    import onnxruntime

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
    names = [output.name for output in session.get_outputs()]
    source = request.get("input", "image")
    return lambda films: dict(zip(names, session.run(names, {source: films}), strict=True))


def _open_saved_model(request: dict[str, Any]) -> Ask:
    import tensorflow as tf

    loaded = tf.saved_model.load(request["artefact"])

    def ask(films: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        answer = loaded.signatures[SIGNATURE](image=tf.constant(films))  # a signature holds its variables weakly
        return {name: tensor.numpy() for name, tensor in answer.items()}

    return ask


def _open_keras(request: dict[str, Any]) -> Ask:
    import keras

    model = keras.models.load_model(request["artefact"], compile=False)
    return lambda films: {name: np.asarray(value) for name, value in model.predict_on_batch(films).items()}


def _open_tflite(request: dict[str, Any]) -> Ask:
    from ai_edge_litert.interpreter import Interpreter

    path = Path(request["artefact"])
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as error:  # what LiteRT raises on a file that it cannot prepare
        why = " ".join(str(error).split())
        raise ConversionError(f"LiteRT cannot open {path.name}", why=why, fix="convert without this format") from error
    [(name, detail)] = runner.get_input_details().items()
    if detail["dtype"] is np.uint8 and detail["quantization"] != (1.0, 0):
        why = f"its scale and zero point are {detail['quantization']}, grey levels need (1.0, 0)"
        raise ConversionError(f"{path.name} would see another film", why=why, fix="convert again")
    return lambda films: {
        key: np.array(value, copy=True) for key, value in runner(**{name: films.astype(detail["dtype"])}).items()
    }


OPEN: dict[str, Callable[[dict[str, Any]], Ask]] = {
    "onnx": _open_onnx,
    "saved_model": _open_saved_model,
    "keras": _open_keras,
    "keras_h5": _open_keras,
    "tflite": _open_tflite,
}


if __name__ == "__main__":
    child_main(answer)
