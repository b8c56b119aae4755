"""Graphs of drawn shapes, axes and attributes: each is right in Keras and TFLite and proven, or refused."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from draw_random import EACH, FAMILIES

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.proof.step import EQUIVALENT, judge
from tbconv.contract.errors import ConversionError

SEED = 1
RELATIVE = 4e-6  # of the largest answer: two float32 programs sum in different orders, and round functions otherwise
MOST_REFUSED = 0.5  # of a family's graphs: some ways to use an operation have no layer, and say so


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, their names by family, and ONNX Runtime's answers."""
    folder = tmp_path_factory.mktemp("random")
    names = child("draw_random.py", folder, SEED)
    return folder, names, dict(np.load(folder / "onnxruntime.npz"))


@pytest.fixture(scope="module")
def walks(keras_child, drawn):
    """What walking each graph into Keras layers gave, and what these answered."""
    walked = keras_child("walk_graphs.py", drawn[0])
    return walked, dict(np.load(drawn[0] / "keras.npz"))


def as_onnx(answer, right):
    answer = answer.transpose(0, 3, 1, 2) if answer.ndim == 4 and right.ndim == 4 else answer
    assert answer.shape == right.shape
    return answer


def assert_right(answer, right, name):
    far = np.abs(as_onnx(answer, right) - right).max()
    assert far <= RELATIVE * np.abs(right).max(), (name, far)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_graph_is_right_in_tflite_and_proven_or_refused(family, drawn, tmp_path):
    folder, names, answers = drawn
    assert len(names[family]) == EACH
    refused = []
    for name in names[family]:
        path, file = folder / f"{name}.onnx", tmp_path / "own.tflite"
        try:
            data = write_tflite(simplify(to_plain(read_graph(path))), "float32")
        except ConversionError as error:
            refused.append(error.why)
            continue
        file.write_bytes(data)
        runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
        films = np.load(folder / f"{name}.npy").transpose(0, 2, 3, 1)
        assert_right(
            np.concatenate([next(iter(runner(image=film[None]).values())) for film in films]), answers[name], name
        )
        found = judge({"onnx": str(path), "file": str(file), "kind": "tflite"})
        assert found["verdict"] == EQUIVALENT, (name, found["reason"])
    assert len(refused) <= MOST_REFUSED * EACH, refused


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_graph_is_right_in_keras_or_refused(family, drawn, walks):
    _, names, answers = drawn
    made = [name for name in names[family] if "layers" in walks[0][name]]
    assert len(made) >= (1 - MOST_REFUSED) * EACH
    for name in made:
        assert_right(walks[1][name], answers[name], name)
