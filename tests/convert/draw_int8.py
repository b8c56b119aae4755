"""Child of test_proof.py: a SavedModel as TensorFlow's own TFLite files of every precision.

usage: draw_int8.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf  # noqa: TID253  (this is a process of its own)

KINDS = ("float32", "float16", "dynamic", "int8")


def films():
    draw = np.random.default_rng(0)
    for _ in range(20):
        yield {"image": draw.normal(size=(1, 12, 12, 4)).astype(np.float32)}


def main(folder):
    for kind in KINDS:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
        converter.optimizations = [] if kind == "float32" else [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            converter.representative_dataset = films
        (folder / f"tensorflow_{kind}.tflite").write_bytes(converter.convert())
    sys.stdout.write(json.dumps({"kinds": KINDS}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
