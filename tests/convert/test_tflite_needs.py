"""What files need of a runtime: the versions that TensorFlow's own converter states, and the release that has them."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from draw_dense import dense_network

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.metadata import find_buffer
from convert.formats.tflite.needs import ENTRY, RELEASES, read_needs, versions
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import PRECISIONS, write_tflite
from convert.quantization.int8 import Quantizer, Recipe
from convert.worker import run_step


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs and their names."""
    folder = tmp_path_factory.mktemp("needs")
    return folder, child("draw_ops.py", folder)["right"]


def files_of(plain, films):
    """Yield by precision the files of a network, the int8 one without any float layer."""
    for precision in PRECISIONS:
        yield precision, write_tflite(plain, precision)
    yield "int8", Quantizer(plain, films, grey=False).make(Recipe(keep_float=("none",))).data


def stated(data):
    """Return the release that a file's metadata states."""
    return find_buffer(data, ENTRY).rstrip(b"\0").decode()


def test_every_file_states_versions_that_are_high_enough_and_the_release_that_has_them(drawn):
    folder, names = drawn
    for name in names:
        plain = simplify(to_plain(read_graph(folder / f"{name}.onnx")))
        for precision, data in files_of(plain, np.load(folder / f"{name}.npy").transpose(0, 2, 3, 1)):
            needs = read_needs(data)
            assert (needs.understated, needs.unknown) == ((), ()), (name, precision)
            assert stated(data) == f"{needs.runtime}.0", (name, precision)
            assert needs.because, (name, precision)


def test_weights_in_int8_with_a_scale_a_channel_need_runtimes_that_read_all_of_them():
    plain, films = dense_network(16)
    needs = {precision: read_needs(data) for precision, data in files_of(plain, films)}
    found = {precision: (one.operators["FULLY_CONNECTED"], one.runtime) for precision, one in needs.items()}
    assert found["float32"] == (1, "1.6")  # MEAN
    assert found["float16"] == (1, "1.15")  # DEQUANTIZE of float16
    # version 1 of a dense layer takes weights in int8, too: TensorFlow Lite 2.7 to 2.14 answer with no scale at all
    assert found["dynamic"] == (12, RELEASES["FULLY_CONNECTED"][11])
    assert found["int8"] == (10, RELEASES["FULLY_CONNECTED"][9])
    assert needs["dynamic"].because == ("FULLY_CONNECTED",)


def test_a_single_scale_needs_no_new_runtime():
    plain, films = dense_network(1, channels=1024, hidden=0)
    dynamic, right = (write_tflite(plain, one) for one in ("dynamic", "float32"))
    needs = read_needs(dynamic)
    assert (needs.operators["FULLY_CONNECTED"], needs.runtime) == (3, "2.4")  # a CONV_2D with a scale a channel
    assert answer_of(dynamic, films) == pytest.approx(answer_of(right, films), rel=0.03)


def answer_of(data, films):
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    return np.concatenate([runner(image=film[None].astype(np.float32))["logits"] for film in films])


def test_a_file_that_states_too_little_is_told_of():
    plain, _ = dense_network(16)
    model = schema.ModelT.InitFromPackedBuf(write_tflite(plain, "dynamic"))
    for row in model.operatorCodes:
        row.version = 1
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    needs = read_needs(bytes(builder.Output()))
    assert set(needs.understated) == {"CONV_2D", "FULLY_CONNECTED"}
    assert needs.runtime == RELEASES["FULLY_CONNECTED"][11]


def test_tensorflows_own_converter_states_the_same_versions_for_the_same_graphs(drawn, child, tmp_path):
    folder, _ = drawn
    places = {precision: tmp_path / f"{precision}.tflite" for precision in PRECISIONS}
    saved, onnx = tmp_path / "saved_model", folder / "zoo" / "model.onnx"
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(onnx), "saved_model": str(saved)})
    request = {"saved_model": str(saved)} | {name: str(place) for name, place in places.items()}
    run_step("convert.formats.saved_model_to_tflite:quantize", request)
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    child("draw_tflite.py", tiny)
    films = np.load(folder / "zoo" / "asked.npz")["films"][:4]
    theirs = {name: place.read_bytes() for name, place in places.items()}
    for data in (*theirs.values(), *(place.read_bytes() for place in sorted(tiny.glob("*.tflite")))):
        told, needed = versions(data)
        assert told == needed
        assert stated(data).rsplit(".", 1)[0] == read_needs(data).runtime
    for precision, data in files_of(simplify(to_plain(read_graph(onnx))), films):
        ours, other = versions(data)[0], versions(theirs.get(precision, data))[0]
        shared = ours.keys() & other
        assert len(shared) > 5, precision
        assert {name: ours[name] for name in shared} == {name: other[name] for name in shared}, precision
