"""Child of test_onnx_walk.py: walk each graph of a folder into Keras layers and answer its films.

usage: walk_graphs.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np

from convert.formats.onnx_graph import read_graph
from tbconv.contract.errors import ConversionError


def films_of(path):
    own = path.with_suffix(".npy")
    return own if own.is_file() else path.with_name("images.npy")


def walk(path, answers):
    import keras

    from convert.formats.onnx_to_keras import build, save_h5
    from convert.runners.admission import admit

    try:
        outputs = build(read_graph(path))
    except ConversionError as error:
        return {"what": error.what, "why": error.why, "fix": error.fix}
    model = keras.Model(outputs.pop("image"), list(outputs.values()))
    images = np.load(films_of(path)).transpose(0, 2, 3, 1)
    [answer] = _as_list(model.predict_on_batch(images))
    answers[path.stem] = np.asarray(answer)
    made = {"layers": [type(layer).__name__ for layer in model.layers]}
    functions = [one for one in model.operations if not isinstance(one, keras.layers.Layer)]
    if functions:
        file = path.with_suffix(".h5")
        save_h5(model, str(file))
        admit(file)
        [again] = _as_list(keras.models.load_model(file).predict_on_batch(images))
        made["functions"] = sorted({type(one).__name__ for one in functions})
        made["h5_is_equal"] = bool(np.array_equal(answer, again))
    return made


def _as_list(answer):
    return answer if isinstance(answer, list) else [answer]


def main(folder):
    answers = {}
    walks = {path.stem: walk(path, answers) for path in sorted(folder.glob("*.onnx"))}
    np.savez(folder / "keras.npz", **answers)
    sys.stdout.write(json.dumps(walks) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
