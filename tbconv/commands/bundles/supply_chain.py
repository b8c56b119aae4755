"""A bundle as the tools of a supply chain read it: a CycloneDX ML-BOM, and an in-toto Test Result attestation.

Both are about one digest, the SHA-256 of manifest.json: it names every file's digest and is bound to the certificate.
Both are derived from the bundle alone, so the same bundle gives the same bytes; neither is signed here. Formats:
CycloneDX 1.6 (ECMA-424, https://cyclonedx.org/docs/1.6/json/) and
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md (v0.1), Statement v1.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from tbconv.contract import __version__
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, Bundle, parse_json
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Proof, ProofVerdict, Verdict
from tbconv.contract.consistency import UNBOUND, Binding, check_binding
from tbconv.contract.errors import BundleError
from tbconv.contract.golden import GOLDEN
from tbconv.contract.manifest import VERSION_DIGITS, Artefact, TensorSpec
from torch_train.run_folder import BASELINE, METRICS, WEIGHTS

Json = dict[str, Any]

BOM_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
MODEL = "model"  # the bundle's own bom-ref; a file's is its path, a package's its purl
# Ends a test: passed, warned or failed. CANNOT SAY is a warning: it was measured, on too little.
RESULTS = {
    Verdict.CERTIFIED: "passed",
    Verdict.BOUNDED: "warned",
    Verdict.CANNOT_SAY: "warned",
    Verdict.FAILED: "failed",
    Verdict.UNVERIFIED: "failed",
}
PROOF_RESULTS = {
    ProofVerdict.EQUIVALENT: "passed",
    ProofVerdict.UNKNOWN: "warned",
    ProofVerdict.DIFFERENT: "failed",
}


def require_whole(bundle: Bundle) -> tuple[Certificate, dict[str, ArtefactVerdict]]:
    """Return certificate and verdicts of a bundle that others may be told about; UNVERIFIED what it does not name.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: its manifest is not the one that was certified, or nothing ties the two.
    """
    bundle.verify_digests()
    if check_binding(bundle) is Binding.UNBOUND:
        fix = f"tbconv upgrade {bundle.root} --out NEW"
        raise BundleError(f"{bundle.root} cannot be vouched for", why=UNBOUND, fix=fix)
    return bundle.certificate(), {one.path: bundle.verdict(one.path) for one in bundle.manifest.artefacts}


# --- attestation ---


def test_result(bundle: Bundle) -> Json:
    """Return the certificate's verdicts as an in-toto Statement with a Test Result.

    Tests are called `parity FILE` (CERTIFIED passes, BOUNDED and CANNOT SAY warn, FAILED and UNVERIFIED fail) and
    `proof FILE` (EQUIVALENT passes, CANNOT SAY warns, NOT EQUIVALENT fails). As the predicate has it, one failed test
    makes the result FAILED, though a bundle may hold a reduced file that failed and is not served: a policy that asks
    for one file looks for its test, and the verdicts' words are annotations of certificate.json.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: nothing ties manifest and certificate.
    """
    certificate, verdicts = require_whole(bundle)
    found: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for path, verdict in sorted(verdicts.items()):
        found[RESULTS[verdict.verdict]].append(f"parity {path}")
    for path, proof in sorted(certificate.proofs.items()):
        found[PROOF_RESULTS[proof.verdict]].append(f"proof {path}")
    result = "FAILED" if found["failed"] or not found["passed"] else "WARNED" if found["warned"] else "PASSED"
    in_words = {
        path: {"verdict": str(one.verdict), "sha256": one.sha256, "reason": one.reason}
        for path, one in sorted(verdicts.items())
    }
    verdicts_of = {"annotations": {"tbconv": __version__, "verdicts": in_words}}
    measured_with = [name for name in (GOLDEN, METRICS, WEIGHTS, BASELINE) if name in bundle.manifest.files]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": MANIFEST, "digest": {"sha256": bundle.sha256}}],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": result,
            "configuration": [
                _descriptor(bundle, CERTIFICATE) | verdicts_of,
                *(_descriptor(bundle, name) for name in measured_with),
            ],
            **{f"{name}Tests": tests for name, tests in found.items()},
        },
    }


def _descriptor(bundle: Bundle, name: str) -> Json:
    return {"name": name, "digest": {"sha256": bundle.manifest.files[name].sha256}}


# --- bill of materials ---


def bill_of_materials(bundle: Bundle) -> Json:
    """Return what a bundle is and is made of as a CycloneDX 1.6 ML-BOM.

    The model with its card (task, network, films by digest, test figures with intervals, limits), every converted file
    with digest, verdict, converter and reader, every other file with its digest, and the packages that made them.

    Raises:
        ArtefactError: a file is missing or altered.
        BundleError: nothing ties manifest and certificate.
    """
    (certificate, verdicts), manifest = require_whole(bundle), bundle.manifest
    converted, proofs = {one.path: one for one in manifest.artefacts}, certificate.proofs
    inside = tuple(f"{path}/" for path in converted)
    others = [name for name in sorted(manifest.files) if name not in converted and not name.startswith(inside)]
    packages = list(_packages(bundle))
    return {
        "$schema": BOM_SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{bundle.sha256}").urn,  # the same for the same bundle
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "tbconv", "version": __version__}]},
            "component": _model(bundle, certificate),
        },
        "components": [
            *(_artefact(bundle, one, verdicts[one.path], proofs.get(one.path)) for one in manifest.artefacts),
            *(_file(name, manifest.files[name].sha256) for name in others),
            *packages,
        ],
        "dependencies": [
            {"ref": MODEL, "dependsOn": [*converted, *others, *(one["bom-ref"] for one in packages)]},
            *({"ref": path, "dependsOn": _made_of(bundle, one)} for path, one in converted.items()),
        ],
    }


def _made_of(bundle: Bundle, artefact: Artefact) -> list[str]:
    weights = BASELINE if artefact.network == "baseline" else WEIGHTS
    return [weights] if weights in bundle.manifest.files else []


def _model(bundle: Bundle, certificate: Certificate) -> Json:
    manifest = bundle.manifest
    facts: Json = {"kind": manifest.kind, "synthetic": str(manifest.synthetic).lower()}
    facts |= {"labels.negative": manifest.labels.negative, "labels.positive": manifest.labels.positive}
    for network, rule in sorted(manifest.decision_rules.items()):
        facts[f"{network}.threshold"] = repr(rule.operating_point.margin)
        facts[f"{network}.calibration"] = f"slope {rule.calibration.slope!r}, offset {rule.calibration.offset!r}"
        facts[f"{network}.chosen_on"] = rule.operating_point.chosen_on
    facts["deploy"] = certificate.proposal or "nothing is proposed"
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": manifest.name,
        "version": bundle.sha256[:VERSION_DIGITS],
        "description": f"Looks for signs of {manifest.labels.positive} on one frontal chest X-ray.",
        "hashes": _hashes(bundle.sha256),
        "modelCard": _card(bundle, certificate),
        "properties": _properties(facts),
    }


def _card(bundle: Bundle, certificate: Certificate) -> Json:
    manifest = bundle.manifest
    first = manifest.artefacts[0]
    parameters: Json = {
        "approach": {"type": "supervised"},
        "task": "binary classification of one frontal chest X-ray",
        "architectureFamily": "convolutional neural network" if manifest.kind == "trained" else "logistic regression",
        "inputs": [{"format": _format(one)} for one in first.inputs],
        "outputs": [{"format": _format(one)} for one in first.outputs],
    }
    if manifest.provenance.get("arch"):
        parameters["modelArchitecture"] = manifest.provenance["arch"]
    training = manifest.provenance.get("training") or {}
    films = {name: training[name] for name in ("data_digest", "split_digest") if training.get(name)}
    if films:
        kind = "drawn phantoms" if manifest.synthetic else "films"
        named = {"type": "dataset", "name": f"the {kind} of the run", "contents": {"properties": _properties(films)}}
        parameters["datasets"] = [named]
    limits = [certificate.disclaimer] if certificate.disclaimer else []
    if manifest.synthetic:
        limits.append("It was trained on drawn phantoms: it says nothing of patients.")
    card: Json = {"modelParameters": parameters, "considerations": {"technicalLimitations": limits}}
    figures = list(_figures(bundle))
    return card | ({"quantitativeAnalysis": {"performanceMetrics": figures}} if figures else {})


def _figures(bundle: Bundle) -> Iterator[Json]:
    """Yield the test figures of the run with their 95 % intervals; runs without labels or figures have none."""
    if METRICS not in bundle.manifest.files:
        return
    networks = parse_json(bundle.read(METRICS), METRICS).get("networks", {})
    for network, rows in sorted(networks.items()):
        figures = (rows.get("test") or {}).get("figures", {})
        for name, one in sorted(figures.items()):
            if one.get("value") is None:
                continue
            metric = {"type": name, "value": repr(one["value"]), "slice": f"{network}, test films, n = {one.get('n')}"}
            if one.get("low") is not None and one.get("high") is not None:
                bounds = {"lowerBound": repr(one["low"]), "upperBound": repr(one["high"])}
                metric |= {"confidenceInterval": bounds}
            yield metric


def _format(one: TensorSpec) -> str:
    sides = ", ".join("N" if side < 0 else str(side) for side in one.shape)
    return f"{one.name}: {one.dtype} [{sides}]"


def _artefact(bundle: Bundle, artefact: Artefact, verdict: ArtefactVerdict, proof: Proof | None) -> Json:
    facts = {
        "format": artefact.format,
        "precision": artefact.precision,
        "network": artefact.network,
        "converter": artefact.converter,
        "reader": artefact.reader,
        "verdict": str(verdict.verdict),
        "reason": verdict.reason,
        "abstention_band": repr(verdict.abstention_band),
    } | ({} if proof is None else {"proof": f"{proof.verdict}: {proof.reason}"})
    found = {"type": "machine-learning-model", "bom-ref": artefact.path, "name": artefact.path}
    if artefact.path in bundle.manifest.files:
        return found | {"hashes": _hashes(bundle.digest(artefact.path)), "properties": _properties(facts)}
    inside = [name for name in sorted(bundle.manifest.files) if name.startswith(f"{artefact.path}/")]
    files = [_file(name, bundle.manifest.files[name].sha256) for name in inside]
    facts["folder_sha256"] = bundle.digest(artefact.path)  # of names and digests, no file's (docs/bundle.md)
    return found | {"properties": _properties(facts), "components": files}


def _file(name: str, sha256: str) -> Json:
    return {"type": "file", "bom-ref": name, "name": name, "hashes": _hashes(sha256)}


def _packages(bundle: Bundle) -> Iterator[Json]:
    """Yield the packages that trained and converted, each version once."""
    seen: dict[tuple[str, str], list[str]] = {}
    for part in ("training", "conversion"):
        packages = (bundle.manifest.provenance.get(part) or {}).get("packages") or {}
        for name, version in packages.items():
            seen.setdefault((str(name), str(version)), []).append(part)
    for (name, version), parts in sorted(seen.items()):
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        used = _properties({"used_in": ", ".join(parts)})
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "properties": used}


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]


def _properties(facts: Json) -> list[Json]:
    return [{"name": f"tbconv:{name}", "value": str(value)} for name, value in facts.items()]
