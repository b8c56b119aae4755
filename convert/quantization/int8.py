"""SavedModel -> int8 TFLite whose decisions hold: own calibration ranges, operations kept in float32, bias correction.

TensorFlow's converter gives the graph and the integer arithmetic; what it leaves to luck is
settled here (docs/log.md has each step's measured worth). Loads TensorFlow: a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.formats.saved_model_to_tflite import open_calibrator
from convert.parity.inputs import evenly
from convert.quantization.calibration import LEFT_OUT, correct_bias, set_ranges
from convert.quantization.float_ops import HEAD, select_float_ops
from tbconv.contract.errors import ConversionError
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import read_films

FRAMEWORK = "tensorflow"

RANGE_FILMS, BIAS_FILMS = 16, 8  # calibration films; each costs some 0.2 s, a bias film once a layer


@dataclass(frozen=True, slots=True)
class Int8Recipe:
    """What is done beyond TensorFlow's default; all of it off is the default."""

    keep_float: tuple[str, ...] = (HEAD,)  # ONNX nodes or prefixes; HEAD is all behind the last feature map
    left_out: float = LEFT_OUT
    correct_bias: bool = True
    films: int = RANGE_FILMS  # calibration films that set the ranges, at most


def make_int8(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one SavedModel.

    Args:
        request: saved_model, films (path of calibration films), keep_float (names), out.
    """
    kept = tuple(request["keep_float"])
    model_inputs = read_films(Path(request["films"])).model_inputs
    Path(request["out"]).write_bytes(to_int8(request["saved_model"], model_inputs, Int8Recipe(keep_float=kept)))
    steps = "equalized, own ranges, biases corrected"
    return {"converter": f"tensorflow {tf.__version__} TFLiteConverter, {steps}, in float: {', '.join(kept)}"}


def to_int8(saved_model: str, model_inputs: NDArray[np.uint8], recipe: Int8Recipe) -> bytes:
    """Return the int8 file: uint8 grey levels in, float32 out.

    Args:
        saved_model: folder with the signature `serving_default`.
        model_inputs: calibration films of the training part, uint8 [N, 224, 224].
        recipe: the steps.

    Raises:
        ConfigError: a node to keep in float is not in the graph.
    """
    calibrated = calibrate(saved_model, model_inputs[:1])
    set_ranges(calibrated, evenly(model_inputs, recipe.films), left_out=recipe.left_out)
    quantized = bytearray(_quantize(calibrated, select_float_ops(calibrated, recipe.keep_float)))
    if recipe.correct_bias:
        correct_bias(quantized, calibrated, evenly(model_inputs, BIAS_FILMS))
    return _finish(bytes(quantized))


def calibrate(saved_model: str, model_inputs: NDArray[np.uint8]) -> bytearray:
    """Return the float file with the range of every tensor on these films; black and white are in the first."""
    converter = open_calibrator(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(model_inputs)
    converter._experimental_calibrate_only = True  # TensorFlow's own QuantizationDebugger goes the same way
    return bytearray(converter.convert())


def representative(model_inputs: NDArray[np.uint8]) -> Callable[[], Iterator[dict[str, NDArray[np.float32]]]]:
    """Return the calibration films, one by one, with black and white present in the first.

    With 0 and 255 seen, the uint8 input gets exactly scale 1 and zero point 0: grey levels.

    Args:
        model_inputs: uint8 [N, 224, 224], of the training part only.
    """
    if not len(model_inputs):
        raise ConversionError(
            "there are no calibration films",
            why="full int8 needs the ranges that real films reach",
            fix="train again: tbconv train --data DIR --out RUN",
        )

    def films() -> Iterator[dict[str, NDArray[np.float32]]]:
        for index, model_input in enumerate(model_inputs):
            film = as_model_input(model_input[None])
            if index == 0:
                film[0, 0, 0, 0], film[0, -1, -1, 0] = 0.0, 255.0
            yield {"image": film}

    return films


def _quantize(calibrated: bytearray, keep: list[str]) -> Any:
    from tensorflow.lite.python.convert import mlir_quantize

    return mlir_quantize(bytes(calibrated), denylisted_nodes=keep)


def _finish(quantized: bytes) -> bytes:
    """Give the file its uint8 input, and store equal weights once, as TFLiteConverter.convert does at its end."""
    from tensorflow.lite.python.lite import _deduplicate_readonly_buffers
    from tensorflow.lite.python.util import modify_model_io_type

    return bytes(_deduplicate_readonly_buffers(modify_model_io_type(quantized, tf.uint8, tf.float32)))
