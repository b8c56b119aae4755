"""The one certificate of a bundle: a verdict per artefact, what all of them hold for, and which file to deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.certificate.consistency import inconsistencies
from convert.certificate.deployment import NO_TFLITE, Deployable, select_artefact
from convert.certificate.page import PAGE, certificate_page, sizes_of
from convert.certificate.robustness.report import card_lines
from convert.formats.table import ONNX, chosen_lines
from convert.parity.inputs import part_of
from convert.parity.measure import Measurement
from convert.parity.needs import find_needs
from convert.parity.report import PARITY, describe_inputs
from convert.worker import run_step
from tbconv.contract.bundle import CERTIFICATE, Bundle, folder_digest, read_json, seal
from tbconv.contract.certificate import RETUNE, ArtefactVerdict, Certificate, Proof, ProofVerdict, Verdict
from tbconv.contract.environment import package_versions, processor, provenance
from tbconv.contract.errors import NO_REFERRAL, ConversionError, Referral
from tbconv.contract.files import sha256_bytes, sha256_file, temporary_folder, write_json
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.preprocess import as_model_input
from tbconv.report_kit.front_matter import front_matter
from tbconv.report_kit.needs import in_words
from tbconv.report_kit.pages import Markdown, escape_markdown, render_card
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    METRICS,
    ROBUSTNESS,
    WEIGHTS,
    read_films,
    summary_lines,
)

CARD = "model_card.md"


def certify(
    folder: Path,
    run: Path | None,
    artefacts: tuple[Artefact, ...],
    measurement: Measurement,
    proofs: Mapping[str, Proof] | None = None,
    words: Referral = NO_REFERRAL,
) -> Certificate:
    """Return the certificate of a bundle in the making.

    Args:
        folder: the bundle, with every artefact in it.
        run: the run folder, for its calibration films; None where a bundle is certified anew.
        artefacts: what is judged.
        measurement: of these artefacts.
        proofs: by path: a file that is not its ONNX graph fails, whatever was measured of it.
        words: what a flag calls for.
    """
    proofs = proofs or {}
    digests = {p.relative_to(folder).as_posix(): sha256_file(p) for p in folder.rglob("*") if p.is_file()}
    verdicts: dict[str, ArtefactVerdict] = {}
    for artefact in artefacts:
        sha256 = digests.get(artefact.path) or folder_digest(digests, artefact.path)
        verdicts[artefact.path] = with_proof(measurement.judge(artefact, sha256), proofs.get(artefact.path))
    for path, needs in _find_needs(folder, artefacts, measurement).items():
        verdicts[path] = replace(verdicts[path], figures=verdicts[path].figures | {"needs": needs})
    candidates = _measure_latency(folder, artefacts, verdicts, measurement)
    verdicts |= {one.path: one.verdict for one in candidates}
    scope, deploy = certificate_scope(folder, run), select_artefact(candidates)
    if not candidates and any(one.network == "trained" for one in artefacts):
        deploy = {"artefact": None, "reason": NO_TFLITE, "others": {}}
    found = write_certificate(measurement, verdicts, scope, deploy, words)
    return replace(found, proofs=dict(proofs))


def with_proof(found: ArtefactVerdict, proof: Proof | None) -> ArtefactVerdict:
    """Return the verdict on films, or FAILED where the file was proven to be another network."""
    if proof is None or proof.verdict is not ProofVerdict.DIFFERENT:
        return found
    reason = f"it is not what {ONNX.path} computes: {proof.reason}; on films: {found.reason}"
    return replace(found, verdict=Verdict.FAILED, reason=reason)


def write_certificate(
    measurement: Measurement,
    verdicts: dict[str, ArtefactVerdict],
    scope: dict[str, Any],
    deploy: dict[str, Any],
    words: Referral = NO_REFERRAL,
) -> Certificate:
    """Return the certificate of these verdicts: on what was fed, by which tolerances, and where.

    Args:
        measurement: that the verdicts rest on.
        verdicts: by artefact.
        scope: what they hold for (`certificate_scope`).
        deploy: which file to serve, and why the others lost (convert.certificate.deployment).
        words: what a flag calls for.
    """
    return Certificate(
        artefacts=verdicts,
        inputs=describe_inputs(measurement.filmset),
        tolerances=measurement.tolerances_json(),
        environment=provenance(),
        disclaimer=words.disclaimer,
        scope=scope,
        deploy=deploy,
    )


def _find_needs(folder: Path, artefacts: tuple[Artefact, ...], measurement: Measurement) -> dict[str, dict[str, Any]]:
    """Return what the TFLite files need; ranges are those of the films that were measured, and of the drawn inputs."""
    served = [one for one in artefacts if one.is_served]
    floats = [one for one in served if one.precision != "int8"]
    groups = [[one.path for one in floats if one.network == network] for network in ("trained", "baseline")]
    films = np.concatenate([measurement.filmset.films, measurement.filmset.golden])
    return find_needs({one.path: folder / one.path for one in served}, groups, films)


def _measure_latency(
    folder: Path, artefacts: tuple[Artefact, ...], verdicts: dict[str, ArtefactVerdict], measurement: Measurement
) -> list[Deployable]:
    """Return the trained network's TFLite files with their latency, which their verdict's figures then hold, too."""
    files = [one for one in artefacts if one.is_served and one.network == "trained"]
    if not files:
        return []
    with temporary_folder("latency") as place:
        film = place / "film.npy"
        np.save(film, as_model_input(measurement.filmset.golden[-1:]))
        request = {"files": [str(folder / one.path) for one in files], "film": str(film)}
        taken = run_step("convert.runners.tflite:latency", request, threads=1)
    return [_candidate(folder, one, verdicts[one.path], taken[str(folder / one.path)]) for one in files]


def _candidate(folder: Path, artefact: Artefact, verdict: ArtefactVerdict, taken: dict[str, float]) -> Deployable:
    timed = replace(verdict, figures=verdict.figures | {"latency_ms": taken})
    size = (folder / artefact.path).stat().st_size
    return Deployable(artefact.path, artefact.precision, timed, size, taken["median"])


def float32_failures(artefacts: Sequence[Artefact], certificate: Certificate) -> dict[str, str]:
    """Return by path why float32 files are not what PyTorch computes: with one of them nothing is written."""
    exact = [one.path for one in artefacts if one.is_exact]
    found = certificate.artefacts.items()
    return {path: one.reason for path, one in found if path in exact and one.verdict is Verdict.FAILED}


def seal_reports(
    folder: Path,
    manifest: Manifest,
    measurement: Measurement,
    certificate: Certificate,
    report: dict[str, Any],
    *,
    fix: str,
) -> Manifest:
    """Write reports, certificate, page and card, seal the bundle, and see that all of it says the same.

    Args:
        folder: the bundle in the making, with all that the manifest is about.
        manifest: without its list of files.
        measurement: that the verdicts rest on.
        certificate: the verdicts.
        report: parity.json.
        fix: what to do where something contradicts the manifest.

    Raises:
        ConversionError: something does.
    """
    write_json(folder / PARITY, report)
    write_json(folder / CERTIFICATE, asdict(certificate))
    card = model_card(folder, manifest, certificate, report)
    if (folder / ROBUSTNESS).is_file():
        card += "".join(f"{line}\n" for line in card_lines(read_json(folder / ROBUSTNESS)))
    (folder / CARD).write_text(card, encoding="utf-8")
    page = draw_certificate(folder, manifest, measurement, certificate, report)
    (folder / PAGE).write_text(page, encoding="utf-8")
    manifest = seal(folder, manifest)
    problems = inconsistencies(Bundle(folder, manifest))
    if problems:
        raise ConversionError(
            f"{', '.join(problems)}: inconsistent with the manifest",
            why="; ".join(f"{path}: {problem}" for path, problem in problems.items()),
            fix=fix,
        )
    return manifest


def draw_certificate(
    folder: Path, manifest: Manifest, measurement: Measurement, certificate: Certificate, report: dict[str, Any]
) -> str:
    """Return certificate.html of a bundle in the making, with the answers film by film that no file keeps."""
    count = len(measurement.filmset.films)
    films = {name: part_of(answer, 0, count) for name, answer in measurement.answers.items()} if count else {}
    golden, sizes = read_golden(folder / GOLDEN), sizes_of(folder, manifest.artefacts)
    retuned = read_json(folder / RETUNE) if (folder / RETUNE).is_file() else None
    labels = measurement.filmset.labels
    return certificate_page(manifest, certificate, report, golden, films, labels, sizes=sizes, retuned=retuned)


# --- scope ---
# What a certificate holds for beyond its artefacts: weights, calibration films, versions, kernels, figures.

# How tf_serve.runtime.tflite opens a file, and how it was therefore measured.
KERNELS = {"runtime": "ai-edge-litert", "delegate": "XNNPACK", "threads": 1, "films_a_call": 1}


def certificate_scope(folder: Path, run: Path | None = None) -> dict[str, Any]:
    """Return what the verdicts on a bundle's files hold for, ready for JSON.

    Args:
        folder: of the bundle, with the weights and metrics.json of the run in it.
        run: the run folder, for its calibration films; None where a finished bundle is measured again.

    Returns:
        weights (SHA-256 by file), calibration (digests of the films that quantization saw, or None), packages,
        processor, kernels and metrics (each test figure with its 95 % interval and n, by network).

    Raises:
        BundleError: a file of the run cannot be read.
    """
    return {
        "weights": {name: sha256_file(folder / name) for name in (WEIGHTS, BASELINE) if (folder / name).is_file()},
        "calibration": None if run is None else _calibration(run / CALIBRATION_FILMS),
        "packages": package_versions(),
        "processor": processor(),
        "kernels": dict(KERNELS),
        "metrics": _metrics(folder / METRICS),
    }


def _calibration(path: Path) -> dict[str, Any] | None:
    """Return the digest of pixels and labels together, and that of the list of the films' own digests, in order."""
    if not path.is_file():
        return None
    films = read_films(path)
    listed = "".join(f"{sha256_bytes(model_input.tobytes())}\n" for model_input in films.model_inputs)
    return {"films": len(films.model_inputs), "sha256": films.digest, "list_sha256": sha256_bytes(listed.encode())}


def _metrics(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    networks = read_json(path).get("networks", {})
    return {name: rows["test"]["figures"] for name, rows in networks.items() if rows.get("test")}


# --- model card ---
# model_card.md: what the model is, on what it was measured, and what it is not for.

CARD_TEMPLATE = Path(__file__).with_name("model_card.md.j2")
INTENDED = (
    "Intended for research on converting and serving chest X-ray classifiers. It must not decide about a patient, "
    "and it was not examined by any authority."
)


def model_card(folder: Path, manifest: Manifest, certificate: Certificate, report: dict[str, Any]) -> str:
    """Return the card as Markdown with front matter, made from the bundle's own JSON.

    Args:
        folder: the bundle in the making, with metrics.json.
        manifest: of the bundle.
        certificate: its verdicts.
        report: parity.json.
    """
    figures = "Not stored."
    if (folder / METRICS).is_file():
        metrics = read_json(folder / METRICS)
        names = {key: escape_markdown(str(name)) for key, name in metrics["labels"].items()}
        said = {"labels": names, "disclaimer": escape_markdown(manifest.words.disclaimer)}
        figures = Markdown("\n".join(summary_lines(metrics | said)))
    trained = manifest.kind == "trained"
    return front_matter(manifest, certificate) + render_card(
        CARD_TEMPLATE,
        manifest=manifest,
        kind="A trained network" if trained else "The baseline alone: no trained network is in here",
        films="SYNTHETIC phantoms (drawn, no patients)" if manifest.synthetic else "films",
        facts=_card_facts(manifest),
        figures=figures,
        inputs=report["inputs"]["description"],
        certificate=certificate,
        needs={path: in_words(row.figures.get("needs")) for path, row in certificate.artefacts.items()},
        formats=chosen_lines(certificate.scope.get("formats") or {}),
        limits=[INTENDED, *manifest.words.limits],
    )


def _card_facts(manifest: Manifest) -> list[str]:
    training, spec = manifest.provenance["training"], manifest.preprocessing
    adopted = training.get("adopted")
    origin = f"trained at commit {training.get('git_commit') or 'unknown'}, GPU {training.get('gpu') or 'none'}"
    if adopted is not None:
        checkpoint = f"a checkpoint, SHA-256 {adopted['sha256'][:12]}, {adopted['arch']}"
        origin = f"adopted from {checkpoint}; who trained it and on what is not known here"
    return [
        f"input: one grey film, padded with {spec.pad} to a square, {spec.size} x {spec.size}, values {spec.values}",
        "outputs: logits (negative, positive), calibrated probability, evidence 7 x 7 with margin = mean(evidence)",
        f"split {str(training.get('split_digest'))[:12]}, data {str(training.get('data_digest'))[:12]} (SHA-256)",
        origin,
    ]
