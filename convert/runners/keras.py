"""Keras: the .h5 (logits and probability) and the .keras file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.runners.base import by_name, runner_main
from tbconv.contract.prediction import Prediction


class KerasFile:
    """One file that `keras.models.load_model` reads."""

    def __init__(self, path: str) -> None:
        self._model = keras.models.load_model(path, compile=False)

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1]."""
        return by_name(self._model.predict_on_batch(images))


def load(request: dict[str, Any]) -> KerasFile:
    """Load a file; request: artefact."""
    return KerasFile(request["artefact"])


if __name__ == "__main__":
    runner_main(load)
