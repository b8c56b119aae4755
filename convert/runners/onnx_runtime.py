"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from convert.runners.child import by_name, runner_main
from tbconv.contract.classifier import Prediction


class OnnxRuntime:
    """One ONNX file."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1]."""
        names = [output.name for output in self._session.get_outputs()]
        answers = self._session.run(names, {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
        return by_name(dict(zip(names, answers, strict=True)))


def load(request: dict[str, Any]) -> OnnxRuntime:
    """Load a file; request: artefact."""
    return OnnxRuntime(Path(request["artefact"]))


if __name__ == "__main__":
    runner_main(load)
