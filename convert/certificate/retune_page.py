"""What `tbconv retune` did, in words: the lines that the command prints, and a section of the certificate's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.certificate import RETUNE
from tbconv.contract.errors import BundleError, sentence
from tbconv.report_kit.pages import Section, Table
from tbconv.report_kit.words import DASH, estimate

Json = dict[str, Any]
WORDS = {
    "refer": "flagged",
    "not_flagged": "not flagged",
    "indeterminate": "indeterminate",
    "rejected": "rejected",
    "unreadable": "unreadable",
}
NAMES = {"trained": "trained network", "baseline": "baseline"}
FLATTERED = "on these films, on which it was chosen, which flatters it"
LEFT_OUT = "on films left out of choosing"
CHANCE = 0.5  # an AUROC of it orders no films


def subject(record: Json) -> str:
    """Return one sentence: what was asked for, on which films."""
    [(name, value)] = record["asked"].items()
    films, labels = record["films"], record["labels"]
    kind = "SYNTHETIC films" if films["synthetic"] else "films"
    counts = f"{films['positives']} {labels['positive']}, {films['negatives']} {labels['negative']}"
    lost = [f"{films[key]} {key}" for key in ("rejected", "unreadable") if films[key]]
    more = f"; {', '.join(lost)}: no threshold answers them, and each counts as an error" if lost else ""
    who = f" of {films['patients']} patients" if films["patients_known"] else ""
    return f"A {name} of {value:g}, set on {films['n']} {kind}{who} ({counts}){more}."


def lines(record: Json) -> list[str]:
    """Return what the command prints before the verdicts."""
    found = [subject(record)]
    for name, network in _networks(record):
        found += [f"{NAMES[name]}: {threshold(network)}", *_figure_lines(network)]
    found.append(
        f"decisions that change, by the float32 file: {changes(_networks(record)[0][1]['changed'], record['labels'])}"
    )
    found.append(served(record["served"], record["labels"]))
    return [*found, *(f"note: {note}" for note in record["notes"])]


def _networks(record: Json) -> list[tuple[str, Json]]:
    """Return the networks, the trained one first."""
    return [(name, record["networks"][name]) for name in NAMES if name in record["networks"]]


def threshold(network: Json) -> str:
    """Return the threshold before and after, as margin and as score."""
    before, after = network["threshold"]["before"], network["threshold"]["after"]
    return (
        f"margin {before['margin']:+.3f} -> {after['margin']:+.3f} logits, "
        f"score {before['score']:.1f} -> {after['score']:.1f} of 100"
    )


def _figure_lines(network: Json) -> list[str]:
    figures, order = network["figures"], network["auroc"]
    rows = [("before", figures["before"]), (f"now, {FLATTERED}", figures["after"]), (LEFT_OUT, figures["left_out"])]
    return [
        *(
            f"  {title}: sensitivity {estimate(one['sensitivity'], with_n=True)}, "
            f"specificity {estimate(one['specificity'], with_n=True)}"
            for title, one in rows
            if one is not None
        ),
        *([f"  {ordering(order)}"] if order is not None else []),
    ]


def ordering(auroc: Json) -> str:
    """Return how well the margins order these films, and whether a threshold can help at all."""
    said = f"AUROC {estimate(auroc, with_n=True)}, whatever the threshold"
    if auroc["low"] is None or auroc["low"] > CHANCE:
        return said
    return f"{said}: NOT SHOWN TO TELL THESE CLASSES APART, so no threshold helps here"


def changes(rows: Sequence[Json], labels: Json) -> str:
    """Return how many films of each class went from one outcome to another."""
    if not rows:
        return "none"
    return "; ".join(
        f"{row['positives'] + row['negatives']} {WORDS[row['from']]} -> {WORDS[row['to']]} "
        f"({row['positives']} {labels['positive']}, {row['negatives']} {labels['negative']})"
        for row in rows
    )


def served(found: Json, labels: Json) -> str:
    """Return what the proposed file did and does, with the films on which it decides nothing."""
    before, after = (
        f"{one['artefact']} leaves {sum(one['outcomes'].get('indeterminate', {}).values())} undecided "
        f"(band {one['abstention_band']:.2g} logits)"
        for one in (found["before"], found["after"])
    )
    return f"as it is served: {before} -> {after}; decisions that change: {changes(found['changed'], labels)}"


def retuned_section(record: Json | None) -> Section:
    """Return the section of certificate.html; an empty one where the threshold is that of the run.

    Raises:
        BundleError: the record is of other values than ours, as a stranger's bundle may hold.
    """
    if record is None:
        return Section("retuned", "The threshold was set anew")
    try:
        return _section(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise BundleError(f"{RETUNE} cannot be understood", why=why, fix=MAKE_AGAIN) from error


def _section(record: Json) -> Section:
    rows = []
    for name, network in _networks(record):
        for title, key in (("before", "before"), ("now", "after"), (LEFT_OUT, "left_out")):
            one, at = network["figures"][key], network["threshold"].get(key)
            where = [f"{at['margin']:+.3f}", f"{at['score']:.1f}"] if at else [DASH, DASH]
            if one is not None:
                figures = [estimate(one[figure], with_n=True) for figure in ("sensitivity", "specificity")]
                rows.append((f"{NAMES[name]}, {title}", *where, *figures))
    text = [
        f"{subject(record)} Before: {record['from']['name']}, manifest {record['from']['manifest_sha256'][:12]}.",
        f"Decisions that change, by the float32 file: {changes(_networks(record)[0][1]['changed'], record['labels'])}.",
        f"{sentence(served(record['served'], record['labels']))}.",
        *(f"{NAMES[name]}: {ordering(one['auroc'])}." for name, one in _networks(record) if one["auroc"]),
    ]
    note = (
        "Every verdict on this page is about these films at the new threshold. Figures of films that a threshold was "
        f"chosen on flatter it; {LEFT_OUT}: five parts by patient, each counted at the threshold of the other four. "
        "Probabilities are as they were."
    )
    columns = ("", "threshold, logits", "score", "sensitivity (95 %)", "specificity (95 %)")
    return Section(
        "retuned", "The threshold was set anew", text, [Table(columns, rows)], points=record["notes"], note=note
    )
