"""certificate.html: the whole certificate on one page, in the order in which a reader asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate import charts
from convert.certificate.html import (
    DASH,
    Facts,
    chip,
    estimate,
    fixed,
    flips,
    megabytes,
    milliseconds,
    named_values,
    paragraph,
    section,
    short,
    small,
    table,
)
from convert.parity.verdicts import FLIPS_SHARE
from tbconv.contract.certificate import Certificate
from tbconv.contract.golden import Golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.prediction import Prediction
from tbconv.contract.reporting import DISCLAIMER

PAGE = "certificate.html"
STYLE = Path(__file__).with_name("certificate.css")
NARROW = '<meta name="viewport" content="width=device-width,initial-scale=1">'


def certificate_page(
    manifest: Manifest,
    certificate: Certificate,
    report: dict[str, Any],
    golden: Golden,
    answers: Mapping[str, Prediction],
    labels: NDArray[np.int64] | None,
    *,
    sizes: dict[str, int] | None = None,
) -> str:
    """Return the page; it fetches nothing and runs no script.

    Args:
        manifest: names, thresholds and artefacts; its `files` may still be empty.
        certificate: the verdicts, with what they are bound to and the file to deploy where those are known.
        report: parity.json.
        golden: the drawn inputs and every witness's answers to them.
        answers: by witness name, for the films alone; empty where none were fed or kept.
        labels: int64 [N] of these films, 1 positive; None where they are not known.
        sizes: bytes by artefact, where the manifest has no files yet.

    Returns:
        HTML, UTF-8, with everything inside.
    """
    facts = Facts(manifest, certificate, report, golden, answers, labels, sizes or {})
    figures = (losses, charts.distances, charts.margins, charts.calibration, charts.evidence, charts.costs)
    body = first_screen(facts) + "".join(draw(facts) for draw in figures) + bound(facts)
    title = escape(f"Certificate of {manifest.name}")
    style = STYLE.read_text(encoding="utf-8")
    head = f'<meta charset="utf-8">{NARROW}<title>{title}</title><style>{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


# --- verdicts ---
# The first screen: what may serve, which file to deploy, why not the others, and on how many films that rests.

SYNTHETIC = "Trained on drawn phantoms, not on films: every figure here is about drawings and none about patients."


def first_screen(facts: Facts) -> str:
    """Return heading, warnings, the file to deploy and the table of verdicts."""
    labels = facts.manifest.labels
    head = f"<h1>Certificate of {escape(facts.manifest.name)}</h1>"
    subject = f"{labels.positive} against {labels.negative}; {_tested(facts)}; {_count(facts)}."
    banner = paragraph(facts.certificate.disclaimer or DISCLAIMER, "banner")
    if facts.manifest.synthetic:
        banner += paragraph(SYNTHETIC, "banner synthetic")
    return f"<header>{head}{paragraph(subject, 'lead')}{banner}</header>{_deploy(facts)}{_verdicts(facts)}"


def _tested(facts: Facts) -> str:
    return f"measured on {facts.certificate.inputs.get('description', 'nothing')}"


def _count(facts: Facts) -> str:
    found = Counter(str(row.verdict) for row in facts.certificate.artefacts.values())
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(found.items()))


def _deploy(facts: Facts) -> str:
    deploy = facts.certificate.deploy
    if not deploy:
        return ""
    name = deploy.get("artefact")
    head = f"Deploy <code>{escape(name)}</code>" if name else "No file is to be deployed"
    return f'<p class="deploy"><b>{head}.</b> {escape(str(deploy.get("reason", "")))}</p>'


def _verdicts(facts: Facts) -> str:
    timed = any(milliseconds(facts.verdict(one).figures) is not None for one in facts.artefacts)
    n = f"{facts.films} films" if facts.films else f"{len(facts.golden.names)} drawn inputs, no film"
    columns = ["file", "verdict", "decisions that flip", "AUROC (95 %)", "max |Δ logit|", "size"]
    rows = [_verdict_row(facts, one, timed=timed) for one in facts.artefacts]
    note = (
        "Flips are counted against PyTorch float32 at the operating point; in brackets what share of such films may "
        "flip at most, at 95 % confidence. CERTIFIED: float32, within the tolerance. BOUNDED: reduced precision, "
        f"measured, at most {100 * FLIPS_SHARE:g} % of the decisions flip. Both may serve; what is deployed is for the "
        f"bars. n = {n}{_labelled(facts)}."
    )
    shown = table([*columns, *(["latency"] if timed else [])], rows, kind="verdicts")
    return section("Verdicts", shown, paragraph(note, "quiet"), key="verdicts")


def _labelled(facts: Facts) -> str:
    if not facts.films:
        return ""
    if facts.labels is None or len(facts.labels) != facts.films:
        return "" if facts.certificate.inputs.get("labelled") else ", labels not used"
    positives = int((facts.labels == 1).sum())
    return f", {positives} {facts.manifest.labels.positive} and {len(facts.labels) - positives} others"


def _verdict_row(facts: Facts, artefact: Artefact, *, timed: bool) -> list[str]:
    found, figures = facts.verdict(artefact), facts.verdict(artefact).figures
    latency = milliseconds(figures)
    cells = [
        _name(facts, artefact),
        chip(str(found.verdict)),
        escape(flips(figures)),
        escape(estimate(figures.get("auroc"), with_n=False)),
        escape(small(None if figures.get("problem") else figures.get("max_abs_logits"))),
        escape(megabytes(facts.size(artefact))),
    ]
    return [*cells, DASH if latency is None else f"{latency:.3g} ms"] if timed else cells


def _name(facts: Facts, artefact: Artefact) -> str:
    why = _why(facts, artefact)
    mark = " <mark>deploy</mark>" if artefact.path == facts.deployed else ""
    small_print = f"<small>{escape(why)}</small>" if why else ""
    return f"<code>{escape(artefact.path)}</code>{mark}{small_print}"


def _why(facts: Facts, artefact: Artefact) -> str:
    """Return why a file is not the one to deploy; of a failed file why it failed."""
    lost: dict[str, Any] = facts.certificate.deploy.get("others") or {}
    found = facts.verdict(artefact)
    if artefact.path in lost:
        return f"not deployed: {lost[artefact.path]}"
    return "" if found.verdict.may_serve else found.reason


# --- bound ---
# What the certificate is bound to: digests, calibration films, versions, processor, kernels, test figures.

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


# --- losses ---
# What each file costs in decisions and how far it is from exact arithmetic: the table that the bars read.

COLUMNS = ("file", "AUROC loss", "sensitivity loss, points", "specificity loss, points", "SQNR", "against float64")


def losses(facts: Facts) -> str:
    """Return the table; empty where the report has neither paired losses nor distances from float64."""
    rows = {row["name"]: row for row in facts.report.get("rows", [])}
    known = [rows[one.path] for one in facts.artefacts if one.path in rows]
    if not any(row.get("decisions") or row.get("oracle") for row in known):
        return ""
    note = (
        "Losses are PyTorch minus file on the same films (paired bootstrap, 95 %; a negative loss is a gain), then how "
        "many films were lost and gained. SQNR: of the logits against PyTorch float32. Last: root mean square distance "
        "of the margin from float64, beside eager PyTorch's own (or one float32 rounding step of what the margin is "
        "summed from, where that is larger)."
    )
    shown = table(COLUMNS, [_loss_row(row) for row in known])
    return section("What conversion costs", shown, paragraph(note + _n(known), "quiet"), key="losses")


def _n(rows: list[dict[str, Any]]) -> str:
    found = next((row["decisions"] for row in rows if row.get("decisions")), None)
    if found is None:
        return ""
    return f" n = {found['n']}: {found['positives']} positive, {found['negatives']} negative."


def _loss_row(row: dict[str, Any]) -> list[str]:
    found, oracle = row.get("decisions") or {}, row.get("oracle") or {}
    sqnr = ((row.get("films") or row.get("golden")) or {}).get("sqnr_db")
    return [
        f"<code>{escape(row['name'])}</code>",
        _loss(found.get("auroc_loss"), found.get("n", 1), 1),
        _loss(found.get("sensitivity_loss"), found.get("positives", 1), 100),
        _loss(found.get("specificity_loss"), found.get("negatives", 1), 100),
        DASH if sqnr is None else f"{sqnr:.0f} dB",
        f"{oracle['db']:+.0f} dB" if "db" in oracle else DASH,
    ]


def _loss(found: dict[str, Any] | None, n: int, times: int) -> str:
    """Return a loss with its interval; `times` 100 writes a share in percentage points."""
    from torch_train.metrics import digits_for

    if not found:
        return DASH
    digits = max(0, digits_for(n) - (2 if times == 100 else 0))
    value, low, high = (fixed(times * float(found[key]), digits) for key in ("value", "low", "high"))
    text = f"{value} ({low} to {high})"
    return f"{text}; {found['lost']} lost, {found['gained']} gained" if "lost" in found else text
