"""Networks of keras.applications with drawn weights, as ONNX files of tf2onnx, and what Keras answers in float64."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.other_libraries_table import CLASSES
from convert.formats.normalise import Normalise, prepare
from convert.runners.base import run_films

FRAMEWORK = "tensorflow"
SIDES = {"NASNetMobile": 224, "InceptionV3": 139, "Xception": 128}  # of an image, where it is not 96
OPSET = 17


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Write one network; request and response as of `benchmarks.other_libraries_networks.draw`."""
    import keras
    import tensorflow as tf

    tf2onnx = importlib.import_module("tf2onnx")

    name, place = request["name"].partition(":")[2], Path(request["out"])
    keras.utils.set_random_seed(4)
    side = SIDES.get(name, 96)
    network = getattr(keras.applications, name)(weights=None, classes=CLASSES, input_shape=(side, side, 3))
    mean, std = [0.45] * 3, [0.225] * 3
    films = np.load(request["films"])
    grey = tf.image.resize(films[..., None], (side, side)).numpy()[..., 0].round().astype(np.uint8)
    fed = prepare(grey, Normalise("given", tuple(mean), tuple(std))).transpose(0, 2, 3, 1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics of what it sees last
    network(fed, training=True)
    network.save(place / "network.keras")
    shape = [tf.TensorSpec((None, side, side, 3), tf.float32, name="image")]
    onnx = place / "given.onnx"
    tf2onnx.convert.from_function(tf.function(network), shape, opset=OPSET, output_path=str(onnx))
    library = f"keras.applications {keras.__version__}, tf2onnx {version('tf2onnx')}"
    facts = {"library": library, "parameters": network.count_params(), "size": side}
    return facts | {"mean": mean, "std": std, "network": str(place / "network.keras"), "onnx": str(onnx)}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run a network in float64; request: artefact, and what `run_films` reads, images [N, 3, S, S]."""
    import keras

    stored = keras.models.load_model(request["artefact"])
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        network = keras.models.clone_model(stored)
        network.set_weights(stored.get_weights())
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)

    def answer(images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return {"logits": np.asarray(network(images.transpose(0, 2, 3, 1).astype(np.float64), training=False))}

    return run_films(answer, request)
