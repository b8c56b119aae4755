"""Whether float16 arithmetic holds a network: what its operations reach on films, and what is said of it."""

import json

import numpy as np
import onnx
import pytest
from draw_dense import dense_model, dense_network
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.parity.needs import find_needs
from convert.quantization.half import reach
from tbconv.report_kit.needs import BARRED, half_line, is_barred, need_lines, warnings_of


@pytest.fixture
def reached(tmp_path):
    """Return a function that measures what a network reaches on uint8 films [N, S, S]."""

    def call(plain, films):
        (tmp_path / "model.tflite").write_bytes(write_tflite(plain, "float32"))
        np.save(tmp_path / "films.npy", films)
        found = reach({"artefact": str(tmp_path / "model.tflite"), "images": str(tmp_path / "films.npy")})
        return json.loads(json.dumps(found, allow_nan=False))

    return call


def plain_of(tmp_path, nodes, arrays, sides, outputs=2):
    """Return an ONNX graph, [N, 1, S, S] -> [N, outputs], as plain operations."""
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, sides, sides])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", outputs])],
        [numpy_helper.from_array(np.asarray(one, np.float32), name) for name, one in arrays.items()],
    )
    path = tmp_path / "drawn.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return simplify(to_plain(read_graph(path)))


FILMS = np.random.default_rng(4).integers(0, 256, (8, 16, 16)).astype(np.uint8)


def test_what_an_operation_reaches_is_what_numpy_computes(reached, tmp_path):
    kernel = np.full((2, 1, 1, 1), 3.0)
    kernel[1] = -300.0
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv"),
        helper.make_node("GlobalMaxPool", ["c"], ["g"], name="largest"),
        helper.make_node("Flatten", ["g"], ["logits"], name="flatten"),
    ]
    found = reached(plain_of(tmp_path, nodes, {"kernel": kernel}, 16), FILMS)
    assert (found["tensor"], found["operator"]) == ("conv", "CONV_2D")
    assert found["largest"] == pytest.approx(300.0 * FILMS.max(), rel=1e-3)
    assert found["beyond"] == [{"tensor": "conv", "operator": "CONV_2D", "kind": "value", "largest": found["largest"]}]
    assert half_line(found).startswith(f"{BARRED}, which ends at 65504: conv reaches 7.65e+04 on 8 films.")


@pytest.mark.parametrize(("scale", "holds"), [(1.0, True), (1e4, False)])
def test_a_network_is_barred_where_one_of_its_values_leaves_float16(scale, holds, reached):
    plain, films = dense_network(4, scale=scale)
    found = reached(plain, films[..., 0])
    assert (found["beyond_count"] == 0) == holds
    assert (found["largest"] < 65504) == holds
    assert half_line(found).startswith("float16 arithmetic holds: " if holds else BARRED)
    if not holds:
        assert found["beyond"][0]["largest"] == max(one["largest"] for one in found["beyond"])


def test_a_sum_within_a_mean_is_counted_though_the_mean_is_small(reached, tmp_path):
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["logits"], name="flatten"),
    ]
    films = np.full((2, 32, 32), 100, np.uint8)
    films[1] = 50
    found = reached(plain_of(tmp_path, nodes, {"kernel": [[[[1.0]]], [[[-1.0]]]]}, 32), films)
    assert (found["largest"], found["kind"]) == (102400.0, "sum")
    [one] = found["beyond"]
    assert (one["tensor"], one["kind"], one["largest"]) == ("mean", "sum", pytest.approx(100 * 32 * 32, rel=1e-3))
    assert "mean sums up to 1.024e+05" in half_line(found)


def test_a_clamp_to_the_ends_of_float16_holds(reached, tmp_path):
    """A guard that many networks have: its bounds are the last numbers that float16 has (../shared/cases/f03)."""
    draw = np.random.default_rng(0)
    arrays = {"kernel": draw.normal(size=(8, 1, 3, 3)) / 3, "low": -65504.0, "high": 65504.0}
    arrays |= {"weight": draw.normal(size=(2, 8)), "bias": draw.normal(size=2)}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["k"], name="guard"),
        helper.make_node("Relu", ["k"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "weight", "bias"], ["logits"], name="last", transB=1),
    ]
    plain = plain_of(tmp_path, nodes, arrays, 16)
    assert reached(plain, FILMS)["beyond"] == []
    arrays["kernel"] = 200 * arrays["kernel"]
    found = reached(plain_of(tmp_path, nodes, arrays, 16), FILMS)
    assert "conv" in [one["tensor"] for one in found["beyond"]]  # which the guard cuts off, and float16 cannot


def test_a_stored_number_that_float16_makes_infinite_or_zero_is_named(reached, tmp_path):
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Add", ["f", "epsilon"], ["e"], name="epsilon"),
        helper.make_node("Sqrt", ["e"], ["s"], name="root"),
        helper.make_node("Max", ["s", "mask"], ["logits"], name="mask"),
    ]
    found = reached(plain_of(tmp_path, nodes, {"epsilon": 1e-12, "mask": -1e9}, 16, outputs=1), FILMS)
    assert [(one["kind"], one["largest"]) for one in found["beyond"]] == [("stored", 1e9)]
    assert [(one["kind"], one["largest"]) for one in found["small"]] == [("stored", pytest.approx(1e-12))]
    assert "Below what float16 holds in full: epsilon.offset" in half_line(found)


def test_infinite_values_are_said_as_the_largest_number_that_json_has(reached, tmp_path):
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Exp", ["f"], ["logits"], name="exponential"),
    ]
    found = reached(plain_of(tmp_path, nodes, {}, 16, outputs=1), FILMS)
    assert found["beyond"][0]["largest"] == pytest.approx(3.403e38)


def test_what_files_need_is_said_in_lines_and_what_cannot_wait_first(tmp_path):
    onnx.save(dense_model(4, scale=1e4), str(tmp_path / "model.onnx"))
    plain = simplify(to_plain(read_graph(tmp_path / "model.onnx")))
    files = {}
    for precision in ("float32", "float16", "dynamic"):
        files[f"model_{precision}.tflite"] = tmp_path / f"{precision}.tflite"
        files[f"model_{precision}.tflite"].write_bytes(write_tflite(plain, precision))
    needs = find_needs(files, [list(files)], FILMS)
    assert all(is_barred(one) for one in needs.values())
    first, second, third, last = need_lines(needs)
    assert first == "model_float32.tflite: TensorFlow Lite 1.6 or newer, or any LiteRT (MEAN version 1)"
    assert second == "model_float16.tflite: TensorFlow Lite 1.15 or newer, or any LiteRT (DEQUANTIZE version 3)"
    assert third == "model_dynamic.tflite: TensorFlow Lite 2.17 or newer, or any LiteRT (FULLY_CONNECTED version 12)"
    newest, barred = warnings_of(needs)
    assert newest == "model_dynamic.tflite needs TensorFlow Lite 2.17 or newer, or any LiteRT"
    assert barred == last
    assert "GPU delegates" in barred
