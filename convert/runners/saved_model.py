"""TensorFlow's SavedModel, through its signature."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from convert.runners.base import run_films

FRAMEWORK = "tensorflow"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one folder; request: artefact, and what `run_films` reads."""
    loaded = tf.saved_model.load(request["artefact"])  # kept: the signature holds its variables weakly
    signature = loaded.signatures["serving_default"]
    return run_films(
        lambda films: {name: tensor.numpy() for name, tensor in signature(image=tf.constant(films)).items()}, request
    )
