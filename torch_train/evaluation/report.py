"""The report of an evaluation: sections and figures, as one HTML page and a model card."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import write_atomic
from tbconv.contract.reporting import LIMITS
from torch_train.evaluation import statistics
from torch_train.evaluation.predictions import AGE_SEX, BASELINE, PRIOR, TRAINED
from torch_train.evaluation.statistics import FEWEST, FIGURES
from torch_train.metrics import digits_for
from torch_train.results import BLUE, GREY, ORANGE
from torch_train.run_folder import NETWORKS, TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# --- sections ---
# What an evaluation says, as headings, sentences and tables of plain text: page and model card show just these.

Json = dict[str, Any]
USERS_SPLIT = "70/20/10"  # as `EvaluateConfig.title` names it


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its answer."""

    key: str  # figures of the same key stand below it
    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...] = ()


def subject(summary: Json) -> str:
    """Return one sentence: who was tested on what."""
    films, names = summary["films"], summary["labels"]
    kind = "SYNTHETIC films (drawn, no patients)" if summary["synthetic"] else "films"
    whose = f"{films['patients']} patients" if films["patients_known"] else "unknown patients, each counted as one"
    unseen = "none of that patient's films" if films["patients_known"] else "neither that film nor a copy of it"
    counts = f"{films['positives']} {names['positive']}, {films['negatives']} {names['negative']}"
    return (
        f"{films['n']} {kind} of {whose} ({counts}), each tested {_times(summary)} by a reader that had learned "
        f"from {unseen}. Protocol: {summary['protocol']}, {summary['fits']} fits."
    )


def _times(summary: Json) -> str:
    """Return how often each film was tested; every 70/20/10 split draws test films of its own."""
    if summary["repeats"] == 1:
        return "once"
    return "at least once" if summary["protocol"] == USERS_SPLIT else f"{summary['repeats']} times"


def readers_section(summary: Json) -> Section:
    """Return every reader's figures side by side."""
    readers = list(summary["readers"])
    rows = [_figure_row(summary, name, readers) for name in FIGURES]
    columns = ("figure (95 % interval)", "n", *(READERS[reader] for reader in readers))
    text = (
        (
            f"Intervals: {summary['interval']}; shares by the binomial at the variance of these, AUROC on the logit "
            "scale. Each figure is averaged over repeats inside a resample, so more repeats do not make the films "
            "more. Sensitivity, specificity and accuracy are at each fold's own threshold, chosen on other films."
        ),
        (
            "Pooled margins come of different networks, whose scales may differ; the mean of the folds' own AUROCs "
            f"does not compare films of different folds. Baseline: "
            f"{NETWORKS['baseline'].partition('(')[2].rstrip(')')}."
        ),
    )
    return Section("readers", "What each reader reached", text, (Table(columns, tuple(rows)), *_gains(summary)))


def _figure_row(summary: Json, name: str, readers: list[str]) -> tuple[str, ...]:
    found = [summary["readers"][reader][name] for reader in readers]
    n = max(one["n"] for one in found)
    return (FIGURE_TITLES[name], str(n or DASH), *(estimate(one) for one in found))


def _gains(summary: Json) -> tuple[Table, ...]:
    others = list(summary["differences"])
    if not others:
        return ()
    main = READERS[summary["main"]]
    rows = tuple(
        (FIGURE_TITLES[name], *(estimate(summary["differences"][other][name], signed=True) for other in others))
        for name in FIGURES
    )
    return (Table((f"{main}, minus", *(READERS[other] for other in others)), rows),)


def enough_section(summary: Json) -> Section:
    """Return what so many patients could prove at best."""
    text = tuple(_claim(name, one) for name, one in summary["enough"].items())
    return Section("enough", "What this many films could prove", text)


def _claim(name: str, one: Json) -> str:
    kind, have = ("positive" if name == "sensitivity" else "negative"), one["have"]
    target = f"{100 * one['target']:g} %"
    needed = f"{one['all_found_two_sided']} (one-sided {one['all_found_one_sided']})"
    verdict = "there are enough" if have >= one["all_found_two_sided"] else "there are TOO FEW"
    power = " and ".join(f"{100 * p:.0f} % if it is {rate}" for rate, p in one["power"].items())
    chance = f" The chance that {have} show it: {power} in truth." if power else ""
    return (
        f"To show a {name} of at least {target} at 95 % takes {needed} {kind} patients, not one called wrongly; "
        f"here are {have}: {verdict}. {_at_observed(one)} The highest lower bound that {have} can give is "
        f"{share(one['best_lower_bound'], max(have, 1))}.{chance}"
    )


def _at_observed(one: Json) -> str:
    if one["observed"] is None:
        return ""
    rate = share(one["observed"], max(one["have"], 1))
    if one["at_observed"] is None:
        return f"At the rate seen here, {rate}, no number within reach shows it."
    return f"At the rate seen here, {rate}, it takes {one['at_observed']:,}."


def folds_section(summary: Json) -> Section:
    """Return sensitivity and specificity of the transported threshold in every fold."""
    found = summary["folds"].get(summary["main"])
    if found is None:
        return Section("folds", "How the threshold travels", ("This reader gives all films of a fold one margin.",))
    rows = tuple(
        (f"{row['fold']}, repeat {row['repeat'] + 1}", f"{row['positives']} + {row['negatives']}", *_fold_cells(row))
        for row in found["rows"]
    )
    wished, spread = f"{summary['target_sensitivity']:g}", found["spread"]
    ranges = "; ".join(
        f"{name} {one['low']:.2f} to {one['high']:.2f}, median {one['median']:.2f}"
        for name, one in spread.items()
        if one
    )
    text = (
        (
            f"Each fold's threshold was chosen on its own validation films for a sensitivity of {wished}. On films it "
            f"was not chosen on: {ranges}. It fell short of {wished} in {found['short']} of {len(rows)}."
        ),
    )
    columns = ("fold", "positive + negative", "threshold (margin)", "AUROC", "sensitivity", "specificity")
    return Section("folds", "How the threshold travels", text, (Table(columns, rows),))


def _fold_cells(row: Json) -> tuple[str, ...]:
    return (f"{row['threshold']:+.2f}", *(estimate(row[name]) for name in ("auroc", "sensitivity", "specificity")))


def screening_cells(row: Json, summary: Json) -> tuple[str, ...]:
    """Return what a threshold does to a thousand people: PPV, NPV, found, missed, referred, and cost where known."""
    ill = 1000 * summary["settings"]["prevalence"]
    cells = [estimate(row["ppv"]), estimate(row["npv"]), amount(row["found"], per=ill), amount(row["missed"], per=ill)]
    cells.append(amount(row["referred"], per=1000))
    if "cost_per_case" in row:
        cells.append(amount(row["cost_per_case"], per=max(1.0, row["cost_per_case"]["value"] or 1.0)))
    return tuple(cells)


def screening_columns(summary: Json) -> tuple[str, ...]:
    """Return the headings of `screening_cells`."""
    cost = ("cost per case found",) if "cost_per_case" in summary["transported"] else ()
    return ("PPV", "NPV", "found of 1,000", "missed of 1,000", "referred of 1,000", *cost)


# --- words ---
# Numbers as an evaluation writes them: an interval beside each, and no digit that n does not carry.

Found = dict[str, Any]  # an Estimate as JSON
DASH = "\N{EN DASH}"  # where there is nothing to say
READERS = {TRAINED: NETWORKS["trained"], BASELINE: "baseline", AGE_SEX: "age and sex alone", PRIOR: "class prior"}
FIGURE_TITLES = TITLES | {
    "auroc": "AUROC, folds pooled",
    "auroc_mean_of_folds": "AUROC, mean of folds",
    "brier": "Brier score",
    "log_loss": "log loss",
    "slope": "slope",
    "offset": "offset",
}


def estimate(found: Found | None, *, signed: bool = False, digits: int | None = None) -> str:
    """Return "0.87 (0.81 to 0.92)", or the reason why there is no figure.

    Args:
        found: the figure.
        signed: with a sign, as differences have.
        digits: decimals of what is no share; None: as many as n carries.
    """
    if not found:
        return DASH
    if found["value"] is None:
        return f"{DASH} {found['method']}"
    places = digits_for(found["n"]) if digits is None else digits
    write = _signed if signed else _plain if digits is None else _rounded
    if found["value"] == found["low"] == found["high"]:
        return f"{found['value']:g}, by definition"
    return f"{write(found['value'], places)} ({write(found['low'], places)} to {write(found['high'], places)})"


def amount(found: Found | None, *, per: float) -> str:
    """Return a count or a cost rounded to what one film more or less would change.

    Args:
        found: the figure.
        per: what it would be if the share that it rests on were 1.
    """
    if not found or found["value"] is None:
        return DASH
    places = math.ceil(math.log10(max(1, found["n"]) / per))
    value, low, high = (_rounded(found[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def share(value: float, n: int) -> str:
    """Return a share of n."""
    return _plain(value, digits_for(n))


def _plain(value: float, places: int) -> str:
    """Round, but neither to a perfect score that was not reached nor to a nought that is none."""
    text, least = f"{value:.{places}f}", f"{10**-places:.{places}f}"
    if value < 1 and float(text) == 1 and places > 0:
        return f">{1 - 10**-places:.{places}f}"
    return f"<{least}" if value > 0 and float(text) == 0 else f"{float(text) + 0.0:.{places}f}"


def _signed(value: float, places: int) -> str:
    return _minus(f"{round(value, places) + 0.0:+.{places}f}")


def _rounded(value: float | None, places: int) -> str:
    return "no bound" if value is None else _minus(f"{round(value, places) + 0.0:,.{max(0, places)}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


# --- grading ---
# The sections on probabilities, groups and thresholds: whether a reader is good for someone, and at what price.


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


# --- model card ---
# model_card.md of an evaluation: what was judged, on whom, how, with which figures, and what stays unknown.

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
        readers_section(summary),
        transported_section(summary),
        enough_section(summary),
        folds_section(summary),
        calibration_section(summary),
        subgroups_section(summary),
        thresholds_section(summary),
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
    lines += [*(f"- {one}" for one in NOT_FOR), "", "## Data and protocol", "", _cell(subject(summary)), ""]
    lines += _markdown_table(Table(("what", "value"), tuple(facts(summary).items())))
    for section in all_sections(summary):
        lines += ["", f"## {section.title}", "", *(f"{_cell(text)}\n" for text in section.text)]
        lines += [line for table in section.tables for line in (*_markdown_table(table), "")]
    return "\n".join([*lines, "## Limits", "", *(f"- {_cell(one)}" for one in limits(summary))]) + "\n"


def _markdown_table(table: Table) -> list[str]:
    rows = [[_cell(cell) for cell in row] for row in (table.columns, *table.rows)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(table.columns), *lines[1:]]


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would read as its own, names of sites and classes above all."""
    for sign, plain in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        text = text.replace(sign, plain)
    return " ".join(text.replace("*", "\\*").replace("_", "\\_").split())


# --- report page ---
# evaluation.html: the whole evaluation on one page that fetches nothing, in the order in which a reader asks.

PAGE_STYLE = Path(__file__).with_name("evaluation.css")
NARROW = '<meta name="viewport" content="width=device-width,initial-scale=1">'
LONG = 12  # rows; a longer table is folded away


def report_page(summary: Json) -> str:
    """Return the page, HTML with everything inside, made from the summary alone."""
    names = summary["labels"]
    title = f"Evaluation: {names['positive']} against {names['negative']}"
    figures = drawings(summary)
    body = _first_screen(summary, title) + "".join(_section(one, figures) for one in all_sections(summary))
    body += _closing(summary)
    head = f'<meta charset="utf-8">{NARROW}<title>{escape(title)}</title>'
    head += f"<style>{PAGE_STYLE.read_text(encoding='utf-8')}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


def _first_screen(summary: Json, title: str) -> str:
    synthetic = "SYNTHETIC films, drawn by a program: no figure on this page is of patients."
    banner = f'<p class="banner synthetic">{synthetic}</p>' if summary["synthetic"] else ""
    cards = "".join(_card(*one) for one in _headlines(summary))
    return (
        f'<h1>{escape(title)}</h1><p class="banner">{escape(summary["disclaimer"])}</p>{banner}'
        f'<p class="lead">{escape(subject(summary))}</p><div class="cards">{cards}</div>'
    )


def _headlines(summary: Json) -> list[tuple[str, str, str]]:
    """Return (what, figure, remark) of what is asked first."""
    reader, row = READERS[summary["main"]], summary["transported"]
    figures = summary["readers"][summary["main"]]
    n = summary["films"]
    return [
        ("AUROC", estimate(figures["auroc"]), f"{reader}, n = {n['n']}"),
        ("sensitivity", estimate(row["sensitivity"]), f"n = {n['positives']}, thresholds chosen on other films"),
        ("specificity", estimate(row["specificity"]), f"n = {n['negatives']}, the same thresholds"),
        ("WHO triage target 90 / 70", row["who"]["verdict"], "by the bounds of both; a target for tuberculosis"),
    ]


def _card(what: str, value: str, remark: str) -> str:
    head, _, rest = value.partition(" (")
    interval = f"<span>95 %: {escape(rest.rstrip(')'))}</span>" if rest else ""
    return f"<div><b>{escape(what)}</b><strong>{escape(head)}</strong>{interval}<small>{escape(remark)}</small></div>"


def _section(section: Section, figures: dict[str, list[tuple[str, str, str]]]) -> str:
    text = "".join(f"<p>{escape(one)}</p>" for one in section.text)
    panels = "".join(_figure(*one) for one in figures.get(section.key, []))
    drawn = f'<div class="panels">{panels}</div>' if panels else ""
    tables = "".join(_folded(table) for table in section.tables)
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>{text}{drawn}{tables}</section>'


def _figure(title: str, drawing: str, caption: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _folded(table: Table) -> str:
    """Return a table; a long one opens when it is asked for."""
    if len(table.rows) <= LONG:
        return _html_table(table)
    return f"<details><summary>All {len(table.rows)} rows</summary>{_html_table(table)}</details>"


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "".join(_row(table.columns, row) for row in table.rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(columns: tuple[str, ...], row: tuple[str, ...]) -> str:
    named = zip(columns[1:], row[1:], strict=True)
    cells = "".join(f'<td data-name="{escape(column)}">{escape(cell)}</td>' for column, cell in named)
    return f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>'


def _closing(summary: Json) -> str:
    named = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(summary).items())
    return (
        f'<section id="use"><h2>What it is for</h2><p>{escape(INTENDED)}</p><h3>Not for</h3>{_list(NOT_FOR)}</section>'
        f'<section id="limits"><h2>What the figures do not say</h2>{_list(limits(summary))}</section>'
        f'<section id="origin"><h2>Where it came from</h2><dl>{named}</dl></section>'
    )


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


# --- report files ---
# Writes what people read of an evaluation: one page and one model card, from the same summary.

PAGE, CARD = "evaluation.html", "model_card.md"


def write_report(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Write evaluation.html and model_card.md and return their paths.

    Args:
        folder: that is there already.
        summary: of `summarise`, or read back from its JSON.
    """
    texts = {PAGE: report_page(summary), CARD: model_card(summary)}
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in texts]


# --- report figures ---
# The drawings of an evaluation, made from its summary alone.

Column = NDArray[np.float64]


def drawings(summary: Json) -> dict[str, list[tuple[str, str, str]]]:
    """Return, by the key of the section they stand in, (title, SVG, caption) of each drawing."""
    kind = "SYNTHETIC films" if summary["synthetic"] else "films"
    n = f"n = {summary['films']['n']} {kind}"
    found = {
        "transported": [("Trade-off", draw_trade_off(summary), f"{TRADE_OFF} {n}.")],
        "thresholds": [
            ("Over all thresholds", draw_sweep(summary), f"{SWEEP} {n}."),
            ("Of 1,000 screened", draw_yield(summary), f"{YIELD} {n}."),
        ],
    }
    if "cost_per_case" in summary["transported"]:
        found["thresholds"].append(("Cost of a case found", draw_cost(summary), f"{COST} {n}."))
    if summary["calibration"].get(summary["main"], {}).get("bins"):
        found["calibration"] = [("Reliability", draw_reliability(summary), f"{RELIABILITY} {n}.")]
    if summary["main"] in summary["folds"]:
        found["folds"] = [("Every fold", draw_folds(summary), f"{FOLDS} {n}.")]
    return found


TRADE_OFF = (
    "Line: all thresholds, folds pooled and averaged over repeats, with the 95 % interval of sensitivity. Cross: the "
    "transported thresholds and both intervals. Shaded corner: WHO's target for tuberculosis triage."
)
VAGUE = 0.5  # width of an interval beyond which a value is not drawn
SWEEP = f"Shaded: 95 % intervals. PPV is drawn where its interval is narrower than {VAGUE}."
YIELD = "Cases found against films referred; shaded: 95 % interval of sensitivity. Cross: the transported thresholds."
COST = "What a case found costs at each sensitivity. Cross: the transported thresholds."
RELIABILITY = "A dot on the diagonal says that the probability means what it says. Bars: 95 % intervals, by patient."
FOLDS = "Each dot is a fold at its own transported threshold; line: the middle one; dashed: the wished sensitivity."


def draw_trade_off(summary: Json) -> str:
    """Draw sensitivity over 1 - specificity."""
    rows = summary["thresholds"]["rows"]
    across, up = 1 - _column(rows, "specificity"), _column(rows, "sensitivity")
    with one_panel() as (figure, axes):
        corner = (0.0, statistics.SENSITIVITY)
        axes.add_patch(_rectangle(corner, 1 - statistics.SPECIFICITY, 1 - statistics.SENSITIVITY))
        middle = (1 - statistics.SPECIFICITY) / 2, (1 + statistics.SENSITIVITY) / 2
        axes.text(*middle, "WHO 90 / 70", color=NEAR, fontsize=9, ha="center", va="center")
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axes.fill_between(across, *_bounds(rows, "sensitivity"), color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(across, up, color=BLUE)
        _cross(axes, summary["transported"])
        axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return to_svg(figure, key="trade-off", says="sensitivity over false alarms, with WHO's target")


def _rectangle(corner: tuple[float, float], width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=NEAR, alpha=0.2, edgecolor="none")


def _cross(axes: Axes, row: Json) -> None:
    sensitivity, specificity = row["sensitivity"], row["specificity"]
    if sensitivity["value"] is None or specificity["value"] is None:
        return
    at = (1 - specificity["value"], sensitivity["value"])
    axes.plot([1 - specificity["high"], 1 - specificity["low"]], [at[1], at[1]], color=INK, linewidth=1.6)
    axes.plot([at[0], at[0]], [sensitivity["low"], sensitivity["high"]], color=INK, linewidth=1.6)
    axes.plot(*at, "o", color=INK, markersize=5)


def draw_sweep(summary: Json) -> str:
    """Draw sensitivity, specificity, PPV and NPV over the threshold."""
    rows = summary["thresholds"]["rows"]
    at = np.array([row["threshold"] for row in rows])
    with one_panel() as (figure, axes):
        for name, colour, style in (("sensitivity", ORANGE, "-"), ("specificity", BLUE, "-")):
            axes.fill_between(at, *_bounds(rows, name), color=colour, alpha=0.15, linewidth=0)
            axes.plot(at, _column(rows, name), style, color=colour, label=name)
        axes.plot(at, _where_known(rows, "ppv"), "--", color=INK, label=f"PPV at {summary['settings']['prevalence']:g}")
        axes.plot(at, _column(rows, "npv"), ":", color=INK, label="NPV")
        axes.set(xlabel=f"threshold ({summary['thresholds']['scale']})", ylim=(-0.02, 1.02))
        axes.legend(loc="center left", fontsize=9)
        return to_svg(figure, key="sweep", says="sensitivity, specificity, PPV and NPV over all thresholds")


def draw_yield(summary: Json) -> str:
    """Draw cases found over films referred, of 1,000 screened."""
    rows, ill = summary["thresholds"]["rows"], 1000 * summary["settings"]["prevalence"]
    with one_panel() as (figure, axes):
        axes.fill_between(_column(rows, "referred"), *_bounds(rows, "found"), color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(_column(rows, "referred"), _column(rows, "found"), color=BLUE)
        axes.axhline(ill, color=GREY, linestyle=":")
        row = summary["transported"]
        if row["found"]["value"] is not None:
            axes.plot(row["referred"]["value"], row["found"]["value"], "P", color=INK, markersize=9)
        axes.set(xlabel="films referred of 1,000 screened", ylabel=f"cases found of {ill:g}", ylim=(0, 1.04 * ill))
        return to_svg(figure, key="yield", says="cases found over films referred")


def draw_cost(summary: Json) -> str:
    """Draw cost per case found over sensitivity."""
    rows = [row for row in summary["thresholds"]["rows"] if row["cost_per_case"]["value"] is not None]
    with one_panel() as (figure, axes):
        axes.plot(_column(rows, "sensitivity"), _column(rows, "cost_per_case"), color=BLUE)
        row = summary["transported"]
        if row["cost_per_case"]["value"] is not None:
            axes.plot(row["sensitivity"]["value"], row["cost_per_case"]["value"], "P", color=INK, markersize=9)
        axes.set(xlabel="sensitivity", ylabel="cost per case found (log scale)", xlim=(-0.02, 1.02))
        axes.set_yscale("log")
        return to_svg(figure, key="cost", says="cost per case found over sensitivity")


def draw_reliability(summary: Json) -> str:
    """Draw the share that is positive over the probability."""
    bins = summary["calibration"][summary["main"]]["bins"]
    with one_panel() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for one in bins:
            at, found = one["probability"], one["observed"]
            axes.plot([at, at], [found["low"], found["high"]], color=BLUE, linewidth=1.6)
            axes.plot(at, found["value"], "o", color=BLUE, markersize=5)
        axes.set(xlabel="probability by calibration on other folds", ylabel="share that is positive")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return to_svg(figure, key="reliability", says="reliability diagram")


def draw_folds(summary: Json) -> str:
    """Draw every fold's sensitivity and specificity as dots on two lines."""
    rows = summary["folds"][summary["main"]]["rows"]
    with one_panel(5.0, 2.4) as (figure, axes):
        for y, (name, colour) in enumerate((("specificity", BLUE), ("sensitivity", ORANGE))):
            known = np.array([row[name]["value"] for row in rows if row[name]["value"] is not None])
            if len(known):
                spread = np.linspace(-0.22, 0.22, len(known)) if len(known) > 1 else np.zeros(1)
                axes.plot(known, y + spread, "o", color=colour, markersize=5, alpha=0.6, markeredgewidth=0)
                axes.plot([np.median(known)] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=2)
        axes.plot([summary["target_sensitivity"]] * 2, [0.6, 1.4], color=INK, linestyle="--", linewidth=1.2)
        axes.set_yticks([0, 1], ["specificity", "sensitivity"])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.5))
        return to_svg(figure, key="folds", says="sensitivity and specificity of every fold")


def _column(rows: list[Json], name: str) -> Column:
    return np.array([np.nan if row[name]["value"] is None else row[name]["value"] for row in rows], np.float64)


def _where_known(rows: list[Json], name: str) -> Column:
    low, high = _bounds(rows, name)
    return np.where(high - low < VAGUE, _column(rows, name), np.nan)


def _bounds(rows: list[Json], name: str) -> tuple[Column, Column]:
    low, high = (
        np.array([np.nan if row[name][end] is None else row[name][end] for row in rows], np.float64)
        for end in ("low", "high")
    )
    return low, high


# --- inline svg ---
# From a matplotlib figure to an SVG inside a page, whose colours follow the page: light, dark or paper.

INK, LINE, NEAR = "#16202b", "#dce1e7", "#5b3fa0"
COLOURS = {BLUE: "exact", ORANGE: "reduced", GREY: "quiet", INK: "ink", LINE: "line", NEAR: "near"}  # names of the CSS
FIGURE_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and scaled
    "svg.hashsalt": "tbconv",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def one_panel(width: float = 5.0, height: float = 4.0) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of so many inches and its only axes, in the page's style."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(FIGURE_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def to_svg(figure: Figure, *, key: str, says: str) -> str:
    """Return the figure as an SVG element.

    Args:
        figure: drawn in the colours of COLOURS.
        key: that sets its ids apart from other drawings' on the page.
        says: what a screen reader reads.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=NO_METADATA)
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", text, count=3).replace("xlink:href", "href")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", text)
    for colour, name in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(says)}"', 1)
