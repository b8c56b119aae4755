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
LONGER = {"chain": 5e-5}  # of several operations, each of which passes the differences of those before it on
THOUSAND, OTHER_SEED = 34, 3  # graphs of a family, in which more than a thousand are drawn
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
    allowed = LONGER.get(name.rsplit("_", 1)[0], RELATIVE)
    assert far <= allowed * np.abs(right).max(), (name, far)


def judged(folder, names, answers, file):
    """Return why graphs are refused; each of the others is right in TFLite, and proven."""
    refused = []
    for name in names:
        path = folder / f"{name}.onnx"
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
    return refused


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_graph_is_right_in_tflite_and_proven_or_refused(family, drawn, tmp_path):
    folder, names, answers = drawn
    assert len(names[family]) == EACH
    refused = judged(folder, names[family], answers, tmp_path / "own.tflite")
    assert len(refused) <= MOST_REFUSED * EACH, refused


@pytest.mark.slow
def test_none_of_a_thousand_drawn_graphs_is_wrong_without_a_word(child, keras_child, tmp_path):
    names = child("draw_random.py", tmp_path, OTHER_SEED, THOUSAND)
    answers, walked = dict(np.load(tmp_path / "onnxruntime.npz")), keras_child("walk_graphs.py", tmp_path)
    all_names = [name for row in names.values() for name in row]
    assert len(all_names) >= 1000
    refused = judged(tmp_path, all_names, answers, tmp_path / "own.tflite")
    made, keras = [name for name in all_names if "layers" in walked[name]], dict(np.load(tmp_path / "keras.npz"))
    for name in made:
        assert_right(keras[name], answers[name], name)
    assert len(all_names) - len(made) == len(refused) <= 0.01 * len(all_names), refused


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawn_graph_is_right_in_keras_or_refused(family, drawn, walks):
    _, names, answers = drawn
    made = [name for name in names[family] if "layers" in walks[0][name]]
    assert len(made) >= (1 - MOST_REFUSED) * EACH
    for name in made:
        assert_right(walks[1][name], answers[name], name)
