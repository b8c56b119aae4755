"""model_card.md of an evaluation: what was judged, on whom, how, with which figures, and what stays unknown."""

from __future__ import annotations

from typing import Any

from tbconv.contract.disclaimer import LIMITS
from torch_train.evaluation import grading, sections
from torch_train.evaluation.sections import Section, Table

Json = dict[str, Any]
SITES = "leave one site out"
INTENDED = "Research on reading chest X-rays by machine: comparing recipes, data and thresholds on labelled films."
NOT_FOR = (
    "Deciding about a patient, in either direction, or screening anyone without a study of its own.",
    "Films of other views, ages, hospitals or devices than those below, or another disease.",
    "Choosing a threshold from the sweep and quoting its figures from the same films.",
)


def all_sections(summary: Json) -> list[Section]:
    """Return every section, in the order in which a reader asks."""
    return [
        sections.readers_section(summary),
        grading.transported_section(summary),
        sections.enough_section(summary),
        sections.folds_section(summary),
        grading.calibration_section(summary),
        grading.subgroups_section(summary),
        grading.thresholds_section(summary),
    ]


def limits(summary: Json) -> list[str]:
    """Return what the figures do not say."""
    own = (
        (
            "Intervals say what other patients of the same kind would do. They do not cover another hospital or "
            "device, nor wholly what another training run would have given."
        ),
        "Folds of one data set share its source: what travels badly can look perfect here. Run tbconv audit as well.",
    )
    return [*LIMITS, *own, *_conditional(summary)]


def _conditional(summary: Json) -> list[str]:
    found = []
    if summary["synthetic"]:
        found.append("All films are SYNTHETIC drawings: no figure here says anything of patients.")
    if not summary["films"]["patients_known"]:
        found.append("Patients are unknown: if people have several films, folds leak and intervals are too narrow.")
    if summary["protocol"] == SITES:
        found.append("The sites are few: the interval covers their patients, not sites that are not here.")
    if summary["fits"] == summary["repeats"]:
        found.append("One fold: nothing is calibrated out of fold, and thresholds are swept on raw margins.")
    return found


def facts(summary: Json) -> dict[str, str]:
    """Return where it came from."""
    films, settings = summary["films"], summary["settings"]
    rows = {"protocol": summary["protocol"], "fits": str(summary["fits"]), "repeats": str(summary["repeats"])}
    rows |= {"films tested": f"{films['n']} of {films['of']}", "films' digest (SHA-256)": summary["data_digest"]}
    rows |= {key.replace("_", " "): "not given" if value is None else str(value) for key, value in settings.items()}
    return rows | {"recipe": ", ".join(f"{key} {value}" for key, value in sorted(summary["recipe"].items()))}


def model_card(summary: Json) -> str:
    """Return the card as Markdown, made from the summary alone."""
    names = summary["labels"]
    lines = [f"# Model card: {_cell(names['positive'])} against {_cell(names['negative'])}", ""]
    lines += ["**SYNTHETIC films: no figure below is of patients.**", ""] if summary["synthetic"] else []
    lines += [summary["disclaimer"], "", "## Intended use", "", INTENDED, "", "## Not for", ""]
    lines += [*(f"- {one}" for one in NOT_FOR), "", "## Data and protocol", "", _cell(sections.subject(summary)), ""]
    lines += _table(Table(("what", "value"), tuple(facts(summary).items())))
    for section in all_sections(summary):
        lines += ["", f"## {section.title}", "", *(f"{_cell(text)}\n" for text in section.text)]
        lines += [line for table in section.tables for line in (*_table(table), "")]
    return "\n".join([*lines, "## Limits", "", *(f"- {_cell(one)}" for one in limits(summary))]) + "\n"


def _table(table: Table) -> list[str]:
    rows = [[_cell(cell) for cell in row] for row in (table.columns, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(table.columns), *lines[1:]]


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would read as its own, names of sites and classes above all."""
    for sign, plain in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(sign, plain)
    return " ".join(text.replace("*", "\\*").replace("_", "\\_").split())
