"""A bundle as the tools of a supply chain read it, held to the formats' own schemas."""

import json
from dataclasses import asdict, replace

import pytest

from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal
from tbconv.contract.certificate import Proof, ProofVerdict, Verdict
from tbconv.contract.files import sha256_file, write_json

FIGURES = {
    "sensitivity": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40, "method": "Clopper-Pearson"},
    "auroc": {"value": None, "low": None, "high": None, "n": 40, "method": "one class alone"},
}


@pytest.fixture
def whole(bundle):
    """The drawn bundle with figures, packages, a proof and a verdict on every file, sealed anew."""
    write_json(bundle / "metrics.json", {"networks": {"trained": {"test": {"figures": FIGURES}}}})
    return judged(bundle, Verdict.CERTIFIED)


def judged(root, verdict, proof=ProofVerdict.EQUIVALENT):
    """Give the SavedModel of a bundle another verdict and proof, as `convert` would have."""
    manifest, certificate = read_bundle(root).manifest, read_bundle(root).certificate()
    sealed = seal(root, replace(manifest, files={}))
    digest = replace(read_bundle(root), manifest=sealed).digest("saved_model")
    row = replace(certificate.artefacts["baseline.tflite"], verdict=verdict, sha256=digest)
    rows = certificate.artefacts | {"saved_model": row}
    proofs = {"saved_model": Proof(proof, "the same graph")}
    write_json(root / CERTIFICATE, asdict(replace(certificate, artefacts=rows, proofs=proofs)))
    packages = {"packages": {"torch": "2.11.0", "scikit-learn": "1.9.1"}}
    provenance = manifest.provenance | {"conversion": packages} | {"training": packages | {"data_digest": "d" * 64}}
    seal(root, replace(manifest, provenance=provenance, files={}))
    return root


@pytest.fixture
def shown(tbconv, whole, tmp_path):
    """Return a function that has both written, and returns them."""

    def call(*words):
        places = tmp_path / "bom.json", tmp_path / "attestation.json"
        done = tbconv("show", whole, "--bom", places[0], "--attestation", places[1], *words)
        assert done.returncode == 0, done.stderr
        return tuple(json.loads(place.read_text()) for place in places)

    return call


def test_the_bill_is_valid_by_the_official_strict_schema(shown):
    pytest.importorskip("jsonschema", reason="the schemas' validator is not installed")
    validation = pytest.importorskip("cyclonedx.validation.json", reason="CycloneDX's schemas are not installed")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    bom, _ = shown()
    assert validator.validate_str(json.dumps(bom)) is None
    assert validator.validate_str(json.dumps(bom | {"verdict": "CERTIFIED"})) is not None


def test_the_attestation_is_valid_by_the_official_messages(shown):
    json_format = pytest.importorskip("google.protobuf.json_format")
    messages = pytest.importorskip("in_toto_attestation.predicates.test_result.v0.test_result_pb2")
    statements = pytest.importorskip("in_toto_attestation.v1.statement")
    plain = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    _, found = shown()
    statements.Statement.copy_from_pb(json_format.ParseDict(found, plain.Statement())).validate()
    result = json_format.ParseDict(found["predicate"], messages.TestResult())
    assert result.result == "PASSED"
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(found["predicate"] | {"verdict": "PASSED"}, messages.TestResult())


def test_both_are_about_the_digest_of_the_manifest(shown, whole):
    bom, attestation = shown()
    digest = sha256_file(whole / MANIFEST)
    assert attestation["subject"] == [{"name": MANIFEST, "digest": {"sha256": digest}}]
    assert attestation["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    model = bom["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert (model["type"], model["version"]) == ("machine-learning-model", digest[:12])
    [certificate] = [one for one in attestation["predicate"]["configuration"] if one["name"] == CERTIFICATE]
    assert certificate["digest"] == {"sha256": sha256_file(whole / CERTIFICATE)}
    assert certificate["annotations"]["verdicts"]["baseline.tflite"]["verdict"] == "CERTIFIED"


def hashes(components):
    """Yield the name and digest of every file, at any depth."""
    for one in components:
        for entry in one.get("hashes", []):
            yield one["name"], entry["content"]
        yield from hashes(one.get("components", []))


def test_the_bill_lists_every_file_of_the_bundle_once_with_its_digest(shown, whole):
    bom, _ = shown()
    expected = {name: record.sha256 for name, record in read_bundle(whole).manifest.files.items()}
    found = list(hashes(bom["components"]))
    assert len(found) == len(expected)
    assert dict(found) == expected
    refs = {one["bom-ref"] for one in bom["components"]} | {"model"}
    assert {one for row in bom["dependencies"] for one in (row["ref"], *row["dependsOn"])} <= refs


def test_the_bill_says_figures_with_intervals_packages_and_films_by_digest(shown):
    bom, _ = shown()
    card = bom["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "sensitivity",
            "value": "0.9",
            "slice": "trained, test films, n = 40",
            "confidenceInterval": {"lowerBound": "0.8", "upperBound": "0.95"},
        }
    ]
    assert {one["purl"] for one in bom["components"] if one["type"] == "library"} == {
        "pkg:pypi/torch@2.11.0",
        "pkg:pypi/scikit-learn@1.9.1",
    }
    [films] = card["modelParameters"]["datasets"]
    assert films["contents"]["properties"] == [{"name": "tbconv:data_digest", "value": "d" * 64}]
    assert any("drawn phantoms" in one for one in card["considerations"]["technicalLimitations"])


@pytest.mark.parametrize(
    ("verdict", "proof", "result", "parity_in", "proof_in"),
    [
        (Verdict.CERTIFIED, ProofVerdict.EQUIVALENT, "PASSED", "passedTests", "passedTests"),
        (Verdict.BOUNDED, ProofVerdict.EQUIVALENT, "WARNED", "warnedTests", "passedTests"),
        (Verdict.CANNOT_SAY, ProofVerdict.EQUIVALENT, "WARNED", "warnedTests", "passedTests"),
        (Verdict.CERTIFIED, ProofVerdict.UNKNOWN, "WARNED", "passedTests", "warnedTests"),
        (Verdict.FAILED, ProofVerdict.EQUIVALENT, "FAILED", "failedTests", "passedTests"),
        (Verdict.CERTIFIED, ProofVerdict.DIFFERENT, "FAILED", "passedTests", "failedTests"),
        (Verdict.UNVERIFIED, ProofVerdict.EQUIVALENT, "FAILED", "failedTests", "passedTests"),
    ],
)
def test_each_verdict_ends_where_a_policy_looks_for_it(verdict, proof, result, parity_in, proof_in, shown, whole):
    judged(whole, verdict, proof)
    predicate = shown()[1]["predicate"]
    assert predicate["result"] == result
    assert "parity saved_model" in predicate[parity_in]
    assert "proof saved_model" in predicate[proof_in]
    assert "parity baseline.tflite" in predicate["passedTests"]
    assert sum(len(predicate[f"{name}Tests"]) for name in ("passed", "warned", "failed")) == 3


def test_a_file_that_the_certificate_does_not_name_fails(tbconv, bundle, tmp_path):
    done = tbconv("show", bundle, "--attestation", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.json").read_text())["predicate"]["failedTests"] == ["parity saved_model"]


def test_the_same_bundle_gives_the_same_bytes(shown, tmp_path):
    shown()
    before = [(tmp_path / name).read_bytes() for name in ("bom.json", "attestation.json")]
    shown("--json")
    assert [(tmp_path / name).read_bytes() for name in ("bom.json", "attestation.json")] == before


def test_nothing_is_said_of_a_bundle_that_was_altered(tbconv, whole, tmp_path):
    (whole / "model.onnx").write_bytes(b"other")
    for option in ("--bom", "--attestation"):
        done = tbconv("show", whole, option, tmp_path / "said.json")
        assert (done.returncode, "model.onnx" in done.stderr) == (1, True)
        assert not (tmp_path / "said.json").exists()


def test_nothing_is_said_of_a_bundle_whose_threshold_was_edited(tbconv, whole, tmp_path):
    text = (whole / MANIFEST).read_text()
    (whole / MANIFEST).write_text(text.replace('"margin": 0.25', '"margin": 0.5'))
    done = tbconv("show", whole, "--attestation", tmp_path / "said.json")
    assert (done.returncode, "not the one that was certified" in done.stderr) == (1, True)
    assert not (tmp_path / "said.json").exists()


@pytest.mark.parametrize("option", ["--bom", "--attestation"])
def test_nothing_is_written_into_a_bundle(option, tbconv, whole):
    done = tbconv("show", whole, option, whole / "said.json")
    assert done.returncode == 1
    assert f"{option} {whole / 'said.json'} lies inside the bundle" in done.stderr
    assert f"fix: name a place beside the bundle: {option} " in done.stderr
    assert not (whole / "said.json").exists()
