"""TFLite, through the class that the server answers with: what is measured is what serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.runners.base import runner_main
from tf_serve.runtime.tflite import TFLiteModel


def load(request: dict[str, Any]) -> TFLiteModel:
    """Load a file; request: artefact, threads (default 1), xnnpack (default true, as it is served)."""
    threads, xnnpack = request.get("threads", 1), request.get("xnnpack", True)
    return TFLiteModel(Path(request["artefact"]), threads=threads, xnnpack=xnnpack)


if __name__ == "__main__":
    runner_main(load)
