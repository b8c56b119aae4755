"""What a certificate is bound to, over a drawn run."""

import json

import numpy as np
import pytest

from convert.certificate.certify import certificate_scope
from tbconv.contract.files import sha256_bytes
from torch_train.run_folder import CALIBRATION_FILMS, Films, write_films

METRICS = {"networks": {"trained": {"test": {"figures": {"auroc": {"value": 0.9, "n": 8}}}, "validation": {}}}}


@pytest.fixture
def run(tmp_path):
    """A folder with weights, metrics and calibration films."""
    generator = np.random.default_rng(0)
    model_inputs = generator.integers(0, 256, (4, 224, 224)).astype(np.uint8)
    films = Films(model_inputs, np.array([0, 1, 0, 1]), np.array(["train"] * 4))
    write_films(tmp_path / CALIBRATION_FILMS, films)
    (tmp_path / "weights.safetensors").write_bytes(b"drawn")
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    return tmp_path, films


def test_the_binding_holds_digests_of_weights_and_calibration_films_and_is_json(run):
    folder, films = run
    found = certificate_scope(folder, folder)
    assert found["weights"] == {"weights.safetensors": sha256_bytes(b"drawn")}
    assert found["calibration"]["films"] == 4
    assert found["calibration"]["sha256"] == films.digest
    assert found["metrics"] == {"trained": {"auroc": {"value": 0.9, "n": 8}}}
    assert found["kernels"]["delegate"] == "XNNPACK"
    assert "numpy" in found["packages"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_another_order_of_the_calibration_films_is_another_list(run):
    folder, films = run
    before = certificate_scope(folder, folder)["calibration"]
    write_films(folder / CALIBRATION_FILMS, Films(films.model_inputs[::-1], films.labels, films.part))
    after = certificate_scope(folder, folder)["calibration"]
    assert before["list_sha256"] != after["list_sha256"]
    assert before["sha256"] != after["sha256"]


def test_a_finished_bundle_is_bound_without_its_run(run):
    assert certificate_scope(run[0])["calibration"] is None


def test_a_folder_with_neither_weights_nor_metrics_is_bound_to_what_there_is(tmp_path):
    found = certificate_scope(tmp_path, tmp_path)
    assert (found["weights"], found["calibration"], found["metrics"]) == ({}, None, {})
