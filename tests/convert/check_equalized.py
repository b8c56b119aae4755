"""Child of test_equalize.py: ask ONNX Runtime for the same films before and after equalization.

usage: check_equalized.py BEFORE AFTER FILMS
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from convert.formats.onnx_graph import read_graph
from convert.quantization.equalization import channel_groups, measure_channels
from tbconv.contract.preprocess import as_model_input
from torch_train.run_folder import CALIBRATION_FILMS, HELDOUT_FILMS, read_films


def ask(path, model_inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    films = np.ascontiguousarray(as_model_input(model_inputs).transpose(0, 3, 1, 2))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": films}), strict=True))


def unevenness(path, groups, model_inputs):
    """Return by group the spread of log2 of what its live channels reach."""
    reached = measure_channels(path, [name for group in groups for name in group.measured], model_inputs)
    largest = [np.max([reached[name] for name in group.measured], axis=0) for group in groups]
    return [float(np.log2(one[one > 0]).std()) for one in largest]


def main(before, after, run):
    model_inputs = read_films(run / HELDOUT_FILMS).model_inputs
    first, second = ask(before, model_inputs), ask(after, model_inputs)
    groups = channel_groups(read_graph(before))
    films = read_films(run / CALIBRATION_FILMS).model_inputs
    found = {
        "largest": {name: float(np.abs(value).max()) for name, value in first.items()},
        "difference": {name: float(np.abs(value - second[name]).max()) for name, value in first.items()},
        "operators": Counter(node.op_type for node in onnx.load(str(after)).graph.node),
        "writers": [len(group.writers) for group in groups],
        "unevenness": [unevenness(path, groups, films) for path in (before, after)],
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
