"""TensorFlow's own int8 as it comes, a step of benchmarks/quantize.py: nothing of tbconv's recipe is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import read_films

FRAMEWORK = "tensorflow"


def tensorflow_default(request: dict[str, Any]) -> dict[str, Any]:
    """Quantize a SavedModel; request: saved_model, films (path of calibration films), out."""
    import tensorflow as tf

    model_inputs = read_films(Path(request["films"])).model_inputs

    def films() -> Iterator[dict[str, Any]]:
        for index, model_input in enumerate(model_inputs):
            film = as_model_input(model_input[None])
            if index == 0:  # with black and white seen, the uint8 input gets scale 1 and zero point 0: grey levels
                film[0, 0, 0, 0], film[0, -1, -1, 0] = np.float32(0), np.float32(255)
            yield {"image": film}

    converter = tf.lite.TFLiteConverter.from_saved_model(request["saved_model"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = films
    converter.inference_input_type = tf.uint8
    Path(request["out"]).write_bytes(bytes(converter.convert()))
    return {"converter": f"tensorflow {tf.__version__} TFLiteConverter, as it comes"}
