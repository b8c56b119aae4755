"""The page of a bulk run: what became of its films, whether they are as the network's own, and how fast it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tbconv.contract.files import write_atomic
from tbconv.contract.statistics import GREY_EDGES, SCORE_EDGES
from tbconv.report_kit.charts import BLUE, GREY, INK, ORANGE, bar_chart, drawing, figure_to_svg
from tbconv.report_kit.pages import Chart, Section, Table, render_page
from tbconv.report_kit.words import DASH, short
from tf_serve.score.summary import (
    ALARM,
    DECISION_WORDS,
    SHIFT_WORDS,
    STATUS_WORDS,
    drift_words,
    ordered,
    percent,
    rate,
    stage_words,
)

Json = dict[str, Any]
PAGE = "summary.html"
TEMPLATE = Path(__file__).with_name("run.html.j2")
SYNTHETIC = "SYNTHETIC network: it shows that the chain works and says nothing about a person."


def write_page(folder: Path, summary: Json) -> Path:
    """Write summary.html into the folder of results, and return its path.

    Args:
        folder: that is there.
        summary: `tf_serve.score.summary.summarise`, and what the run adds to it.
    """
    text = render_page(
        TEMPLATE,
        title=f"A run of {summary['answered_by']['name'] or 'a bundle'}",
        disclaimer=summary["disclaimer"],
        synthetic=SYNTHETIC if summary["answered_by"]["synthetic"] else "",
        subject=_subject(summary),
        verdict=_verdict(summary),
        headlines=[*(_headline(summary, name) for name in DECISION_WORDS), _without_answer(summary)],
        sections=_sections(summary),
    )
    write_atomic(folder / PAGE, text.encode(), mode=0o600)
    return folder / PAGE


def _subject(summary: Json) -> str:
    model = summary["answered_by"]
    who = f"{model['artefact']} ({model['kind']}, {model['verdict']})" if model["artefact"] else "one network"
    copies = summary["copies"]
    more = f" {copies:,} of them are copies of others, by their bytes." if copies else ""
    return f"{summary['films']:,} films, each with one row, answered by {who}.{more}"


def _verdict(summary: Json) -> str:
    told = [words for words in drift_words(summary) if words.startswith(ALARM)]
    if told:
        return "Drift: " + "; ".join(words.removeprefix(ALARM) for words in told) + "."
    drift = summary["drift"]
    known = {SHIFT_WORDS[name]: one["verdict"] for name, one in drift["shifts"].items()}
    known |= {} if drift["looks"] is None else {"how films look": drift["looks"]["verdict"]}
    if not known:
        return (
            "Whether these films are as the network's own cannot be said: the bundle has nothing to hold them against."
        )
    unsure = [name for name, verdict in known.items() if verdict == "cannot say"]
    if unsure:
        return f"No drift shown; too few films to say of {', '.join(unsure)}."
    return f"No drift: {', '.join(known)} are as those that the network was made and measured on."


def _headline(summary: Json, name: str) -> dict[str, str]:
    share = summary["rates"]["decisions"][name]
    return _card(DECISION_WORDS[name], share, f"{summary['decisions'][name]:,} of {share['n']:,} answered films")


def _without_answer(summary: Json) -> dict[str, str]:
    statuses = summary["statuses"]
    without = summary["films"] - statuses["answered"]
    told = (f"{count:,} {STATUS_WORDS[name]}" for name, count in statuses.items() if count and name != "answered")
    share = percent(without / summary["films"], summary["films"]) if summary["films"] else DASH
    return {"name": "without an answer", "value": share, "interval": "", "remark": ", ".join(told) or "none"}


def _card(name: str, share: Json, remark: str) -> dict[str, str]:
    if share["value"] is None:
        return {"name": name, "value": DASH, "interval": "", "remark": remark}
    value, low, high = (percent(share[end], share["n"]) for end in ("value", "low", "high"))
    return {"name": name, "value": value, "interval": f"{low.removesuffix(' %')} to {high}", "remark": remark}


def _sections(summary: Json) -> list[Section]:
    return [_films(summary), _scores(summary), _drift(summary), _limits(summary), _speed(summary), _origin(summary)]


def _films(summary: Json) -> Section:
    statuses = [(STATUS_WORDS[name], rate(summary, "statuses", name)) for name in summary["statuses"]]
    words = summary["decision_words"]
    decisions = [
        ({"text": DECISION_WORDS[name], "small": words.get(name, "")}, rate(summary, "decisions", name))
        for name in summary["decisions"]
    ]
    tables = [
        Table(("what became of a film", "films (share of all)"), statuses),
        Table(("decision", "films (share of the answered)"), decisions),
    ]
    named = {
        "gate_reasons": "rejected by the input gate for",
        "quarantine_reasons": "quarantined because",
        "no_film_reasons": "no film, but",
    }
    for key, title in named.items():
        if summary[key]:
            rows = [(reason.replace("_", " "), f"{films:,}") for reason, films in ordered(summary[key])]
            tables.append(Table((title, "films"), rows))
    text = (
        "Intervals are exact (Clopper-Pearson) and take films as independent: several films of one person make them "
        "too narrow. A film that is rejected or quarantined got no answer: somebody has to look at it."
    )
    return Section("films", "What became of every film", [text], tables)


def _scores(summary: Json) -> Section:
    counts = np.array(summary["scores"])
    if not counts.any():
        return Section("scores", "Scores", ["No film was answered."])
    with drawing(6.4, 3.2) as (figure, axes):
        axes.bar(np.arange(len(counts)) + 0.5, counts, 1.0, color=BLUE)
        if summary["threshold_score"] is not None:
            axes.axvline(summary["threshold_score"], color=INK, linestyle="--", linewidth=1.2)
        axes.set(xlim=(0, 100), xlabel="score (flagged from the dashed line)", ylabel="films")
        axes.grid(visible=False, axis="x")
        svg = figure_to_svg(figure, key="scores", title="scores", description=f"{counts.sum():,} films by score")
    caption = f"{counts.sum():,} answered films. Flagged from a score of {summary['threshold_score']}."
    return Section("scores", "Scores", charts=[Chart("Scores of the answered films", svg, caption)])


def _drift(summary: Json) -> Section:
    drift = summary["drift"]
    text = [f"{words[0].upper()}{words[1:]}." for words in drift_words(summary)]
    rows = [
        (SHIFT_WORDS[name], _index(one["index"]), _mix(one["positives"]), one["verdict"])
        for name, one in drift["shifts"].items()
    ]
    tables = [Table(("spread of", "PSI (95 % interval)", "positives in the mix", "verdict"), rows)] if rows else []
    if drift["limited"]:
        limited = [(name, _share(one)) for name, one in drift["limited"].items() if one["value"] is not None]
        tables.append(Table(("films whose answer says", "share of the answered (95 %)"), limited))
    charts = _drift_charts(drift) if drift["reference"] else []
    note = (
        "PSI is the population stability index: 0 for the same shares in every bin. Films are alike where all of its "
        "interval lies up to 0.1, shifted where all of it lies above. Scores are held against the mix of held-out "
        "positives and negatives that fits best, so that a programme in which few are ill is not called shifted. That "
        "mix is no measure of how many are ill."
    )
    return Section("drift", "Are these films as the network's own?", text, tables, charts, note=note if rows else "")


def _share(found: Json) -> str:
    value, low, high = (percent(found[end], found["n"]) for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _index(found: Json) -> str:
    if found["value"] is None:
        return DASH
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _mix(found: Json | None) -> str:
    return DASH if found is None else f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _drift_charts(drift: Json) -> list[Chart]:
    reference, charts = drift["reference"], []
    negative, positive = (np.array(one, np.float64) for one in reference["scores"])
    share = drift["shifts"]["score"]["positives"]
    if share is not None and negative.sum() and positive.sum():
        mixed = share["value"] * positive / positive.sum() + (1 - share["value"]) * negative / negative.sum()
        charts.append(_two("score", SCORE_EDGES, drift["scores"], mixed, "score"))
    greys = ("grey_mean", "grey_deviation")
    return charts + [_two(one, GREY_EDGES, drift["greys"][one], reference[one], SHIFT_WORDS[one]) for one in greys]


def _two(key: str, edges: Any, found: Any, reference: Any, across: str) -> Chart:
    """Draw the run's shares as bars and the reference's as a line."""
    own, other = np.array(found, np.float64), np.array(reference, np.float64)
    with drawing(4.6, 2.8) as (figure, axes):
        axes.stairs(own / max(own.sum(), 1), edges, fill=True, color=BLUE, alpha=0.55, label="this run")
        axes.stairs(other / max(other.sum(), 1), edges, color=ORANGE, linewidth=1.8, label="reference films")
        used = np.flatnonzero(own + other)
        if len(used):
            axes.set_xlim(edges[used[0]], edges[used[-1] + 1])
        axes.set(xlabel=across, ylabel="share of films")
        axes.tick_params(colors=GREY)
        axes.legend(loc="best", fontsize=9)
        svg = figure_to_svg(figure, key=f"drift-{key}", title=across, description="this run against reference films")
    return Chart(across[:1].upper() + across[1:], svg)


def _limits(summary: Json) -> Section:
    rows = [(limit, f"{films:,}") for limit, films in ordered(summary["limits"])]
    text = "What the answers do not say, and of how many films each sentence stands in the answer."
    return Section("limits", "Limits", [text], [Table(("sentence", "films"), rows)] if rows else [])


def _speed(summary: Json) -> Section:
    stages = summary["stages"]
    if not stages:
        return Section("speed", "Speed", ["This engine keeps no record of its stages."])
    rates = {words: stages[name]["films_a_second"] for name, words in stage_words(stages).items()}
    svg = bar_chart(rates, lambda value: f"{value:,.0f}", key="stages", title="films a second of one core, by stage")
    scored = summary.get("scored", 0)
    whole = f"This call answered {scored:,} films, {summary['films_a_second']:,.1f} a second." if scored else ""
    text = "Each stage by itself on one core, over all films of the run."
    return Section("speed", "Speed", [f"{whole} {text}".strip()], charts=[Chart("Films a second of one core", svg)])


def _origin(summary: Json) -> Section:
    model = summary["answered_by"]
    facts = {
        "Bundle": model["name"],
        "File that answered": model["artefact"],
        "Its SHA-256": ", ".join(short(one) for one in summary["model_sha256"]) or DASH,
        "Certificate, SHA-256": ", ".join(short(one) for one in summary["certificate_sha256"]) or DASH,
        "Version": model["version"],
        "Root of the receipts": summary.get("root", DASH),
    }
    if model["fallback_reason"]:
        facts["The baseline answered"] = model["fallback_reason"]
    return Section("origin", "Where it comes from", facts={name: value for name, value in facts.items() if value})
