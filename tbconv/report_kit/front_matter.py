"""The front matter of a model card: what the Hugging Face Hub reads of it, as YAML above the Markdown."""

from __future__ import annotations

import json
import re
from typing import Any

from tbconv.contract.certificate import Certificate
from tbconv.contract.manifest import Manifest

FENCE = "---\n"
# The Hub's names of figures (its `evaluate` metrics), by ours.
METRICS = {
    "auroc": ("roc_auc", "AUROC"),
    "sensitivity": ("recall", "sensitivity"),
    "specificity": ("specificity", "specificity"),
    "precision": ("precision", "precision"),
    "f1": ("f1", "F1"),
    "accuracy": ("accuracy", "accuracy"),
}
TAGS = ("chest-x-ray", "medical", "image-classification", "tflite", "onnx", "keras", "research-only")
_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")  # of surrogates: JSON's form, not YAML's


def front_matter(manifest: Manifest, certificate: Certificate) -> str:
    """Return the block between two lines of dashes; each value is JSON, which is YAML too.

    The figures are those of the test part in the certificate, each with its films and its 95 % interval in its name.
    No licence is named (the films' and the weights' owners choose it), and the Hub's own inference is off: there it
    would decide without threshold, gate and abstention.

    Args:
        manifest: of the bundle.
        certificate: its verdicts and figures.
    """
    facts: dict[str, Any] = {
        "library_name": "tbconv",
        "pipeline_tag": "image-classification",
        "inference": False,
        "tags": [*TAGS, *(["synthetic-data"] if manifest.synthetic else [])],
    }
    metrics = _metrics(certificate.scope.get("metrics", {}).get(manifest.kind, {}))
    if metrics:
        kind = "synthetic phantoms" if manifest.synthetic else "films"
        labels = f"{manifest.labels.positive} against {manifest.labels.negative}"
        dataset = {"type": "own", "name": f"{kind} of the training run, {labels}", "split": "test"}
        task = {"type": "image-classification", "name": "chest X-ray classification"}
        facts["model-index"] = [
            {"name": manifest.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    lines = [f"{key}: {_written(value)}\n" for key, value in facts.items()]
    return "".join([FENCE, *lines, FENCE])


def _metrics(figures: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for figure, (kind, title) in METRICS.items():
        row = figures.get(figure)
        if row is not None and row["value"] is not None:
            name = f"{title} (n = {row['n']}, 95 % interval {row['low']:.3f} to {row['high']:.3f})"
            rows.append({"type": kind, "value": row["value"], "name": name})
    return rows


def _written(value: Any) -> str:
    """Write JSON that every reader of YAML reads alike."""

    def letter(found: re.Match[str]) -> str:
        return f"\\U{ord(bytes.fromhex(found[1] + found[2]).decode('utf-16-be')):08x}"

    return _PAIR.sub(letter, json.dumps(value)).replace("\x7f", "\\u007f")
