"""The report of an evaluation: sections and figures, as one HTML page and a model card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import NO_REFERRAL
from tbconv.contract.files import write_atomic
from tbconv.contract.manifest import Labels, looks_for_tuberculosis
from tbconv.report_kit import charts
from tbconv.report_kit.charts import BLUE, GREY, INK, ORANGE, PURPLE
from tbconv.report_kit.pages import Chart, Section, Table, render_card, render_page
from tbconv.report_kit.words import DASH, ELSEWHERE, INTERVAL, Found, at_least, estimate, rounded, share
from torch_train.evaluation import statistics
from torch_train.evaluation.predictions import AGE_SEX, BASELINE, PRIOR, TRAINED
from torch_train.evaluation.statistics import FEWEST, FIGURES
from torch_train.run_folder import NETWORKS, TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]
PAGE, CARD = "evaluation.html", "model_card.md"
ROOM = Path(__file__).parent
MODELS = {TRAINED: NETWORKS["trained"], BASELINE: "baseline", AGE_SEX: "age and sex alone", PRIOR: "class prior"}
FIGURE_TITLES = TITLES | {
    "auroc": "AUROC, folds pooled",
    "auroc_mean_of_folds": "AUROC, mean of folds",
    "brier": "Brier score",
    "log_loss": "log loss",
    "slope": "slope",
    "offset": "offset",
}
SYNTHETIC = "SYNTHETIC films, drawn by a program: no figure on this page is of patients."
INTENDED = "Research on reading chest X-rays by machine: comparing recipes, data and thresholds on labelled films."
NOT_FOR = (
    "Deciding about a patient, in either direction, or screening anyone without a study of its own.",
    "Films of other views, ages, hospitals or devices than those below, or another disease.",
    "Choosing a threshold from the sweep and quoting its figures from the same films.",
)


def write_report(folder: Path, summary: Json) -> list[Path]:
    """Write evaluation.html and model_card.md and return their paths.

    Args:
        folder: that is there already.
        summary: of `summarise`, or read back from its JSON.
    """
    texts = {PAGE: report_page(summary), CARD: model_card(summary)}
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in texts]


def report_page(summary: Json) -> str:
    """Return the page, HTML with everything inside, made from the summary alone."""
    drawn = _charts(summary)
    closing = [
        Section("use", "What it is for", [INTENDED, "It is not for:"], points=NOT_FOR),
        Section("limits", "What the figures do not say", points=limits(summary)),
        Section("origin", "Where it comes from", facts=facts(summary)),
    ]
    return render_page(
        ROOM / "evaluation.html.j2",
        title=f"Evaluation: {summary['labels']['positive']} against {summary['labels']['negative']}",
        disclaimer=summary["disclaimer"],
        synthetic=SYNTHETIC if summary["synthetic"] else "",
        subject=subject(summary),
        headlines=_headlines(summary),
        sections=[*all_sections(summary, drawn), *closing],
    )


def model_card(summary: Json) -> str:
    """Return the card as Markdown, made from the summary alone."""
    return render_card(
        ROOM / "model_card.md.j2",
        summary=summary,
        intended=INTENDED,
        not_for=NOT_FOR,
        subject=subject(summary),
        facts=facts(summary),
        sections=all_sections(summary, {}),
        limits=limits(summary),
    )


def all_sections(summary: Json, drawn: dict[str, list[Chart]]) -> list[Section]:
    """Return every section with its charts, in reading order."""
    made = (
        models_section(summary),
        _transferred(summary),
        _sample_size(summary),
        _folds(summary),
        _calibration(summary),
        subgroups_section(summary["subgroups"]),
        _thresholds(summary),
    )
    return [replace(one, charts=drawn.get(one.key, ())) for one in made]


def _headlines(summary: Json) -> list[dict[str, str]]:
    """Return what a reader looks for first: name, value, interval, remark."""
    row, n, main = summary["transported"], summary["films"], summary["main"]
    found = [
        ("AUROC", estimate(summary["readers"][main]["auroc"]), f"{MODELS[main]}, n = {n['n']}"),
        ("sensitivity", estimate(row["sensitivity"]), f"n = {n['positives']}, thresholds chosen on other films"),
        ("specificity", estimate(row["specificity"]), f"n = {n['negatives']}, the same thresholds"),
        (f"PPV at a prevalence of {summary['settings']['prevalence']:g}", at_least(row["ppv"]), ELSEWHERE),
    ]
    if who := _who(summary):
        found.append(("WHO triage target 90 / 70", who["verdict"], "by the bounds of both; a target for tuberculosis"))
    parts = [(what, value.partition(" ("), remark) for what, value, remark in found]
    return [
        {"name": what, "value": value, "interval": rest.rstrip(")").removeprefix(INTERVAL), "remark": remark}
        for what, (value, _, rest), remark in parts
    ]


def opening(summary: Json) -> list[str]:
    """Return what matters in four lines: the films, AUROC, what the thresholds reached, what a flag is worth."""
    row, main, readers = summary["transported"], summary["main"], summary["readers"]
    others = [f"{MODELS[name]} {estimate(one['auroc'])}" for name, one in readers.items() if name != main]
    beside = f"; {'; '.join(others)}" if others else ""
    reached = f"sensitivity {estimate(row['sensitivity'])}, specificity {estimate(row['specificity'])}"
    prevalence = f"{summary['settings']['prevalence']:g}"
    return [
        subject(summary),
        f"AUROC: {MODELS[main]} {estimate(readers[main]['auroc'])}{beside}",
        f"at thresholds chosen on other films: {reached}",
        f"PPV at a prevalence of {prevalence}: {at_least(row['ppv'])}, {ELSEWHERE}",
    ]


def _who(summary: Json) -> Json | None:
    """Return the verdict on WHO's target; None where the positive class is not known to be tuberculosis."""
    found: Json | None = summary["transported"].get("who")
    return found if looks_for_tuberculosis(Labels(**summary["labels"])) else None


# --- sections ---
# What an evaluation says, as headings, sentences and tables of plain text: page and model card show just these.


def subject(summary: Json) -> str:
    """Return one sentence: what was tested, and how."""
    films, names = summary["films"], summary["labels"]
    kind = "SYNTHETIC films (drawn, no patients)" if summary["synthetic"] else "films"
    patients = f"{films['patients']} patients" if films["patients_known"] else "unknown patients, each counted as one"
    unseen = "none of that patient's films" if films["patients_known"] else "neither that film nor a copy of it"
    counts = f"{films['positives']} {names['positive']}, {films['negatives']} {names['negative']}"
    # every 70/20/10 split (`EvaluateConfig.title`) draws test films of its own
    times = "at least once" if summary["protocol"] == "70/20/10" else f"{summary['repeats']} times"
    times = "once" if summary["repeats"] == 1 else times
    return (
        f"{films['n']} {kind} of {patients} ({counts}), each tested {times} by a model trained on {unseen}. "
        f"Protocol: {summary['protocol']}, {summary['fits']} fits."
    )


def models_section(summary: Json) -> Section:
    """Return the figures of every model side by side, and the main model's gains."""
    models, differences = summary["readers"], summary["differences"]
    rows = [
        [FIGURE_TITLES[name], str(max(one[name]["n"] for one in models.values()) or DASH)]
        + [estimate(one[name]) for one in models.values()]
        for name in FIGURES
    ]
    tables = [Table(("figure (95 % interval)", "n", *(MODELS[model] for model in models)), rows)]
    if differences:
        gains = [
            [FIGURE_TITLES[name], *(estimate(other[name], signed=True) for other in differences.values())]
            for name in FIGURES
        ]
        columns = (f"{MODELS[summary['main']]}, minus", *(MODELS[other] for other in differences))
        tables.append(Table(columns, gains))
    text = (
        (
            f"Intervals: {summary['interval']}; shares by the binomial at the variance of these, AUROC on the logit "
            "scale. Each figure is averaged over repeats inside a resample, so repeats do not count as more films. "
            "Sensitivity, specificity and accuracy are at each fold's own threshold, chosen on other films."
        ),
        (
            "Pooled margins come from different networks, whose scales may differ; the mean of the folds' own AUROCs "
            "does not compare films of different folds. Baseline: "
            f"{NETWORKS['baseline'].partition('(')[2].rstrip(')')}."
        ),
    )
    return Section("models", "What each model reached", text, tables)


def _sample_size(summary: Json) -> Section:
    text = [_claim(name, one) for name, one in summary["enough"].items()]
    return Section("sample-size", "What this many films could prove", text)


def _claim(name: str, one: Json) -> str:
    kind, have = ("positive" if name == "sensitivity" else "negative"), one["have"]
    needed = one["all_found_two_sided"]
    power = " and ".join(f"{100 * p:.0f} % if it is {rate}" for rate, p in one["power"].items())
    chance = f" The chance that {have} show it: {power} in truth." if power else ""
    at_observed = ""
    if one["observed"] is not None:
        rate, takes = share(one["observed"], max(have, 1)), one["at_observed"]
        takes = "no number within reach shows it" if takes is None else f"it takes {takes:,}"
        at_observed = f" At the rate observed here, {rate}, {takes}."
    return (
        f"To show a {name} of at least {100 * one['target']:g} % at 95 % confidence takes {needed} {kind} patients "
        f"(one-sided {one['all_found_one_sided']}) without a single error. There are {have}: "
        f"{'enough' if have >= needed else 'TOO FEW'}.{at_observed} The highest lower bound that {have} can give is "
        f"{share(one['best_lower_bound'], max(have, 1))}.{chance}"
    )


def _folds(summary: Json) -> Section:
    key, title, found = "folds", "How the threshold transfers", summary["folds"].get(summary["main"])
    if found is None:
        return Section(key, title, ["This model gives all films of a fold one margin."])
    rows = [
        (
            f"{row['fold']}, repeat {row['repeat'] + 1}",
            f"{row['positives']} + {row['negatives']}",
            f"{row['threshold']:+.2f}",
            *(estimate(row[name]) for name in ("auroc", "sensitivity", "specificity")),
        )
        for row in found["rows"]
    ]
    target = f"{summary['target_sensitivity']:g}"
    ranges = "; ".join(
        f"{name} {one['low']:.2f} to {one['high']:.2f}, median {one['median']:.2f}"
        for name, one in found["between_folds"].items()
        if one
    )
    text = (
        f"Each fold's threshold was chosen on its own validation films for a target sensitivity of {target}. On films "
        f"it was not chosen on: {ranges}. It fell short of {target} in {found['short']} of {len(rows)} folds."
    )
    columns = ("fold", "positive + negative", "threshold (margin)", "AUROC", "sensitivity", "specificity")
    return Section(key, title, [text], [Table(columns, rows)])


def _calibration(summary: Json) -> Section:
    rows = [
        (
            MODELS[model],
            *(
                estimate(found[kind][name], digits=2)
                for kind in ("margins", "calibrated")
                for name in ("slope", "offset")
            ),
            estimate(found["ece"]),
        )
        for model, found in summary["calibration"].items()
    ]
    columns = ("model", "slope of margins", "offset", "slope once calibrated", "offset once calibrated", "ECE")
    text = (
        "Slope 1 and offset 0 are what a calibrated logit has; a slope below 1 is overconfident, above 1 "
        "underconfident (some 1.1 once calibrated on few films). Margins are the networks' own; calibrated ones went "
        "through slope and offset of the other folds. The dots of the figure hold equally many films each."
    )
    return Section("calibration", "Calibration of the probabilities", [text], [Table(columns, rows)])


def subgroups_section(found: Json) -> Section:
    """Return the figures of `describe_subgroups`, one table a column of the films' table."""
    key, title = "subgroups", "Subgroups"
    if not found:
        return Section(key, title, ["Neither sex, age nor site of any film is known."])
    classes = {"auroc": "either class", "sensitivity": "the positive", "specificity": "the negative"}
    few = {name: f"fewer than {FEWEST} of {which}" for name, which in classes.items()}
    tables = [
        Table(
            (attribute, "n", "positive + negative", "AUROC", "sensitivity", "specificity"),
            [
                (
                    row["group"],
                    str(row["n"]),
                    f"{row['positives']} + {row['negatives']}",
                    *tuple(
                        estimate(row[name] or {"value": None, "method": f"fewer than {FEWEST} of {missing}"})
                        for name, missing in few.items()
                    ),
                )
                for row in rows
            ],
        )
        for attribute, rows in found.items()
    ]
    text = (
        f"Figures rest on at least {FEWEST} films of the class that they count. Of {sum(map(len, found.values()))} "
        "groups one in twenty intervals misses its true value by chance; look at the intervals, not at the order."
    )
    return Section(key, title, [text], tables)


def _transferred(summary: Json) -> Section:
    """What the folds' own thresholds did, and WHO's target beside it."""
    row, prevalence, who = summary["transported"], summary["settings"]["prevalence"], _who(summary)
    target = []
    if who is not None:
        target.append(
            f"{who['source']}: {who['verdict'].upper()}. It is met where both lower bounds reach it, "
            "missed where an upper bound does not."
        )
    text = (
        *target,
        f"PPV at a prevalence of {prevalence:g}: {at_least(row['ppv'])}, {ELSEWHERE}.",
        (
            f"Per 1,000 screened at a prevalence of {summary['settings']['prevalence']:g}; the test after a flag is "
            "taken as right. Bounds are those of sensitivity and specificity put in together."
        ),
    )
    rows = [("each fold's own", *_screening_cells(row, summary))]
    columns = ("threshold", *_screening_columns(summary))
    return Section("transferred", "At thresholds chosen on other films", text, [Table(columns, rows)])


def _thresholds(summary: Json) -> Section:
    """The thresholds worth printing out of the whole sweep, which the JSON holds."""
    found, n = summary["thresholds"], summary["films"]["n"]
    rows = [
        (
            f"{row['threshold']:+.2f}" if row["probability"] is None else share(row["probability"], n),
            *_screening_cells(row, summary),
        )
        for row in (found["rows"][index] for index in found["printed"])
    ]
    scale = "probability" if found["scale"] == "calibrated logit" else "margin"
    text = (
        "For orientation, not for choosing: a threshold picked here is picked on the films that it is "
        "measured on, which flatters. Probabilities are at this set's own share of positives, by calibration on other "
        "folds."
    )
    columns = (f"flagged from a {scale} of", *_screening_columns(summary))
    return Section("thresholds", "Other thresholds", [text], [Table(columns, rows)])


def _screening_columns(summary: Json) -> tuple[str, ...]:
    cost = ("cost per case found",) if "cost_per_case" in summary["transported"] else ()
    counts = ("found of 1,000", "missed of 1,000", "flagged of 1,000")
    return ("sensitivity", "specificity", "PPV", "NPV", *counts, *cost)


def _screening_cells(row: Json, summary: Json) -> tuple[str, ...]:
    """Return what a threshold does to a thousand people."""
    ill = 1000 * summary["settings"]["prevalence"]
    shares = [estimate(row[name]) for name in ("sensitivity", "specificity", "ppv", "npv")]
    counts = [amount(row[name], per=per) for name, per in (("found", ill), ("missed", ill), ("referred", 1000))]
    if "cost_per_case" in row:
        counts.append(amount(row["cost_per_case"], per=max(1.0, row["cost_per_case"]["value"] or 1.0)))
    return (*shares, *counts)


def amount(found: Found | None, *, per: float) -> str:
    """Return a count or a cost rounded to what one film more or less would change.

    Args:
        found: the figure.
        per: what it would be if the share that it rests on were 1.
    """
    if not found or found["value"] is None:
        return DASH
    places = math.ceil(math.log10(max(1, found["n"]) / per))
    value, low, high = (rounded(found[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def limits(summary: Json) -> list[str]:
    """Return what the figures do not say."""
    conditional = {
        "All films are SYNTHETIC drawings: no figure here says anything about patients.": summary["synthetic"],
        "Patients are unknown: if people have several films, folds leak and intervals are too narrow.": not summary[
            "films"
        ]["patients_known"],
        "The sites are few: the interval covers their patients, not sites that are not here.": summary["protocol"]
        == "leave one site out",
        "One fold: nothing is calibrated out of fold, and thresholds are swept on raw margins.": summary["fits"]
        == summary["repeats"],
    }
    return [
        summary["disclaimer"],
        *NO_REFERRAL.limits[1:],
        (
            "Intervals say what other patients of the same kind would do. They do not cover another hospital or "
            "device, nor wholly what another training run would have given."
        ),
        "Folds of one data set share its source: what transfers badly can look perfect here. Run tbconv audit as well.",
        *(sentence for sentence, holds in conditional.items() if holds),
    ]


def facts(summary: Json) -> dict[str, str]:
    """Return where it comes from."""
    films, settings = summary["films"], summary["settings"]
    rows = {"protocol": summary["protocol"], "fits": str(summary["fits"]), "repeats": str(summary["repeats"])}
    rows |= {"films tested": f"{films['n']} of {films['of']}", "films' digest (SHA-256)": summary["data_digest"]}
    rows |= {key.replace("_", " "): "not given" if value is None else str(value) for key, value in settings.items()}
    return rows | {"recipe": ", ".join(f"{key} {value}" for key, value in sorted(summary["recipe"].items()))}


# --- charts ---
# The figures of an evaluation, made from its summary alone.

VAGUE = 0.5  # width of an interval beyond which a value is not drawn
Column = NDArray[np.float64]


def _charts(summary: Json) -> dict[str, list[Chart]]:
    """Return the charts by the key of the section they stand in."""
    n = f"n = {summary['films']['n']} {'SYNTHETIC films' if summary['synthetic'] else 'films'}."
    cross = "Dot: each fold's own threshold."
    trade_off = (
        "Line: all thresholds, folds pooled and averaged over repeats, with the 95 % interval of sensitivity. Dot: the "
        "folds' own thresholds and both intervals."
    )
    trade_off += " Shaded corner: WHO's target for tuberculosis triage." if _who(summary) else ""
    sweep = f"Shaded: 95 % intervals. PPV is drawn where its interval is narrower than {VAGUE}."
    yields = f"Cases found against films flagged; shaded: 95 % interval of sensitivity. {cross}"
    found = {
        "transferred": [Chart("Trade-off", _trade_off(summary), f"{trade_off} {n}")],
        "thresholds": [
            Chart("Over all thresholds", _sweep(summary), f"{sweep} {n}"),
            Chart("Of 1,000 screened", _yield(summary), f"{yields} {n}"),
        ],
    }
    if "cost_per_case" in summary["transported"]:
        cost = f"What a case found costs at each sensitivity. {cross}"
        found["thresholds"].append(Chart("Cost of a case found", _cost(summary), f"{cost} {n}"))
    bins = summary["calibration"].get(summary["main"], {}).get("bins")
    if bins:
        caption = (
            "A dot on the diagonal says that the probability means what it says. Bars: 95 % intervals, by patient."
        )
        svg = charts.reliability_chart(bins, key="reliability", across="probability by calibration on other folds")
        found["calibration"] = [Chart("Reliability", svg, f"{caption} {n}")]
    if summary["main"] in summary["folds"]:
        caption = "Each dot is a fold at its own threshold; bar: the median; dashed: the target sensitivity."
        found["folds"] = [Chart("Every fold", _fold_dots(summary), f"{caption} {n}")]
    return found


def _trade_off(summary: Json) -> str:
    rows, row = summary["thresholds"]["rows"], summary["transported"]
    with charts.drawing() as (figure, axes):
        if _who(summary):
            wide, high = 1 - statistics.SPECIFICITY, 1 - statistics.SENSITIVITY
            axes.fill_between([0, wide], 1 - high, 1, color=PURPLE, alpha=0.2, linewidth=0)
            axes.text(wide / 2, 1 - high / 2, "WHO 90 / 70", color=PURPLE, fontsize=9, ha="center", va="center")
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        _curve(axes, 1 - _column(rows, "specificity"), rows, "sensitivity")
        up, across = row["sensitivity"], row["specificity"]
        if up["value"] is not None and across["value"] is not None:
            at = (1 - across["value"], up["value"])
            axes.plot([1 - across["high"], 1 - across["low"]], [at[1], at[1]], color=INK, linewidth=1.6)
            axes.plot([at[0], at[0]], [up["low"], up["high"]], color=INK, linewidth=1.6)
            axes.plot(*at, "o", color=INK, markersize=6)
        axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        title = "sensitivity over false alarms" + (", with WHO's target" if _who(summary) else "")
        return charts.figure_to_svg(figure, key="trade-off", title=title)


def _sweep(summary: Json) -> str:
    rows = summary["thresholds"]["rows"]
    at = np.array([row["threshold"] for row in rows])
    low, high = (_column(rows, "ppv", end) for end in ("low", "high"))
    with charts.drawing() as (figure, axes):
        _curve(axes, at, rows, "sensitivity", ORANGE)
        _curve(axes, at, rows, "specificity", BLUE)
        ppv = np.where(high - low < VAGUE, _column(rows, "ppv"), np.nan)
        axes.plot(at, ppv, "--", color=INK, label=f"PPV at {summary['settings']['prevalence']:g}")
        axes.plot(at, _column(rows, "npv"), ":", color=INK, label="NPV")
        axes.set(xlabel=f"threshold ({summary['thresholds']['scale']})", ylim=(-0.02, 1.02))
        axes.legend(loc="center left", fontsize=9)
        title = "sensitivity, specificity, PPV and NPV over all thresholds"
        return charts.figure_to_svg(figure, key="sweep", title=title)


def _yield(summary: Json) -> str:
    rows, row, ill = summary["thresholds"]["rows"], summary["transported"], 1000 * summary["settings"]["prevalence"]
    with charts.drawing() as (figure, axes):
        _curve(axes, _column(rows, "referred"), rows, "found")
        axes.axhline(ill, color=GREY, linestyle=":")
        if row["found"]["value"] is not None:
            axes.plot(row["referred"]["value"], row["found"]["value"], "o", color=INK, markersize=6)
        axes.set(xlabel="films flagged of 1,000 screened", ylabel=f"cases found of {ill:g}", ylim=(0, 1.04 * ill))
        return charts.figure_to_svg(figure, key="yield", title="cases found over films flagged")


def _cost(summary: Json) -> str:
    from matplotlib.ticker import LogLocator, NullLocator

    rows = [row for row in summary["thresholds"]["rows"] if row["cost_per_case"]["value"] is not None]
    row = summary["transported"]
    with charts.drawing() as (figure, axes):
        axes.plot(_column(rows, "sensitivity"), _column(rows, "cost_per_case"), color=BLUE)
        if row["cost_per_case"]["value"] is not None:
            axes.plot(row["sensitivity"]["value"], row["cost_per_case"]["value"], "o", color=INK, markersize=6)
        axes.set(xlabel="sensitivity", ylabel="cost per case found (log scale)", xlim=(-0.02, 1.02), yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_locator(NullLocator())
        return charts.figure_to_svg(figure, key="cost", title="cost per case found over sensitivity")


def _fold_dots(summary: Json) -> str:
    rows = summary["folds"][summary["main"]]["rows"]
    values = {name: _column(rows, name) for name in ("sensitivity", "specificity")}
    known = {name: found[np.isfinite(found)] for name, found in values.items()}
    target = summary["target_sensitivity"]
    strips = [
        charts.Strip("sensitivity", known["sensitivity"], ORANGE, target),
        charts.Strip("specificity", known["specificity"], BLUE),
    ]
    with charts.drawing(5.0, 2.2) as (figure, axes):
        charts.strip_chart(strips, axes)
        axes.set(xlim=(-0.02, 1.02))
        title = "sensitivity and specificity of every fold"
        return charts.figure_to_svg(figure, key="folds-chart", title=title)


def _curve(axes: Axes, x: Column, rows: Sequence[Json], name: str, colour: str = BLUE) -> None:
    """Draw a figure with its 95 % interval over x."""
    axes.fill_between(x, _column(rows, name, "low"), _column(rows, name, "high"), color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, _column(rows, name), color=colour, label=name)


def _column(rows: Sequence[Json], name: str, end: str = "value") -> Column:
    return np.array([np.nan if row[name][end] is None else row[name][end] for row in rows], np.float64)
