"""The first screen: what may serve, which file to deploy, why not the others, and on how many films that rests."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any

from convert.certificate import FLIPS_SHARE
from convert.page.facts import Facts
from convert.page.markup import chip, paragraph, section, table
from convert.page.words import DASH, estimate, flips, megabytes, milliseconds, small
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.manifest import Artefact

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
    rows = [_row(facts, one, timed=timed) for one in facts.artefacts]
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


def _row(facts: Facts, artefact: Artefact, *, timed: bool) -> list[str]:
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
