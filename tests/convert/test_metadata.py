"""What every file states of itself: the same line in every format, read with each format's own library alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retell import label_again

from convert.certificate.consistency import inconsistencies
from convert.formats.metadata import label_files, read_statements
from convert.runners.base import read_prediction
from convert.worker import run_step
from tbconv.contract.bundle import open_bundle, read_bundle
from tbconv.contract.files import sha256_file
from tbconv.contract.manifest import canonical_json

DOCUMENT = Path(__file__).parents[2] / "docs" / "bundle.md"
OTHERS = ("model.onnx", "saved_model", "model.h5", "model.keras")  # than TFLite
HOLDS = {"saved_model": "saved_model/assets.extra/tbconv.json"}  # the file whose bytes change with the statement
RUNNERS = {
    "model.onnx": "convert.runners.onnxruntime:run",
    "saved_model": "convert.runners.tensorflow:run_saved_model",
    "model.h5": "convert.runners.tensorflow:run_keras",
    "model.keras": "convert.runners.tensorflow:run_keras",
}


def statements(root):
    return read_statements({one.path: root / one.path for one in read_bundle(root).manifest.artefacts})


def with_threshold(manifest, margin):
    """Return a manifest whose trained network has another threshold."""
    rule = manifest.decision_rules["trained"]
    rule = replace(rule, operating_point=replace(rule.operating_point, margin=margin))
    return replace(manifest, decision_rules=manifest.decision_rules | {"trained": rule})


def digests(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in paths}


def test_every_file_states_the_same_line_and_it_is_what_the_manifest_says(bundle):
    manifest, stated = open_bundle(bundle).manifest, statements(bundle)
    of_trained = {stated[one.path] for one in manifest.artefacts if one.network == "trained"}
    assert len(stated) == 9
    [line] = of_trained
    told = json.loads(line)
    assert line == canonical_json(told)
    assert manifest.stated("trained").items() <= told.items()
    assert told["labels"] == {"negative": "Normal", "positive": "Tuberculosis"}
    assert told["operating_point"]["margin"] == manifest.decision_rules["trained"].operating_point.margin
    assert told["weights_sha256"] == manifest.files["weights.safetensors"].sha256
    assert "Research tool, not a medical device" in told["limits"]
    baseline = json.loads(stated["baseline.tflite"])
    assert (baseline["network"], baseline["weights_sha256"]) == (
        "baseline",
        manifest.files["baseline.safetensors"].sha256,
    )


def documented():
    """Return the document's snippets by the file that they read."""
    text = DOCUMENT.read_text(encoding="utf-8").split("## Inside every file")[1].split("\n## ")[0]
    found = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        [path] = {name for name in (*OTHERS, "model_int8.tflite") if f'"{name}' in code}
        found[path] = code
    return found


@pytest.mark.parametrize("path", [*OTHERS, "model_int8.tflite"])
def test_the_documents_snippet_reads_it_with_the_formats_own_library(path, bundle):
    code = documented()[path] + "\nprint(json.dumps(facts))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tbconv" not in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(statements(bundle)[path])


@pytest.mark.parametrize("path", OTHERS)
def test_stating_it_changes_no_bit_of_an_answer(path, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "other", copy_function=os.link)
    label_files(tmp_path / "other", with_threshold(read_bundle(bundle).manifest, 7.5))
    np.save(tmp_path / "images.npy", np.random.default_rng(3).integers(0, 256, (2, 224, 224)).astype(np.uint8))
    answers = []
    for name, root in (("before", bundle), ("after", tmp_path / "other")):
        out = tmp_path / f"{name}.npz"
        request = {"artefact": str(root / path), "images": str(tmp_path / "images.npy"), "out": str(out)}
        run_step(RUNNERS[path], request)
        answers.append(read_prediction(out).logits)
    assert np.ptp(answers[0]) > 0
    assert np.array_equal(*answers)


def test_another_threshold_changes_the_files_that_state_it_and_back_again_to_the_bit(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle", copy_function=os.link)
    before, manifest = digests(bundle), read_bundle(bundle).manifest
    label_files(tmp_path / "bundle", with_threshold(manifest, 7.5))
    assert {json.loads(one)["operating_point"]["margin"] for one in statements(tmp_path / "bundle").values()} == {
        7.5,
        manifest.decision_rules["baseline"].operating_point.margin,
    }
    changed = {path for path, digest in digests(tmp_path / "bundle").items() if digest != before[path]}
    expected = {HOLDS.get(one.path, one.path) for one in manifest.artefacts if one.network == "trained"}
    assert changed == expected
    label_files(tmp_path / "bundle", manifest)
    assert digests(tmp_path / "bundle") == before
    assert digests(bundle) == before  # whose bytes the copy shared


def test_keras_files_that_are_stated_in_twice_from_the_same_are_the_same(bundle, tmp_path):
    made = []
    for name in ("one", "other"):
        shutil.copytree(bundle, tmp_path / name, copy_function=os.link)
        label_files(tmp_path / name, with_threshold(read_bundle(bundle).manifest, 1.25))
        made.append(digests(tmp_path / name))
    assert made[0] == made[1]


@pytest.mark.parametrize("path", OTHERS)
def test_a_stale_file_is_found_and_what_differs_is_named(path, bundle, own_bundle):
    manifest = read_bundle(own_bundle).manifest
    [artefact] = [one for one in manifest.artefacts if one.path == path]
    label_files(own_bundle, replace(with_threshold(manifest, 7.5), artefacts=(artefact,)))
    found = inconsistencies(_sealed(own_bundle, manifest))
    assert set(found) == {path}
    expected = manifest.decision_rules["trained"].operating_point.margin
    assert found[path] == f"stale or altered: it states operating_point margin is 7.5, expected {expected!r}"


def test_swapped_labels_and_other_weights_are_named_too(own_bundle):
    manifest = read_bundle(own_bundle).manifest
    swapped = replace(manifest, labels=replace(manifest.labels, negative="Sick", positive="Well"))
    [artefact] = [one for one in manifest.artefacts if one.path == "model.onnx"]
    (own_bundle / "weights.safetensors").rename(own_bundle / "kept")
    (own_bundle / "weights.safetensors").write_bytes(b"others")
    label_files(own_bundle, replace(swapped, artefacts=(artefact,)))
    (own_bundle / "kept").replace(own_bundle / "weights.safetensors")
    found = inconsistencies(_sealed(own_bundle, manifest))["model.onnx"]
    for words in ("labels negative is 'Sick', expected 'Normal'", "labels positive is 'Well'", "weights_sha256 is '"):
        assert words in found


@pytest.mark.parametrize(
    ("spoil", "path", "words"),
    [
        (lambda root: shutil.rmtree(root / "saved_model/assets.extra"), "saved_model", "states no labels"),
        (lambda root: (root / HOLDS["saved_model"]).write_text("{"), "saved_model", "cannot be read"),
        (lambda root: _drop_from_keras(root / "model.keras"), "model.keras", "states no labels"),
        (lambda root: (root / "model.h5").write_bytes(b"no HDF5"), "model.h5", "cut off or damaged"),
    ],
)
def test_a_file_that_states_nothing_is_found_where_others_do(spoil, path, words, own_bundle):
    manifest = read_bundle(own_bundle).manifest
    spoil(own_bundle)
    found = inconsistencies(_sealed(own_bundle, manifest))
    assert set(found) == {path}
    assert words in found[path]


def test_a_bundle_of_before_states_nothing_and_nothing_is_missed(own_bundle):
    manifest = read_bundle(own_bundle).manifest
    stated = dict.fromkeys(one.path for one in manifest.artefacts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convert.certificate.consistency.read_statements", lambda places: stated)
        assert inconsistencies(read_bundle(own_bundle)) == {}


def test_a_referral_is_stated_where_the_manifest_has_one(bundle):
    manifest = read_bundle(bundle).manifest

    referring, silent = (replace(manifest, referral=one) for one in ("a bacteriological test", None))
    assert "referral" not in silent.stated("trained")
    assert referring.stated("trained")["referral"] == "a bacteriological test"


def _sealed(root, manifest):
    """Seal a spoilt bundle as if nothing had happened, without labelling anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retell.label_files", lambda root, manifest: None)
        return label_again(root, manifest)


def _drop_from_keras(path):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(files["metadata.json"])
    del facts["tbconv"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {"metadata.json": json.dumps(facts).encode()}).items():
            archive.writestr(name, content)
