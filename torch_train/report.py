"""What a run says of itself, from metrics.json alone: tables that read the same on a terminal and in Markdown."""

from __future__ import annotations

from typing import Any

from torch_train.calibrate import LOWEST_SLOPE
from torch_train.intervals import digits_for

TITLES = {
    "auroc": "AUROC",
    "auroc_by_patient": "AUROC, by patient",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
}
NETWORKS = {"trained": "trained network", "baseline": "baseline (28 x 28 pixels, logistic regression)"}


def summary_lines(metrics: dict[str, Any]) -> list[str]:
    """Return the result: who was tested on what, the figures with their intervals, what they mean."""
    lines = [_subject(metrics), ""]
    for name, network in _networks(metrics):
        lines += [f"### {NETWORKS[name]}", "", *_point_lines(network, metrics["labels"]), "", *_table(network), ""]
    lines += [_gain_line(metrics["auroc_gain"]), ""] if "auroc_gain" in metrics else []
    return [*lines, *_meaning(metrics), "", metrics["disclaimer"]]


def report_lines(metrics: dict[str, Any], facts: dict[str, str], *, pictures: list[str]) -> list[str]:
    """Return report.md: the summary, the classification reports, the pictures and where it all came from."""
    kind = "synthetic " if metrics["synthetic"] else ""
    lines = [f"# Training report ({kind}{metrics['labels']['positive']} against {metrics['labels']['negative']})", ""]
    lines += summary_lines(metrics)
    for name, network in _networks(metrics):
        report = network["test"]["classification_report"].rstrip()
        lines += ["", f"### Classification report, {NETWORKS[name]}, test part", "", "```text", report, "```"]
    lines += ["", *(f"![{picture}]({picture})" for picture in pictures)]
    lines += ["", "### Where it came from", "", *_align([["what", "value"], *map(list, facts.items())])]
    return lines


def _networks(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the networks that there are, the trained one first."""
    return [(name, metrics["networks"][name]) for name in NETWORKS if name in metrics["networks"]]


def _subject(metrics: dict[str, Any]) -> str:
    test, names = metrics["films"]["test"], metrics["labels"]
    kind = "synthetic films (drawn phantoms, no patients)" if metrics["synthetic"] else "films"
    patients = f" of {test['patients']} patients" if metrics["patients_known"] else ", each counted as one patient"
    counts = f"{test['positives']} {names['positive']}, {test['negatives']} {names['negative']}"
    told = metrics.get("adopted")
    seen = "neither training nor threshold saw them"
    if told is not None:
        listed = (
            "its team lists them as unseen in training"
            if told["training_films_listed"]
            else "nobody told whether training did"
        )
        seen = f"the threshold did not see them, {listed}"
    return f"Test part: {test['n']} {kind}{patients} ({counts}); {seen}."


def _point_lines(network: dict[str, Any], names: dict[str, str]) -> list[str]:
    point, calibration = network["operating_point"], network["calibration"]
    n = point["positives"] + point["negatives"]
    reached = f"sensitivity {_share(point['sensitivity'], point['positives'])} of {point['positives']} positives"
    spared = f"specificity {_share(point['specificity'], point['negatives'])} of {point['negatives']} negatives"
    slope, offset = calibration["slope"], calibration["offset"]
    return [
        f"Operating point: {names['positive']} from a margin of {point['margin']:.3f} up, chosen on {n} validation",
        f"films for a sensitivity of {point['wished_sensitivity']:g}; there it reached {reached}, {spared}.",
        f"Probability = sigmoid({slope:.3f} x margin {offset:+.3f}), fitted on the same films.",
        *(
            ["(Validation margins do not rise with the label: this probability says nothing.)"]
            * (slope <= LOWEST_SLOPE)
        ),
        "Every figure below but AUROC is at that operating point.",
    ]


def _table(network: dict[str, Any]) -> list[str]:
    rows = [["test figure", "value", "95 % interval", "n", "interval by"]]
    for name, title in TITLES.items():
        if name in network["test"]["figures"]:
            rows.append([title, *_cells(network["test"]["figures"][name])])
    count = network["test"]["confusion"]
    table = [
        ["test films", "called positive", "called negative"],
        ["positive", str(count["true_positives"]), str(count["false_negatives"])],
        ["negative", str(count["false_positives"]), str(count["true_negatives"])],
    ]
    return [*_align(rows), "", *_align(table)]


def _cells(estimate: dict[str, Any]) -> list[str]:
    if estimate["value"] is None:
        return ["-", "-", "0", "no film to count"]
    digits = digits_for(estimate["n"])
    interval = f"{estimate['low']:.{digits}f} to {estimate['high']:.{digits}f}"
    return [_number(estimate["value"], digits), interval, str(estimate["n"]), estimate["method"]]


def _share(value: float, n: int) -> str:
    return _number(value, digits_for(n))


def _number(value: float, digits: int) -> str:
    """Round, but never to a perfect score that was not reached."""
    text = f"{value:.{digits}f}"
    return f">{1 - 10**-digits:.{digits}f}" if value < 1 and float(text) == 1 else text


def _gain_line(gain: dict[str, Any]) -> str:
    digits = digits_for(gain["n"])
    low, high = f"{gain['low']:+.{digits}f}", f"{gain['high']:+.{digits}f}"
    verdict = "more than chance would give" if gain["low"] > 0 else "which may be chance"
    return (
        f"AUROC of the trained network minus the baseline's: {gain['value']:+.{digits}f} ({low} to {high}, "
        f"{gain['method']}), {verdict if gain['value'] > 0 else 'no gain'}."
    )


def _meaning(metrics: dict[str, Any]) -> list[str]:
    n = metrics["films"]["test"]["n"]
    digits = digits_for(n)
    floor = 0.025 ** (1 / n)  # Clopper-Pearson's lower bound at n of n
    return [
        f"A 95 % interval holds the true value in 19 of 20 such samples. One film of {n} is {1 / n:.{digits + 1}f}",
        f"of accuracy, and even {n} right of {n} would allow a true accuracy of {floor:.{digits}f};",
        f"figures are rounded to what {n} films support.",
        "Figures by film treat films as independent; where patients have several, the one by patient does not.",
    ]


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
