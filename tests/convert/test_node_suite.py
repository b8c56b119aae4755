"""The node tests that the onnx wheel ships: for each operation that docs/ops.md names right or refused, never wrong.

Each test is a graph of one operation (or of those that it is made of) with inputs and answers. Its first float input
becomes the film, whose first axis is the batch; what else it reads is stored.
"""

from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from convert.formats.onnx_graph import read_graph
from convert.formats.ops import OPERATIONS
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.proof.step import DIFFERENT, judge
from tbconv.contract.errors import TbconvError
from tf_serve.runtime.structure import inspect

RELATIVE = 2e-5  # of the largest answer: two float32 programs sum in different orders
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3}  # whose answers have four digits
LEAST_RIGHT = 267
STATIC = {"Constant", "ConstantOfShape", "Shape", "CastLike", "Range", "Size"}


def loaded(path):
    tensor = onnx.TensorProto.FromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def adapted(test):
    """Return a test's graph that reads a film [N, C, H, W], the films and the answer; None where it reads no floats."""
    model = onnx.load(str(Path(test.model_dir) / "model.onnx"))
    ops = {node.op_type for node in model.graph.node}
    tensors = all(one.type.HasField("tensor_type") for one in (*model.graph.input, *model.graph.output))
    plain = tensors and all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    if not plain or not ops <= OPERATIONS.keys() | STATIC or not ops & OPERATIONS.keys():
        return None
    folder = Path(test.model_dir) / "test_data_set_0"
    given = [loaded(folder / f"input_{at}.pb") for at in range(len(model.graph.input))]
    answers = [loaded(folder / f"output_{at}.pb") for at in range(len(model.graph.output))]
    floats = [at for at, one in enumerate(given) if one.dtype == np.float32 and one.size and one.ndim]
    if not floats or any(one.dtype != np.float32 for one in answers):
        return None
    first, films = model.graph.input[floats[0]], given[floats[0]]
    for value, array in zip(model.graph.input, given, strict=True):
        if value.name != first.name:
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    rest = films.shape[1:]
    image = films
    if films.ndim != 4:
        image = films.reshape(len(films), 1, 1, -1) if len(rest) < 3 else films.reshape(len(films), *rest[:2], -1)
        target = numpy_helper.from_array(np.array([-1, *rest], np.int64), "film/sizes")
        model.graph.initializer.append(target)
        model.graph.node.insert(0, helper.make_node("Reshape", ["film", "film/sizes"], [first.name], name="front"))
    name = first.name if films.ndim == 4 else "film"
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *image.shape[1:]]))
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(one.name, TensorProto.FLOAT, None) for one in outputs)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node{index}"
    return model, image, [one.name for one in outputs], answers


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Every test that can be adapted, by name: its file, films and answers."""
    folder, found = tmp_path_factory.mktemp("suite"), {}
    for test in load_model_tests(kind="node"):
        one = adapted(test)
        if one is not None:
            path = folder / f"{test.name}.onnx"
            onnx.save(one[0], str(path))
            np.save(path.with_suffix(".npy"), one[1])
            found[test.name] = path, *one[1:]
    return found


def is_right(answer, right, name):
    """Whether an answer is the expected one, as it is or as an image with channels last."""
    laid = [answer, answer.transpose(0, 3, 1, 2)] if answer.ndim == right.ndim == 4 else [answer]
    scale = np.abs(right[np.isfinite(right)]).max(initial=0)
    far = ROUNDED.get(name, RELATIVE) * max(scale, 1e-30)
    return any(
        one.size == right.size and np.allclose(one.reshape(right.shape), right, rtol=0, atol=far, equal_nan=True)
        for one in laid
    )


def judged(path, image, names, answers, folder):
    """Return what became of a test: right, refused, or what is wrong, in words."""
    try:
        graph = read_graph(path)
        plain = simplify(to_plain(graph))
    except TbconvError as error:
        return "refused" if error.why and error.fix else f"refused without a reason: {error.what}"
    if not plain.operations:
        return "nothing to do"
    data = write_tflite(plain, "float32")
    inspect(data)
    file = folder / "own.tflite"
    file.write_bytes(data)
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    films = image.transpose(0, 2, 3, 1)
    given = next(iter(runner.get_input_details()))
    rows = [runner(**{given: np.ascontiguousarray(film[None])}) for film in films]
    for name, right in zip(names, answers, strict=True):
        answer = np.concatenate([one[name] if name in one else next(iter(one.values())) for one in rows])
        if not is_right(answer, right, path.stem):
            return f"wrong: {answer.reshape(-1)[:4]} for {right.reshape(-1)[:4]}"
    proof = judge({"onnx": str(path), "file": str(file), "kind": "tflite"})
    return f"called different: {proof['reason']}" if proof["verdict"] == DIFFERENT else "right"


def test_each_node_test_is_right_in_tflite_or_refused(suite, tmp_path):
    found = {}
    for name, one in suite.items():
        try:
            found[name] = judged(*one, tmp_path)
        except Exception as error:  # noqa: BLE001  (a raw traceback is what a user would see)
            found[name] = f"raised {type(error).__name__}: {error}"
    wrong = {name: what for name, what in found.items() if what not in ("right", "refused", "nothing to do")}
    assert wrong == {}, wrong
    counts = Counter(found.values())
    assert counts["right"] >= LEAST_RIGHT, counts


def test_each_node_test_is_right_in_keras_or_refused(suite, keras_child, tmp_path):
    folder = tmp_path
    for path, _, names, _ in suite.values():
        for one in (path, path.with_suffix(".npy")) if len(names) == 1 else ():
            (folder / one.name).write_bytes(one.read_bytes())
    walked, answered = keras_child("walk_graphs.py", folder), dict(np.load(folder / "keras.npz"))
    right, wrong = 0, {}
    for name, (_, image, names, answers) in suite.items():
        if len(names) > 1 or "layers" not in walked[name]:
            continue
        answer, wanted = answered[name], answers[0]
        assert len(answer) == len(image) or prod(wanted.shape) == answer.size, name
        fits = is_right(answer, wanted, name)
        right += fits
        if not fits:
            wrong[name] = f"{answer.shape} for {wanted.shape}"
    assert wrong == {}
    assert right >= LEAST_RIGHT // 2
