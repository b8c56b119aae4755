"""What an evaluation says, as headings, sentences and tables of plain text: page and model card show just these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch_train.evaluation.figures import FIGURES
from torch_train.evaluation.words import DASH, FIGURE_TITLES, READERS, amount, estimate, share
from torch_train.report import NETWORKS

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
    wished, spread = f"{summary['wished_sensitivity']:g}", found["spread"]
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
