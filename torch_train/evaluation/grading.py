"""The sections on probabilities, groups and thresholds: whether a reader is good for someone, and at what price."""

from __future__ import annotations

from typing import Any

from torch_train.evaluation.sections import Section, Table, screening_cells, screening_columns
from torch_train.evaluation.subgroups import FEWEST
from torch_train.evaluation.words import DASH, READERS, estimate, share

Json = dict[str, Any]


def calibration_section(summary: Json) -> Section:
    """Return slope, offset and ECE of every reader that grades films."""
    rows = tuple(_calibration_row(READERS[reader], found) for reader, found in summary["calibration"].items())
    columns = ("reader", "slope of margins", "offset", "slope once calibrated", "offset once calibrated", "ECE")
    text = (
        (
            "Slope 1 and offset 0 are what a calibrated logit has; a slope below 1 is overconfident, above 1 too "
            "careful (some 1.1 once calibrated on few films). Margins are the "
            "networks' own; calibrated ones went through slope and offset of the other folds. The dots of the figure "
            "hold equally many films each."
        ),
    )
    return Section("calibration", "What the probabilities are worth", text, (Table(columns, rows),))


def _calibration_row(title: str, found: Json) -> tuple[str, ...]:
    lines = [found[kind][name] for kind in ("margins", "calibrated") for name in ("slope", "offset")]
    return (title, *(estimate(one, digits=2) for one in lines), estimate(found["ece"]))


def subgroups_section(summary: Json) -> Section:
    """Return a table for each attribute that is known."""
    found = summary["subgroups"]
    if not found:
        return Section("subgroups", "Groups of people", ("Neither sex, age nor site of any film is known.",))
    tables = tuple(
        Table(
            (attribute, "n", "positive + negative", "AUROC", "sensitivity", "specificity"),
            tuple(_group_row(row) for row in rows),
        )
        for attribute, rows in found.items()
    )
    groups = sum(len(rows) for rows in found.values())
    text = (
        (
            f"Figures rest on at least {FEWEST} films of the class that they count. Of {groups} groups one in twenty "
            "intervals misses its true value by chance; look at the intervals, not at the order."
        ),
    )
    return Section("subgroups", "Groups of people", text, tables)


def _group_row(row: Json) -> tuple[str, ...]:
    few = {"auroc": "either class", "sensitivity": "the positive", "specificity": "the negative"}
    cells = [
        estimate(row[name]) if row[name] else f"{DASH} fewer than {FEWEST} of {missing}"
        for name, missing in few.items()
    ]
    return (row["group"], str(row["n"]), f"{row['positives']} + {row['negatives']}", *cells)


def transported_section(summary: Json) -> Section:
    """Return what the folds' own thresholds did, and WHO's target beside it."""
    row, names = summary["transported"], summary["labels"]
    prevalence = summary["settings"]["prevalence"]
    text = (
        (
            f"{row['who']['source']}: {row['who']['verdict'].upper()}. It is met where both lower bounds reach it, "
            f"missed where an upper bound does not. The target is for tuberculosis; positive here is "
            f"{names['positive']!r}."
        ),
        (
            f"Per 1,000 screened at a prevalence of {prevalence:g}; the test that follows a referral is taken to be "
            "right. Bounds are those of sensitivity and specificity put in together."
        ),
    )
    columns = ("threshold", "sensitivity", "specificity", *screening_columns(summary))
    cells = (estimate(row["sensitivity"]), estimate(row["specificity"]), *screening_cells(row, summary))
    return Section(
        "transported",
        "At the thresholds that were chosen elsewhere",
        text,
        (Table(columns, (("each fold's own", *cells),)),),
    )


def thresholds_section(summary: Json) -> Section:
    """Return the thresholds worth printing out of the whole sweep, which the JSON holds."""
    found = summary["thresholds"]
    rows = [found["rows"][index] for index in found["printed"]]
    head = "probability from which it refers" if found["scale"] == "calibrated logit" else "margin from which it refers"
    text = (
        (
            "To see what could be had, not to choose by: a threshold picked here is picked on the films that it is "
            "measured on, which flatters. Probabilities are at this set's own share of positives, by "
            "calibration on other folds."
        ),
    )
    columns = (head, "sensitivity", "specificity", *screening_columns(summary))
    cells = tuple(
        (_at(row, summary), estimate(row["sensitivity"]), estimate(row["specificity"]), *screening_cells(row, summary))
        for row in rows
    )
    return Section("thresholds", "Other thresholds", text, (Table(columns, cells),))


def _at(row: Json, summary: Json) -> str:
    if row["probability"] is None:
        return f"{row['threshold']:+.2f}"
    return share(row["probability"], summary["films"]["n"])
