"""Child of test_ops_files.py: load what was made of a graph as a stranger would, and ask it.

usage: check_files.py FOLDER     model.h5 model.keras saved_model/ *.tflite and asked.npz (films, answers)
"""

import json
import sys
from pathlib import Path

import numpy as np


def ask_tflite(tf, path, films):
    interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    runner = interpreter.get_signature_runner()
    operators = {detail["op_name"] for detail in interpreter._get_ops_details()}
    return np.concatenate([next(iter(runner(image=film[None]).values())) for film in films]), sorted(operators)


def main(folder):
    import keras
    import tensorflow as tf

    asked = np.load(folder / "asked.npz")
    films, right = asked["films"], asked["answers"]
    told, facts = {}, {}
    for name in ("model.h5", "model.keras"):
        model = keras.models.load_model(folder / name)
        [told[name]] = model.predict_on_batch(films).values()
        facts[name] = sorted({type(layer).__name__ for layer in model.layers})
    saved = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    [told["saved_model"]] = [array.numpy() for array in saved(image=tf.constant(films)).values()]
    for path in sorted(folder.glob("*.tflite")):
        told[path.name], facts[path.name] = ask_tflite(tf, path, films)
    decibel = {
        name: float(10 * np.log10(np.square(right).sum() / np.square(answer - right).sum()))
        for name, answer in told.items()
    }
    sys.stdout.write(json.dumps({"decibel": decibel, "facts": facts}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
