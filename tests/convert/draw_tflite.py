"""Child of test_tflite_metadata.py: a tiny network as the four kinds of TFLite file.

usage: draw_tflite.py FOLDER
"""

import json
import sys
from pathlib import Path

import tensorflow as tf  # noqa: TID253  (this is a process of its own)

sys.path.insert(0, str(Path(__file__).parents[1] / "tf_serve"))

from draw_networks import TinyNetwork, films


def main(folder):
    network = TinyNetwork(5)
    tf.saved_model.save(network, str(folder / "saved"), signatures={"serving_default": network.answer})
    for kind in ("float32", "float16", "dynamic", "int8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        converter.optimizations = [] if kind == "float32" else [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            converter.representative_dataset = films
            converter.inference_input_type = tf.uint8
        (folder / f"{kind}.tflite").write_bytes(converter.convert())
    sys.stdout.write(json.dumps({"tensorflow": tf.__version__}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
