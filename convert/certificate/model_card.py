"""model_card.md: what the model is, on what it was measured, and what it is not for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.bundle import read_json
from tbconv.contract.certificate import Certificate
from tbconv.contract.manifest import Manifest
from tbconv.contract.reporting import LIMITS
from tbconv.report_kit.pages import Markdown, escape_markdown, render_card
from torch_train.run_folder import METRICS, summary_lines

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
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
    figures = "Not stored."
    if (folder / METRICS).is_file():
        metrics = read_json(folder / METRICS)
        names = {key: escape_markdown(str(name)) for key, name in metrics["labels"].items()}
        figures = Markdown("\n".join(summary_lines(metrics | {"labels": names})))
    trained = manifest.kind == "trained"
    return render_card(
        TEMPLATE,
        manifest=manifest,
        kind="A trained network" if trained else "The baseline alone: no trained network is in here",
        films="SYNTHETIC phantoms (drawn, no patients)" if manifest.synthetic else "films",
        facts=_facts(manifest),
        figures=figures,
        inputs=report["inputs"]["description"],
        certificate=certificate,
        limits=[INTENDED, *LIMITS],
    )


def _facts(manifest: Manifest) -> list[str]:
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
