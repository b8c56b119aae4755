"""Child of test_int8_recipe.py and test_islands.py: one small SavedModel quantized in several ways.

usage: recipe_small.py EQUALIZED_SAVED_MODEL SAVED_MODEL FILMS FOLDER
"""

import json
import sys
from pathlib import Path

import tensorflow as tf  # noqa: TID253  (this is a process of its own)

from convert.parity.inputs import evenly
from convert.quantization import int8
from convert.quantization.calibration import set_ranges
from convert.quantization.int8 import Int8Recipe, calibrate, representative, to_int8
from torch_train.run_folder import read_films

RECIPES = {
    "recipe": Int8Recipe(),
    "none": Int8Recipe(keep_float=("none",)),
    "layer4": Int8Recipe(keep_float=("head", "body.layer4")),
    "uncorrected": Int8Recipe(correct_bias=False),
}


def tensorflows_default(saved_model, model_inputs):
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(model_inputs)
    converter.inference_input_type = tf.uint8
    return converter.convert()


def main(equalized, saved_model, films, folder):
    model_inputs = read_films(Path(films)).model_inputs
    calibrated = bytes(calibrate(equalized, model_inputs[:1]))
    int8.calibrate = lambda *_: bytearray(calibrated)  # once for all recipes; it takes most of their time
    for name, recipe in RECIPES.items():
        (folder / f"{name}.tflite").write_bytes(to_int8(equalized, model_inputs, recipe))
    (folder / "default.tflite").write_bytes(tensorflows_default(saved_model, model_inputs))
    ranged = bytearray(calibrated)
    count = set_ranges(ranged, evenly(model_inputs, int8.RANGE_FILMS))
    (folder / "calibrated.tflite").write_bytes(ranged)
    sys.stdout.write(json.dumps({"ranges": count}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4], Path(sys.argv[4]))
