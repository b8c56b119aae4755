import json
import math

import pytest

from tbconv.contract.certificate import Certificate, Verdict
from tbconv.contract.errors import ArtefactError, BundleError, TbconvError
from tbconv.contract.manifest import SCHEMA_VERSION, FileRecord, Manifest


def _through_json(manifest):
    return json.loads(json.dumps(manifest.to_json(), allow_nan=False))


def test_a_manifest_comes_back_from_json_as_it_was(manifest):
    from dataclasses import replace

    whole = replace(manifest, files={"model.onnx": FileRecord("a" * 64, 12)})
    assert Manifest.from_json(_through_json(whole)) == whole


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, str(SCHEMA_VERSION + 1)),
        ({"kind": "magic"}, "magic"),
        ({"labels": {"negative": "TB", "positive": "TB"}}, "TB"),
        ({"decision_rules": {"trained": {}}}, "calibration"),
        ({"artefacts": [{"path": "model.onnx"}]}, "inputs"),
        ({"files": []}, "items"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused_with_the_reason(manifest, change, word):
    with pytest.raises(BundleError, match="cannot be understood") as caught:
        Manifest.from_json(_through_json(manifest) | change)
    assert word in caught.value.why


@pytest.mark.parametrize("field", ["name", "labels", "decision_rules", "artefacts", "files", "schema_version"])
def test_a_manifest_without_a_field_is_refused_and_the_field_named(manifest, field):
    value = _through_json(manifest)
    del value[field]
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(value)
    assert repr(field) in caught.value.why


@pytest.mark.parametrize("value", [[], "manifest", 3, None])
def test_a_manifest_that_is_no_object_is_refused(value):
    with pytest.raises(BundleError, match="cannot be understood"):
        Manifest.from_json(value)


def test_nan_in_a_stored_operating_point_is_refused(manifest):
    value = _through_json(manifest)
    value["decision_rules"]["trained"]["operating_point"]["margin"] = math.nan
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(value)
    assert "finite" in caught.value.why


def test_an_artefact_that_is_not_there_is_answered_with_those_that_are(manifest):
    assert manifest.artefact("saved_model").format == "saved_model"
    with pytest.raises(BundleError, match=r"no model_int8\.tflite") as caught:
        manifest.artefact("model_int8.tflite")
    assert "saved_model, baseline.tflite" in caught.value.why


def test_only_certified_and_bounded_files_may_serve():
    assert [verdict for verdict in Verdict if verdict.may_serve] == [Verdict.CERTIFIED, Verdict.BOUNDED]


def test_a_verdict_of_an_unknown_word_is_no_certificate():
    row = {"verdict": "FINE", "sha256": "0", "reason": "", "figures": {}}
    with pytest.raises(ValueError, match="FINE"):
        Certificate.from_json({"artefacts": {"model.onnx": row}})


def test_an_error_keeps_its_three_parts_over_a_process_boundary():
    import pickle

    error = pickle.loads(pickle.dumps(ArtefactError("model.h5 is missing", why="it was moved", fix="restore it")))
    assert type(error) is ArtefactError
    assert isinstance(error, TbconvError)
    assert str(error) == "model.h5 is missing\n  why: it was moved\n  fix: restore it"
