"""TensorFlow's files: Keras (.h5: logits and probability; .keras) and the SavedModel, through its signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convert.runners.admission import admit
from convert.runners.base import run_films

FRAMEWORK = "tensorflow"


def run_keras(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file; request: artefact, and what `run_films` reads."""
    model = keras.models.load_model(admit(Path(request["artefact"])), compile=False, safe_mode=True)
    return run_films(
        lambda films: {name: np.asarray(value) for name, value in model.predict_on_batch(films).items()}, request
    )


def run_saved_model(request: dict[str, Any]) -> dict[str, Any]:
    """Run one folder; request: artefact, and what `run_films` reads."""
    loaded = tf.saved_model.load(
        str(admit(Path(request["artefact"])))
    )  # kept: the signature holds its variables weakly
    signature = loaded.signatures["serving_default"]
    return run_films(
        lambda films: {name: tensor.numpy() for name, tensor in signature(image=tf.constant(films)).items()}, request
    )
