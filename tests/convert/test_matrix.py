"""The matrix of runtimes: which are run, what a sample is, and - slowly - all of them on a small network."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convert.parity.inputs import SAMPLE, FilmFolder, _choose, evenly, read_films_of
from convert.parity.runtimes import ROUNDED, matrix_runtimes
from convert.verify import VerifyConfig
from tbconv.contract.errors import ConfigError, Silence
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import Artefact
from torch_train.run_folder import SPLIT

KINDS = ("float32", "float16", "dynamic", "int8")


def artefacts(*, by="keras"):
    rows = [("model.onnx", "onnx", "float32"), ("saved_model", "saved_model", "float32")]
    rows += [(f"model_{kind}.tflite", "tflite", kind) for kind in KINDS]
    found = [Artefact(path, form, kind, "trained", (), (), by, "reader") for path, form, kind in rows]
    return [*found, Artefact("baseline.tflite", "tflite", "float32", "baseline", (), (), "made up", "LiteRT")]


@pytest.fixture
def aside(tmp_path):
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """Steps that were started, none of which makes more than empty files."""
    steps = []

    def run_step(module, request):
        steps.append((module, request))
        for name in {"saved_model", "tflite", "float32"} & set(request):
            Path(request[name]).touch()
        return {}

    monkeypatch.setattr("convert.parity.runtimes.run_step", run_step)
    return steps


def test_every_tflite_kind_is_asked_under_both_kernels_and_one_and_two_threads(asked, aside):
    found = matrix_runtimes(Path("b"), artefacts(), aside, Silence())
    requests = [one.request for one in found if "xnnpack" in one.request]
    variants = {(Path(r["artefact"]).name, r["xnnpack"], r["threads"]) for r in requests}
    # XNNPACK with one thread is the file's own row
    assert variants == {(f"model_{kind}.tflite", *v) for kind in KINDS for v in ((True, 2), (False, 1), (False, 2))}
    assert all(one.threads == one.request["threads"] for one in found if "threads" in one.request)
    assert all(one.sampled == (not one.request["xnnpack"]) for one in found if "xnnpack" in one.request)
    assert len({one.name for one in found}) == len(found) == 12 + 4


def test_onnx_runtime_is_asked_without_optimisation_and_with_rounded_weights(asked, aside):
    found = {one.name: one for one in matrix_runtimes(Path("b"), artefacts(), aside, Silence())}
    assert found["ONNX Runtime, not optimised"].request["optimised"] is False
    assert (found[ROUNDED].precision, found[ROUNDED].request["artefact"]) == (
        "float16",
        str(aside / "rounded.onnx"),
    )
    assert {module for module, _ in asked} == {
        "convert.quantization.float16:round_onnx",
        "convert.formats.onnx_to_onnx2tf:onnx_to_tf",
    }


def test_a_network_of_which_onnx2tf_writes_no_saved_model_is_compared_with_its_tflite_alone(monkeypatch, aside):
    def run_step(module, request):
        if "tflite" in request:
            Path(request["tflite"]).touch()
        return {"lacks": "no depthwise convolution"}

    monkeypatch.setattr("convert.parity.runtimes.run_step", run_step)
    found = {one.name for one in matrix_runtimes(Path("b"), artefacts(), aside, Silence())}
    assert {name for name in found if "onnx2tf" in name} == {"onnx2tf TFLite"}


def test_a_bundle_of_onnx2tf_is_compared_with_our_own_layers(asked, aside):
    found = [one.name for one in matrix_runtimes(Path("b"), artefacts(by="onnx2tf 2"), aside, Silence())]
    assert {"tbconv SavedModel", "tbconv TFLite"} < set(found)
    assert [module for module, _ in asked if module != "convert.quantization.float16:round_onnx"] == [
        "convert.formats.onnx_to_keras:onnx_to_keras",
        "convert.formats.tflite.write:onnx_to_tflite",
    ]


def test_a_baseline_alone_is_asked_under_its_kernels_only(asked, aside):
    found = matrix_runtimes(Path("b"), artefacts()[-1:], aside, Silence())
    assert len(found) == 3
    assert not asked


@pytest.fixture
def folder_of_20(phantom_folder, tmp_path):
    """A made-up bundle whose split says that it was trained on the first 12 phantoms."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    films = sorted(phantom_folder.iterdir())
    write_json(bundle / SPLIT, {"train": [sha256_file(path) for path in films[:12]]})
    return phantom_folder, bundle, films


def test_films_that_it_was_not_trained_on_are_fed_first(folder_of_20):
    folder, bundle, films = folder_of_20
    from tbconv.contract.preprocess import PreprocessSpec

    model_inputs, labels, said = read_films_of(FilmFolder(folder=folder, most=4), bundle, Silence())
    wanted = [PreprocessSpec().from_file(films[index]) for index in (12, 14, 16, 18)]
    assert np.array_equal(model_inputs, np.stack(wanted))
    assert (labels, said) == (None, "4 films without labels")


def test_films_that_it_was_trained_on_fill_up_what_is_left(folder_of_20):
    folder, bundle, _ = folder_of_20
    assert len(read_films_of(FilmFolder(folder=folder, most=14), bundle, Silence())[0]) == 14
    assert len(read_films_of(FilmFolder(folder=folder, most=99), bundle, Silence())[0]) == 20


@pytest.mark.parametrize(
    ("classes", "most", "wanted"),
    [
        ([0, 1] * 12, 4, {0: 2, 1: 2}),  # every second one alone would be of one class
        ([0, 0, 1, 0] * 6, 8, {0: 6, 1: 2}),
        ([0] * 23 + [1], 4, {0: 3, 1: 1}),
    ],
)
def test_every_class_has_its_share_of_at_most_so_many_films(tmp_path, classes, most, wanted):
    rows = _choose([tmp_path / str(row) for row in range(len(classes))], most, tmp_path, np.array(classes))
    assert len(set(rows)) == most
    assert sorted(classes[row] for row in rows) == [classes[row] for row in rows]
    assert dict(Counter(np.array(classes)[rows].tolist())) == wanted


def test_a_class_that_it_was_trained_on_alone_has_a_film_all_the_same(folder_of_20):
    _, bundle, films = folder_of_20
    classes = np.array([1] * 12 + [0] * 8)
    rows = _choose(films, 4, bundle, classes)
    assert classes[rows].tolist() == [0, 0, 0, 1]


def test_a_sample_of_films_whose_classes_alternate_holds_both(tmp_path):
    classes = np.array([0, 1] * 128)
    rows = _choose([tmp_path / str(row) for row in range(len(classes))], None, tmp_path, classes)
    assert Counter(classes[evenly(rows, SAMPLE)].tolist()) == {0: 16, 1: 16}


def test_fewer_films_than_classes_are_refused_before_one_is_read(tmp_path):
    for name in ("Normal", "Tuberculosis"):
        (tmp_path / name).mkdir()
        for number in range(6):
            film = np.random.default_rng(number).integers(0, 256, (64, 64), np.uint8)
            Image.fromarray(film).save(tmp_path / name / f"{number}.png")
    with pytest.raises(ConfigError, match="--most 1 takes films of one class alone") as caught:
        read_films_of(FilmFolder(folder=tmp_path, most=1), tmp_path, Silence())
    assert caught.value.fix == "--most 2"


def test_at_most_no_film_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--most 0"):
        VerifyConfig(bundle=tmp_path, out=tmp_path, most=0)


@pytest.mark.slow
def test_the_whole_matrix_agrees_about_a_small_network(verify_bundle, bundle, phantom_folder, tmp_path):
    found, lines = verify_bundle(bundle, tmp_path / "out", films=phantom_folder, most=10, matrix=True)
    rows = {row["name"]: row for row in json.loads((tmp_path / "out" / "parity.json").read_text())["rows"]}
    assert found.passed
    for name in ("model_int8.tflite built-in x2", "onnx2tf TFLite", "ONNX Runtime, not optimised", ROUNDED):
        assert rows[name]["films"]["problem"] is None
    assert rows["onnx2tf TFLite"]["films"]["flips"] == 0
    assert rows["PyTorch float64 (trained)"]["error_distribution"]["relu_patterns"]["how"] == "counted"
    assert found.report["inputs"]["near_threshold"] > 0
    assert abs(found.report["float16"][0]["db"]) < 3
    assert any("searched near the threshold" in line for line in lines)
