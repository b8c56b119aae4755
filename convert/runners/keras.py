"""Keras: the .h5 (logits and probability) and the .keras file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from convert.runners.base import run_films

FRAMEWORK = "tensorflow"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one file; request: artefact, and what `run_films` reads."""
    model = keras.models.load_model(request["artefact"], compile=False)
    return run_films(
        lambda films: {name: np.asarray(value) for name, value in model.predict_on_batch(films).items()}, request
    )
