"""A graph with a bit of each of torchvision's classifiers becomes files of every format that load and answer alike."""

import shutil

import numpy as np
import pytest

from convert.worker import run_step

PRECISIONS = {"float32": 110, "float16": 50, "dynamic": 25}  # dB: rounding of weights to 23, 10 and 7 bits, less a bit


MADE = {"h5": "model.h5", "keras": "model.keras", "saved_model": "saved_model"}


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs."""
    folder = tmp_path_factory.mktemp("zoo") / "drawn"
    folder.mkdir()
    child("draw_ops.py", folder)
    return folder


def write_keras(place):
    """Write H5, `.keras` and SavedModel of a folder's model.onnx."""
    paths = {key: str(place / name) for key, name in MADE.items()}
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(place / "model.onnx"), **paths})


@pytest.fixture(scope="module")
def files(child, drawn):
    """What the files of the graph answered, and what they are made of."""
    place = drawn / "zoo"
    write_keras(place)
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


def test_files_of_attention_load_in_a_fresh_process_and_an_h5_has_functions_of_keras(child, drawn):
    place = drawn / "attending"
    place.mkdir()
    shutil.copy(drawn / "attention.onnx", place / "model.onnx")
    films = np.load(drawn / "attention.npy").transpose(0, 2, 3, 1)
    np.savez(place / "asked.npz", films=films, answers=np.load(drawn / "onnxruntime.npz")["attention"])
    write_keras(place)
    found = child("check_files.py", place)
    assert found["decibel"].keys() == set(MADE.values())
    assert min(found["decibel"].values()) > PRECISIONS["float32"]
    assert b'"class_name": "Matmul", "config": {"name": "matmul' in (place / "model.h5").read_bytes()


def test_tflite_gets_its_own_operations_for_depthwise_convolutions_and_hard_swish(files):
    operators = set(files["facts"]["float32.tflite"])
    assert {"DEPTHWISE_CONV_2D", "HARD_SWISH", "CONV_2D", "MAX_POOL_2D"} <= operators
    assert operators.isdisjoint({"PADV2", "FILL"})
