"""TensorFlow's SavedModel, through its signature."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.runners.base import by_name, runner_main
from tbconv.contract.prediction import Prediction


class SavedModel:
    """One SavedModel folder."""

    def __init__(self, path: str) -> None:
        self._loaded = tf.saved_model.load(path)  # kept: the signature holds its variables weakly
        self._signature = self._loaded.signatures["serving_default"]

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1]."""
        answer = self._signature(image=tf.constant(images))
        return by_name({name: tensor.numpy() for name, tensor in answer.items()})


def load(request: dict[str, Any]) -> SavedModel:
    """Load a folder; request: artefact."""
    return SavedModel(request["artefact"])


if __name__ == "__main__":
    runner_main(load)
