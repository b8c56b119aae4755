"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from convert.runners.base import by_name, runner_main
from tbconv.contract.prediction import Prediction


class OnnxRuntime:
    """One ONNX file, with or without the graph optimisations of ONNX Runtime."""

    def __init__(self, path: Path, *, optimised: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1]."""
        names = [output.name for output in self._session.get_outputs()]
        answers = self._session.run(names, {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
        return by_name(dict(zip(names, answers, strict=True)))


def load(request: dict[str, Any]) -> OnnxRuntime:
    """Load a file; request: artefact, optimised (default true: what a user gets)."""
    return OnnxRuntime(Path(request["artefact"]), optimised=request.get("optimised", True))


if __name__ == "__main__":
    runner_main(load)
