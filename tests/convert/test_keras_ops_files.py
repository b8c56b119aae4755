"""A graph with a bit of each of torchvision's classifiers becomes files of every format that load and answer alike."""

import pytest

from convert.worker import run_step

PRECISIONS = {"float32": 110, "float16": 50, "dynamic": 25}  # dB: rounding of weights to 23, 10 and 7 bits, less a bit


@pytest.fixture(scope="module")
def files(child, tmp_path_factory):
    """What the files of the graph answered, and what they are made of."""
    folder = tmp_path_factory.mktemp("zoo") / "drawn"
    folder.mkdir()
    child("draw_ops.py", folder)
    place = folder / "zoo"
    made = {"h5": "model.h5", "keras": "model.keras", "saved_model": "saved_model"}
    run_step(
        "convert.formats.onnx_to_keras:onnx_to_keras",
        {"onnx": str(place / "model.onnx")} | {key: str(place / name) for key, name in made.items()},
    )
    tflite = {precision: str(place / f"{precision}.tflite") for precision in PRECISIONS}
    run_step("convert.formats.saved_model_to_tflite:quantize", {"saved_model": str(place / "saved_model"), **tflite})
    return child("check_files.py", place)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "saved_model"])
def test_a_keras_file_of_a_foreign_graph_loads_anew_and_answers_as_onnx_runtime_does(name, files):
    assert files["decibel"][name] > PRECISIONS["float32"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_tflite_file_of_a_foreign_graph_answers_within_its_precision(precision, files):
    assert files["decibel"][f"{precision}.tflite"] > PRECISIONS[precision]


def test_an_h5_of_a_foreign_graph_is_made_of_real_layers(files):
    made = set(files["facts"]["model.h5"])
    assert {"BatchNormalization", "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D", "Multiply", "Rescaling"} <= made


def test_tflite_gets_its_own_operations_for_depthwise_convolutions_and_hard_swish(files):
    operators = set(files["facts"]["float32.tflite"])
    assert {"DEPTHWISE_CONV_2D", "HARD_SWISH", "CONV_2D", "MAX_POOL_2D"} <= operators
    assert operators.isdisjoint({"PADV2", "FILL"})
