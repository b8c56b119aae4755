"""model_card.md: what the model is, on what it was measured, and what it is not for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.bundle import read_json
from tbconv.contract.certificate import Certificate
from tbconv.contract.manifest import Manifest
from tbconv.contract.reporting import LIMITS
from torch_train.run_folder import METRICS, summary_lines

INTENDED = (
    "Intended for research on converting and serving chest X-ray classifiers. It must not decide about a patient, "
    "and it was not examined by any authority."
)


def model_card(folder: Path, manifest: Manifest, certificate: Certificate, report: dict[str, Any]) -> str:
    """Return the card as Markdown, made from the bundle's own JSON.

    Args:
        folder: the bundle in the making, with metrics.json.
        manifest: of the bundle.
        certificate: its verdicts.
        report: parity.json.
    """
    lines = [f"# {manifest.name}", "", *_what(manifest), "", "## Figures of the training run", ""]
    lines += summary_lines(read_json(folder / METRICS)) if (folder / METRICS).is_file() else ["Not stored."]
    lines += ["", "## Files and their parity with PyTorch", "", f"Measured on {report['inputs']['description']}.", ""]
    lines += ["| file | verdict | reason |", "|---|---|---|"]
    lines += [f"| `{path}` | {row.verdict} | {row.reason} |" for path, row in certificate.artefacts.items()]
    if certificate.proposal is not None:
        lines += ["", f"Proposed for serving: {certificate.proposal}."]
    lines += ["", "## Limits", "", f"- {INTENDED}", *(f"- {limit}" for limit in LIMITS)]
    return "\n".join(lines) + "\n"


def _what(manifest: Manifest) -> list[str]:
    kind = "A trained network" if manifest.kind == "trained" else "The baseline alone: no trained network is in here"
    films = "SYNTHETIC phantoms (drawn, no patients)" if manifest.synthetic else "films"
    training, spec = manifest.provenance["training"], manifest.preprocessing
    return [
        f"{kind}, {manifest.labels.positive} against {manifest.labels.negative}, from {films}.",
        "",
        f"- input: one grey film, padded with {spec.pad} to a square, {spec.size} x {spec.size}, values {spec.values}",
        "- outputs: logits (negative, positive), calibrated probability, evidence 7 x 7 with margin = mean(evidence)",
        f"- split {str(training.get('split_digest'))[:12]}, data {str(training.get('data_digest'))[:12]} (SHA-256)",
        _origin(training),
    ]


def _origin(training: dict[str, Any]) -> str:
    adopted = training.get("adopted")
    if adopted is None:
        return f"- trained at commit {training.get('git_commit') or 'unknown'}, GPU {training.get('gpu') or 'none'}"
    checkpoint = f"a checkpoint, SHA-256 {adopted['sha256'][:12]}, {adopted['arch']}"
    return f"- adopted from {checkpoint}; who trained it and on what is not known here"
