"""SavedModel -> TFLite in float32, float16 and dynamic range, with TensorFlow's own converter.

`dynamic` has int8 weights and float32 activations; `int8` (convert.quantization.int8) has an integer body and takes
whole grey levels. They are different files and never share a name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

FRAMEWORK = "tensorflow"


PRECISIONS = ("float32", "float16", "dynamic")


def quantize(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one SavedModel at every precision asked for, one after the other: TensorFlow is loaded once.

    Args:
        request: saved_model; and by precision where to write the file.
    """
    for precision in PRECISIONS:
        if precision in request:
            Path(request[precision]).write_bytes(_convert(request["saved_model"], precision))
    return {"converter": f"tensorflow {tf.__version__} TFLiteConverter"}


def open_converter(saved_model: str) -> Any:
    """Return a converter of one SavedModel, ready for options.

    It holds the SavedModel that it was made from and loads it a second time to convert: 0.16 GB that are let go here.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter._funcs, converter._trackable_obj = [], None
    return converter


def _convert(saved_model: str, precision: str) -> bytes:
    converter = open_converter(saved_model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())
