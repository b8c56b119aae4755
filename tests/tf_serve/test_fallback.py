"""Hold the one rule of the fallback: `ArtefactError` leads to the baseline, nothing else does."""

import time
from dataclasses import replace

import pytest

from tbconv.contract.bundle import Bundle, read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError
from tbconv.contract.manifest import FileRecord
from tf_serve.fallback import choose_checked, choose_model

CERTIFIED, BOUNDED, FAILED, UNVERIFIED = Verdict.CERTIFIED, Verdict.BOUNDED, Verdict.FAILED, Verdict.UNVERIFIED
CANNOT_SAY = Verdict.CANNOT_SAY


def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def verdicts(*, float32=CERTIFIED, int8=BOUNDED, baseline=CERTIFIED):
    return {"model_float32.tflite": float32, "model_int8.tflite": int8, "baseline.tflite": baseline}


def test_the_fastest_file_whose_verdict_may_serve_answers(make_bundle):
    fast = choose_model(read_bundle(make_bundle("fast")))
    assert (fast.kind, fast.artefact, fast.reason) == ("trained", "model_int8.tflite", None)
    exact = choose_model(read_bundle(make_bundle("exact", verdicts=verdicts(int8=FAILED))))
    assert (exact.kind, exact.artefact, exact.verdict.verdict) == ("trained", "model_float32.tflite", CERTIFIED)


def test_a_file_can_be_asked_for_by_name(bundle):
    assert choose_model(bundle, artefact="model_float32.tflite").artefact == "model_float32.tflite"
    baseline = choose_model(bundle, artefact="baseline.tflite")
    assert (baseline.kind, baseline.reason) == ("baseline", "the baseline was requested by name")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(lambda path: path.unlink(), "model_int8.tflite is missing"), (alter, "model_int8.tflite has digest")],
)
def test_a_served_file_missing_or_altered_brings_the_baseline_with_the_reason(bundle, damage, reason):
    damage(bundle.root / "model_int8.tflite")
    active = choose_model(bundle)
    assert (active.kind, active.artefact) == ("baseline", "baseline.tflite")
    assert active.reason.startswith(reason)
    assert active.decision_rule.operating_point.margin == 0.1


@pytest.mark.parametrize("lost", [FAILED, CANNOT_SAY, UNVERIFIED, None])
def test_without_a_verdict_on_any_trained_file_the_baseline_answers(make_bundle, lost):
    active = choose_model(read_bundle(make_bundle(verdicts=verdicts(float32=lost, int8=lost))))
    assert active.kind == "baseline"
    assert str(lost or UNVERIFIED) in active.reason


@pytest.mark.parametrize(("damage", "word"), [(lambda path: path.unlink(), "missing"), (alter, "digest")])
def test_a_lost_certificate_of_schema_1_brings_the_baseline_and_calls_it_unverified(bundle, as_schema_1, damage, word):
    as_schema_1(bundle.root)
    damage(bundle.root / "certificate.json")
    active = choose_model(read_bundle(bundle.root))
    assert (active.kind, active.verdict.verdict) == ("baseline", UNVERIFIED)
    assert word in active.reason


@pytest.mark.parametrize(("damage", "word"), [(lambda path: path.unlink(), "is missing"), (alter, "digest")])
def test_without_the_certificate_that_binds_it_nothing_of_a_bundle_answers(bundle, damage, word):
    damage(bundle.root / "certificate.json")
    with pytest.raises(BundleError, match=word) as refused:
        choose_model(bundle)
    assert not isinstance(refused.value, ArtefactError)


def test_a_bundle_without_a_trained_network_says_so(make_bundle):
    active = choose_model(read_bundle(make_bundle(kind="baseline", verdicts={"baseline.tflite": CERTIFIED})))
    assert (active.kind, active.reason) == ("baseline", "no trained model is in the bundle")


def test_a_broken_baseline_is_not_hidden(bundle):
    (bundle.root / "model_int8.tflite").unlink()
    alter(bundle.root / "baseline.tflite")
    with pytest.raises(ArtefactError, match=r"baseline\.tflite has digest"):
        choose_model(bundle)


def test_a_file_of_which_too_little_is_known_answers_neither_by_itself_nor_by_name(make_bundle):
    bundle = read_bundle(make_bundle(verdicts=verdicts(float32=CANNOT_SAY, int8=BOUNDED)))
    named = choose_model(bundle, artefact="model_float32.tflite")
    assert (named.kind, "its verdict is CANNOT SAY" in named.reason) == ("baseline", True)


@pytest.mark.parametrize("lost", [FAILED, CANNOT_SAY])
def test_a_baseline_that_failed_or_of_which_too_little_is_known_does_not_stand_in(make_bundle, lost):
    root = make_bundle(verdicts=verdicts(float32=FAILED, int8=FAILED, baseline=lost))
    with pytest.raises(ArtefactError, match=r"baseline\.tflite may not serve"):
        choose_model(read_bundle(root))


def test_a_damaged_network_that_was_certified_brings_the_baseline(make_bundle, networks, tmp_path):
    whole = (networks / "model_int8.tflite").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    active = choose_model(read_bundle(make_bundle(sources={"model_int8.tflite": tmp_path / "cut"})))
    assert (active.kind, "is damaged" in active.reason) == ("baseline", True)


def test_every_other_error_passes_through(bundle):
    with pytest.raises(BundleError, match=r"model_int4\.tflite"):
        choose_model(bundle, artefact="model_int4.tflite")
    manifest = bundle.manifest
    seal(bundle.root, replace(manifest, decision_rules={"baseline": manifest.decision_rules["baseline"]}, files={}))
    with pytest.raises(BundleError, match="no decision_rule of the trained network"):
        choose_model(read_bundle(bundle.root))


def test_a_file_that_litert_cannot_read_is_refused_by_its_name(bundle):
    onnx = replace(bundle.manifest.artefacts[0], path="model.onnx", format="onnx")
    seal(bundle.root, replace(bundle.manifest, artefacts=(*bundle.manifest.artefacts, onnx), files={}))
    with pytest.raises(ConfigError, match=r"model\.onnx"):
        choose_model(read_bundle(bundle.root), artefact="model.onnx")


def test_a_bundle_whose_signature_is_refused_is_not_read_through(bundle, monkeypatch):
    class Refusing:
        def check_bundle(self, bundle):
            raise BundleError("no signature", why="of a test", fix="none")

    read = []
    monkeypatch.setattr(Bundle, "problem_of", lambda self, name: read.append(name))
    with pytest.raises(BundleError, match="no signature"):
        choose_checked(bundle, signature=Refusing())
    assert read == []


def test_where_no_file_may_answer_nobody_waits_for_the_digests_of_the_others(bundle, as_schema_1, monkeypatch):
    bundle = read_bundle(as_schema_1(bundle.root))
    others = {f"x{number}": FileRecord("0" * 64, 1) for number in range(50)}
    many = replace(bundle.manifest, files={**bundle.manifest.files, **others})
    read = []
    monkeypatch.setattr(Bundle, "problem_of", lambda self, name: read.append(name) or time.sleep(0.2))
    for name in ("model_int8.tflite", "baseline.tflite"):
        (bundle.root / name).unlink()
    with pytest.raises(ArtefactError, match="baseline"):
        choose_checked(replace(bundle, manifest=many))
    assert len(read) < 10
