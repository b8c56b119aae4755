"""TFLite files written from the graph itself: right for each operation, fixed in shape, the same bytes each time."""

import math
import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from convert.formats.onnx_graph import read_graph
from convert.formats.ops import OPERATIONS
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import ALIGNMENT, LARGEST_HALF, RULES, to_int8, write_tflite
from tbconv.contract.errors import ConversionError
from tf_serve.runtime.structure import check_tflite

RELATIVE = 2e-6  # of the largest answer: two float32 programs sum up to 576 products in different orders
DECIBELS = {"float16": 50, "dynamic": 25}  # rounding of weights to 10 and 7 bits, less a bit


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, their names, and ONNX Runtime's answers."""
    folder = tmp_path_factory.mktemp("own")
    names = child("draw_ops.py", folder)["right"]
    return folder, names, dict(np.load(folder / "onnxruntime.npz"))


def plain_of(folder, name):
    return to_plain(read_graph(folder / f"{name}.onnx"))


def answers_of(data, films):
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    return np.concatenate([next(iter(runner(image=film[None]).values())) for film in films.transpose(0, 2, 3, 1)])


def as_tflite(answer):
    return answer.transpose(0, 2, 3, 1) if answer.ndim == 4 else answer


def decibels(right, answer):
    return 10 * np.log10(np.square(right).sum() / max(np.square(answer - right).sum(), 1e-30))


@pytest.mark.parametrize("rewrite", [lambda plain: plain, simplify], ids=["as it is", "simplified"])
def test_every_operation_answers_as_onnx_runtime_does(drawn, rewrite):
    folder, names, answers = drawn
    for name in names:
        films, right = np.load(folder / f"{name}.npy"), as_tflite(answers[name])
        answer = answers_of(write_tflite(rewrite(plain_of(folder, name)), "float32"), films)
        assert answer.shape == right.shape, name
        assert np.ptp(right) > 0, name
        assert np.abs(answer - right).max() <= RELATIVE * np.abs(right).max(), name


def test_the_page_of_operations_names_every_operator_that_is_written(drawn):
    folder, names, _ = drawn
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    rows = {name: paragraph(operation.__doc__) for name, operation in OPERATIONS.items()}
    rows["Erf"] += rows["Gelu"]  # of which it may be a part
    for name in names:
        graph = read_graph(folder / f"{name}.onnx")
        named = " ".join(rows[one.op] for one in graph.nodes if one.op in rows)
        model = schema.Model.GetRootAs(write_tflite(to_plain(graph), "float32"))
        written = {codes[model.OperatorCodes(index).BuiltinCode()] for index in range(model.OperatorCodesLength())}
        assert [one for one in written if one not in re.findall(r"[A-Z0-9_]+", named)] == [], name


def paragraph(docstring):
    [found] = [one for one in docstring.split("\n\n") if one.strip().startswith("TFLite: ")]
    return found


@pytest.mark.parametrize("precision", DECIBELS)
def test_reduced_weights_stay_within_their_bits(drawn, precision):
    folder, names, answers = drawn
    for name in names:
        answer = answers_of(write_tflite(simplify(plain_of(folder, name)), precision), np.load(folder / f"{name}.npy"))
        assert decibels(as_tflite(answers[name]), answer) > DECIBELS[precision], name


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic"])
def test_files_are_sound_fixed_in_shape_aligned_and_the_same_each_time(drawn, tmp_path, precision):
    folder, _, _ = drawn
    data = write_tflite(simplify(plain_of(folder, "zoo/model")), precision)
    assert data == write_tflite(simplify(plain_of(folder, "zoo/model")), precision)
    (tmp_path / "model.tflite").write_bytes(data)
    check_tflite(tmp_path / "model.tflite")
    model = schema.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(number) for number in range(graph.TensorsLength())]
    assert all(one.ShapeSignatureIsNone() and (one.ShapeAsNumpy() > 0).all() for one in tensors)
    names = [one.Name().decode() for one in tensors]
    assert len(set(names)) == len(names)
    for number in range(1, model.BuffersLength()):
        numbers = model.Buffers(number).DataAsNumpy()
        at = numbers.__array_interface__["data"][0] - np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        assert at % ALIGNMENT == 0
    [outputs] = [one["outputs"] for one in Interpreter(model_content=data).get_signature_list().values()]
    assert outputs == list(read_graph(folder / "zoo" / "model.onnx").outputs)


def test_equal_numbers_are_stored_once_and_scales_are_folded_into_the_weights_before_them(drawn):
    folder, _, _ = drawn
    before, after = plain_of(folder, "zoo/model"), simplify(plain_of(folder, "zoo/model"))
    kinds = [one.kind for one in after.operations]
    assert len(after.operations) < len(before.operations)
    assert kinds.count("relu") == 0
    assert kinds.count("border") < [one.kind for one in before.operations].count("border")
    [conv] = [one for one in after.operations if "BatchNormalization" in "".join(one.names)]
    assert conv.kind == "conv"
    assert conv.options["most"] == math.inf
    assert conv.arrays["kernel"].dtype == np.float64


def test_every_kind_of_operation_has_a_rule(drawn):
    folder, names, _ = drawn
    kinds = {one.kind for name in names for one in plain_of(folder, name).operations}
    kinds |= {one.kind for one in plain_of(folder, "zoo/model").operations}
    assert kinds == set(RULES)


def test_weights_in_int8_are_the_nearest_steps_of_a_scale_a_channel():
    values = np.random.default_rng(0).normal(size=(5, 3, 3, 40)) * np.array([1e-3, 1, 50, 0, 1])[:, None, None, None]
    stored = to_int8(values, 0)
    back = stored.values * stored.scale.astype(np.float64)[:, None, None, None]
    assert (np.abs(back - values) <= stored.scale[:, None, None, None] * 0.5000001).all()
    assert np.abs(stored.values).reshape(5, -1).max(1).tolist() == [127, 127, 127, 0, 127]


def test_a_weight_too_large_for_float16_stays_float32(drawn):
    folder, _, _ = drawn
    plain = simplify(plain_of(folder, "conv_valid"))
    plain.operations[0].arrays["kernel"][0, 0, 0, 0] = 2 * LARGEST_HALF
    films = np.load(folder / "conv_valid.npy")
    assert np.isfinite(answers_of(write_tflite(plain, "float16"), films)).all()


def test_what_no_rule_knows_is_refused_as_it_is_for_keras(drawn):
    folder, _, _ = drawn
    with pytest.raises(ConversionError, match="Softmax"):
        plain_of(folder, "softmax_of_films")
