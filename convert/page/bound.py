"""What the certificate is bound to: digests, calibration films, versions, processor, kernels, test figures."""

from __future__ import annotations

from html import escape
from typing import Any

from convert.page.facts import Facts
from convert.page.markup import named_values, paragraph, section, table
from convert.page.words import estimate, short, small

SHOWN = ("auroc", "auroc_by_patient", "sensitivity", "specificity", "precision", "f1")


def bound(facts: Facts) -> str:
    """Return the sections at the foot of the page."""
    return _quality(facts) + _reasons(facts) + _binding(facts) + _tolerances(facts)


def _quality(facts: Facts) -> str:
    metrics: dict[str, Any] = facts.certificate.bound.get("metrics") or {}
    rows = [
        [escape(name.replace("_", " ")), *(escape(estimate(figures.get(name))) for figures in metrics.values())]
        for name in SHOWN
        if any(figures.get(name) for figures in metrics.values())
    ]
    if not rows:
        return ""
    note = "PyTorch, on the run's own test films at the operating point; 95 % intervals. Not a clinical study."
    columns = ["figure", *(f"{network} network" for network in metrics)]
    return section("How good the network is", table(columns, rows), paragraph(note, "quiet"), key="quality")


def _reasons(facts: Facts) -> str:
    rows = [
        [
            f"<code>{escape(one.path)}</code>",
            escape(facts.verdict(one).reason),
            f"<code>{short(facts.verdict(one).sha256)}</code>",
        ]
        for one in facts.artefacts
    ]
    return section("Each verdict in words", table(["file", "reason", "SHA-256"], rows), key="reasons") if rows else ""


def _binding(facts: Facts) -> str:
    found, machine = facts.certificate.bound, facts.certificate.environment
    if not found:
        return section("What it is bound to", _versions(machine.get("packages") or {}), key="bound")
    processor, kernels = found.get("processor") or {}, found.get("kernels") or {}
    values = {
        **{f"weights, {name}": short(digest) for name, digest in (found.get("weights") or {}).items()},
        "calibration films": _calibration(found.get("calibration")),
        "films measured on": short(facts.certificate.inputs.get("films_sha256")),
        "processor": processor.get("model", "unknown"),
        "processor flags, all": short(processor.get("flags_sha256")),
        "of these for kernels": " ".join(processor.get("kernel_flags") or ["unknown"]),
        "kernels": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in kernels.items()),
        "commit": machine.get("git_commit") or "unknown",
    }
    note = "SHA-256, first 16 digits; certificate.json has all of them."
    versions = _versions(found.get("packages") or machine.get("packages") or {})
    return section("What it is bound to", named_values(values), versions, paragraph(note, "quiet"), key="bound")


def _calibration(found: dict[str, Any] | None) -> str:
    if not found:
        return "not known here"
    return f"{found['films']} of the training part; pixels and labels {short(found['sha256'])}"


def _versions(packages: dict[str, str]) -> str:
    if not packages:
        return ""
    return paragraph("Packages: " + ", ".join(f"{name} {version}" for name, version in packages.items()) + ".", "quiet")


def _tolerances(facts: Facts) -> str:
    rows = []
    for network, one in facts.certificate.tolerances.items():
        if isinstance(one, dict) and "logits" in one:
            origin = escape(str(one.get("logits_origin", "")))
            rows.append([escape(network), small(one["logits"]), small(one.get("noise")), origin])
    columns = ["network", "float32 logits may differ by", "PyTorch's own rounding", "where the number comes from"]
    return section("Tolerances", table(columns, rows), key="tolerances") if rows else ""
