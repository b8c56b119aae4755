"""Decode, resize, invoke: the same few lines in the bare loop and in every peer, so that only the serving differs.

Nothing of tbconv is imported: the peers' environments do not have it. The resizing is that of
tbconv.contract.preprocess, and the benchmark refuses to compare where the margins differ.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

SIDE = 224  # pixels
MODEL = "SERVE_PEERS_MODEL"  # environment variable: path of the .tflite file
OUTPUTS = ("logits", "probability", "evidence")


class Answerer:
    """One interpreter of one thread."""

    def __init__(self, path: str | None = None) -> None:
        """Open a file that takes grey levels, as uint8 or float32; None takes that of the environment."""
        interpreter = Interpreter(path or os.environ[MODEL], num_threads=1)
        interpreter.allocate_tensors()
        self._run = interpreter.get_signature_runner("serving_default")
        [details] = self._run.get_input_details().values()
        self._dtype = details["dtype"]

    def of_film(self, data: bytes) -> dict[str, Any]:
        """Answer a PNG or JPEG file."""
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as film:
            grey = film.convert("L")
        side = max(grey.size)
        model_input = Image.new("L", (side, side))
        model_input.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
        small = model_input.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return self.of_image(np.asarray(small, np.uint8).reshape(1, SIDE, SIDE, 1))

    def of_tensor(self, data: bytes) -> dict[str, Any]:
        """Answer the bytes of one prepared film."""
        return self.of_image(np.frombuffer(data, np.uint8).reshape(1, SIDE, SIDE, 1))

    def of_image(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Answer uint8 [1, 224, 224, 1] with lists, as JSON has them."""
        answer = self._run(image=image.astype(self._dtype))
        return {name: answer[name].tolist() for name in OUTPUTS}


def margin_of(answer: dict[str, Any]) -> float:
    """Return the logit of positive minus that of negative."""
    [[negative, positive]] = answer["logits"]
    return float(positive) - float(negative)
