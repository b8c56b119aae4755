"""A TFLite file as TensorFlow's converter leaves it where nobody fixes the batch: every tensor of it is dynamic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FRAMEWORK = "tensorflow"


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Convert a SavedModel; request: saved_model, out."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(request["saved_model"])
    Path(request["out"]).write_bytes(converter.convert())
    return {}
