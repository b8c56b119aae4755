"""Open the JPEG golden films with both of libjpeg-turbo's transforms; TensorFlow has a process of its own.

usage: check_jpeg.py FILMS; prints, by film and transform, the furthest grey level of the square from the recorded one
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf  # noqa: TID253  (this is a process of its own)

from tbconv.contract.golden import read_golden_films
from tbconv.contract.preprocess import PreprocessSpec

found = {}
for film in read_golden_films(Path(sys.argv[1])):
    if film.data[:2] != b"\xff\xd8":
        continue
    for method in ("INTEGER_ACCURATE", "INTEGER_FAST"):
        pixels = tf.io.decode_jpeg(film.data, channels=1, dct_method=method).numpy()[..., 0]
        upright = np.rot90(pixels, -1) if "exif" in film.name else pixels
        model_input = PreprocessSpec().model_input(np.ascontiguousarray(upright))
        found[f"{film.name} {method}"] = int(np.abs(model_input.astype(int) - film.model_input).max())
sys.stdout.write(json.dumps(found))
