"""Two conversions in two clean processes: the same bytes, but for what the table names."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from convert.formats.onnx_to_keras import make_repeatable, settle
from convert.formats.reproducible import VARIES, content_digest, content_digests, differing, reason_to_vary, table
from convert.runners.base import read_prediction
from convert.worker import run_step, workers
from tbconv.contract.bundle import folder_digest
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import sha256_file
from torch_train.run_folder import read_run

DOCUMENT = Path(__file__).parents[2] / "docs" / "bundle.md"
SEEDS = ("1", "77")  # of the hashes of strings, by which Python orders sets
MADE = {"model.onnx", "model.h5", "model.keras", "saved_model/saved_model.pb", "saved_model/variables/variables.index"}


def seeded_step(step, request, *, seed="77"):
    """Run one step as `run_step` does, in a new process whose strings hash by another seed."""
    code = "import json, sys; from convert.worker import run_step; run_step(*json.loads(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", code, json.dumps([step, request])], env=environment, check=True, timeout=300)


@pytest.fixture(scope="module")
def twice(run, memory, tmp_path_factory):
    """Two folders with ONNX, H5, `.keras` and SavedModel of one run, made by other processes each."""
    calibration = asdict(read_run(run).decision_rules["trained"].calibration)
    network = {"folder": str(run), "network": "trained", "arch": "resnet10", "calibration": calibration}
    folders = []
    for name, step in (("first", memory.run_step), ("second", seeded_step)):
        folder = tmp_path_factory.mktemp(name)
        onnx = str(folder / "model.onnx")
        step("convert.formats.torch_to_onnx.of_run:torch_to_onnx", {**network, "out": onnx})
        made = {"h5": "model.h5", "keras": "model.keras", "saved_model": "saved_model"}
        step(
            "convert.formats.onnx_to_keras:onnx_to_keras",
            {"onnx": onnx} | {key: str(folder / file) for key, file in made.items()},
        )
        folders.append(folder)
    return tuple(folders)


@pytest.mark.slow
def test_two_clean_processes_make_the_same_files(twice):
    first, second = twice
    assert content_digests(first).keys() >= MADE
    assert differing(first, second) == ()
    assert content_digest(first) == content_digest(second)
    assert content_digest(first / "saved_model") == content_digest(second / "saved_model")


def test_a_process_that_converted_something_else_before_makes_the_same_files(run, tmp_path):
    rules = read_run(run).decision_rules

    def make(network, place):
        network = {"folder": str(run), "network": network, "calibration": asdict(rules[network].calibration)}
        onnx, saved_model = str(place / "model.onnx"), str(place / "saved_model")
        run_step("convert.formats.torch_to_onnx.of_run:torch_to_onnx", {**network, "arch": "resnet10", "out": onnx})
        made = {"keras": str(place / "model.keras"), "saved_model": saved_model}
        run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": onnx} | made)
        files = {kind: str(place / f"model_{kind}.tflite") for kind in ("float32", "float16", "dynamic")}
        run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": onnx} | files)

    with workers():
        for name, network in (("first", "trained"), ("between", "baseline"), ("last", "trained")):
            (tmp_path / name).mkdir()
            make(network, tmp_path / name)
    assert len(content_digests(tmp_path / "first")) == 8
    assert differing(tmp_path / "first", tmp_path / "last") == ()


@pytest.mark.slow
def test_what_is_excused_is_there_and_does_differ(twice):
    first, second = (folder / "saved_model" / "fingerprint.pb" for folder in twice)
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.keras", "saved_model"])
def test_what_repeats_still_answers_and_alike(name, twice, tmp_path):
    module = f"convert.runners.tensorflow:run_{name.removeprefix('model.')}"
    np.save(tmp_path / "images.npy", np.random.default_rng(3).integers(0, 256, (2, 224, 224)).astype(np.uint8))
    request = {"artefact": str(twice[0] / name), "images": str(tmp_path / "images.npy"), "out": str(tmp_path / "a.npz")}
    run_step(module, request)
    run_step(
        "convert.runners.onnxruntime:run",
        {**request, "artefact": str(twice[0] / "model.onnx"), "out": f"{tmp_path}/b.npz"},
    )
    answer, onnx = (read_prediction(tmp_path / name) for name in ("a.npz", "b.npz"))
    assert answer.evidence.shape == (2, 7, 7)
    assert np.abs(answer.logits - onnx.logits).max() <= 1e-4 * np.abs(onnx.logits).max()


@pytest.mark.slow
def test_a_savedmodel_holds_every_variable_once(twice):
    weights = (twice[0] / "model.h5").stat().st_size
    assert (twice[0] / "saved_model/variables/variables.data-00000-of-00001").stat().st_size < 1.1 * weights


@pytest.mark.slow
def test_two_whole_conversions_differ_only_in_what_the_table_names(run, tmp_path):
    for seed in SEEDS:
        command = [sys.executable, "-m", "tbconv", "convert", str(run), "--out", str(tmp_path / seed)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
    first, second = (tmp_path / seed for seed in SEEDS)
    tflite = {f"model_{kind}.tflite" for kind in ("float32", "float16", "dynamic", "int8")}
    assert content_digests(first).keys() >= MADE | tflite | {"baseline.tflite", "weights.safetensors"}
    assert differing(first, second) == ()


@pytest.mark.slow
def test_the_contract_leaves_out_of_a_folder_what_the_table_leaves_out(twice):
    root = twice[0]
    digests = {
        path.relative_to(root).as_posix(): sha256_file(path)
        for path in (root / "saved_model").rglob("*")
        if path.is_file()
    }
    excused = [name for name in digests if reason_to_vary(name)]
    assert excused == ["saved_model/fingerprint.pb"]
    kept = {name: digest for name, digest in digests.items() if name not in excused}
    assert (
        folder_digest(digests, "saved_model")
        == folder_digest(kept, "saved_model")
        == content_digest(root / "saved_model")
    )


@pytest.mark.slow
def test_a_changed_variable_changes_the_digest_and_a_changed_fingerprint_does_not(twice, tmp_path):
    copy = tmp_path / "saved_model"
    shutil.copytree(twice[0] / "saved_model", copy)
    before = content_digest(copy)
    (copy / "fingerprint.pb").write_bytes(b"another")
    assert content_digest(copy) == before
    with (copy / "variables" / "variables.data-00000-of-00001").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    assert content_digest(copy) != before


def test_a_file_that_only_one_bundle_has_differs(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(b"same")
        (tmp_path / name / "parity.json").write_text(name)
    (tmp_path / "one" / "extra.tflite").write_bytes(b"alone")
    assert differing(tmp_path / "one", tmp_path / "other") == ("extra.tflite",)


@pytest.mark.slow
def test_a_keras_file_carries_no_time_and_no_address(twice):
    with zipfile.ZipFile(twice[0] / "model.keras") as archive:
        assert {row.date_time for row in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json")).keys() == {"keras_version"}
        config = archive.read("config.json").decode()
    shared = {int(part.split(",")[0].split("}")[0]) for part in config.split('"shared_object_id": ')[1:]}
    assert shared == set(range(len(shared)))


def test_equal_addresses_stay_equal_and_others_apart():
    rows = [
        {"shared_object_id": 900},
        {"x": [{"shared_object_id": 700}]},
        {"shared_object_id": 900, "date_saved": "now"},
    ]
    assert settle(rows) == [{"shared_object_id": 0}, {"x": [{"shared_object_id": 1}]}, {"shared_object_id": 0}]


def test_an_archive_of_another_keras_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("assets/vocabulary.txt", "a")
    with pytest.raises(ConversionError) as caught:
        make_repeatable(tmp_path / "model.keras")
    assert "assets/vocabulary.txt" in caught.value.what


def test_every_file_that_may_differ_has_its_reason_and_the_document_prints_them():
    assert all(len(row.reason) > 20 for row in VARIES)
    assert reason_to_vary("model_int8.tflite") is None
    assert table() in DOCUMENT.read_text(encoding="utf-8")
