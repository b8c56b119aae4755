"""SavedModel -> TFLite, float32, float16, dynamic range or full int8, with TensorFlow's own converter.

`dynamic` has int8 weights and float32 activations; `int8` is integer throughout, takes whole
grey levels as uint8 and gives float32. They are different files and never share a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convert.isolate import child_main
from tbconv.contract.errors import ConversionError
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import read_films


def quantize(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one SavedModel at one precision.

    Args:
        request: saved_model, precision, out, films (path of calibration films; int8 only).
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(request["saved_model"])
    if request["precision"] != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request["precision"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if request["precision"] == "int8":
        squares = read_films(Path(request["films"])).squares
        converter.representative_dataset = representative(squares)
        converter.inference_input_type = tf.uint8
    data = converter.convert()
    Path(request["out"]).write_bytes(data)
    return {"converter": f"tensorflow {tf.__version__} TFLiteConverter", "bytes": len(data)}


def representative(squares: NDArray[np.uint8]) -> Callable[[], Iterator[dict[str, NDArray[np.float32]]]]:
    """Return the calibration films, one by one, with black and white present in the first.

    With 0 and 255 seen, the uint8 input gets exactly scale 1 and zero point 0: grey levels.

    Args:
        squares: uint8 [N, 224, 224], of the training part only.
    """
    if not len(squares):
        raise ConversionError(
            "there are no calibration films",
            why="full int8 needs the ranges that real films reach",
            fix="train again: tbconv train --data DIR --out RUN",
        )

    def films() -> Iterator[dict[str, NDArray[np.float32]]]:
        for index, square in enumerate(squares):
            film = as_model_input(square[None])
            if index == 0:
                film[0, 0, 0, 0], film[0, -1, -1, 0] = 0.0, 255.0
            yield {"image": film}

    return films


if __name__ == "__main__":
    child_main(quantize)
