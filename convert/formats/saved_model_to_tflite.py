"""SavedModel -> TFLite in float32, float16 and dynamic range, with TensorFlow's own converter.

`dynamic` has int8 weights and float32 activations; `int8` (convert.quantization) has an integer body and takes
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
    """Return a converter of one SavedModel for one film, ready for options.

    With an open batch every tensor of the file would be dynamic: LiteRT's CompiledModel refuses such a file, and
    LiteRT.js answers zeros from the second film on.
    """
    loaded = tf.saved_model.load(saved_model)
    serve = loaded.signatures["serving_default"]
    [given] = serve.structured_input_signature[1:]
    one = {name: tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name=name) for name, spec in given.items()}
    module = tf.Module()
    module.loaded = loaded  # what a function reads lives as long as its module
    module.serve = tf.function(lambda **films: serve(**films))  # noqa: PLW0108  (a signature is a function with one graph already)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function(**one)], module)


def _convert(saved_model: str, precision: str) -> bytes:
    converter = open_converter(saved_model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())
