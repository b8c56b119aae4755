"""The page of a comparison and the lines that the command prints: the verdict first, then every film that changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from convert.certificate.retune_page import WORDS
from convert.parity.margins import BROKEN, CANNOT_SAY, HOLDS
from tbconv.contract.errors import NO_REFERRAL
from tbconv.contract.files import write_atomic
from tbconv.report_kit.pages import Cell, Section, Table, render_page
from tbconv.report_kit.words import DASH, digits_for, estimate, rounded, short

Json = dict[str, Any]
PAGE = "compare.html"
TEMPLATE = Path(__file__).with_name("compare.html.j2")
MOST_PRINTED, MOST_SHOWN = 10, 500  # flips on a terminal, and on the page; compare.json has all
NAMES = {"sensitivity": "sensitivity", "specificity": "specificity", "flips": "films that change"}
OPTIONS = {
    "sensitivity_margin": "--sensitivity-margin",
    "specificity_margin": "--specificity-margin",
    "most_flips": "--most-flips",
}
OPTION_OF = {
    "sensitivity": OPTIONS["sensitivity_margin"],
    "specificity": OPTIONS["specificity_margin"],
    "flips": OPTIONS["most_flips"],
}
SYNTHETIC = "SYNTHETIC films: no figure on this page is of patients."


def write_page(folder: Path, found: Json) -> Path:
    """Write compare.html into a folder that is there, and return its path."""
    text = render_page(
        TEMPLATE,
        title="What changed between two models",
        disclaimer=found["disclaimer"],
        synthetic=SYNTHETIC if found["films"]["synthetic"] else "",
        subject=subject(found),
        verdict=verdict(found),
        headlines=[_headline(found, name) for name in found["judged"]],
        sections=sections(found),
    )
    write_atomic(folder / PAGE, text.encode())
    return folder / PAGE


def subject(found: Json) -> str:
    """Return one sentence: what was compared on what."""
    films, labels = found["films"], found["labels"]
    sides = " with ".join(f"{title} {_named(found[key])}" for title, key in (("NEW", "new"), ("OLD", "old")))
    kind = "SYNTHETIC films" if films["synthetic"] else "films"
    who = f" of {films['patients']} patients" if films["patients_known"] else ""
    counts = f": {films['positives']} {labels['positive']}, {films['negatives']} {labels['negative']}"
    return f"{sides}, on {films['n']} {kind}{who}{counts if found['labelled'] else ' without labels'}."


def _named(side: Json) -> str:
    name = side["name"] if side["artefact"] in side["name"] else f"{side['name']} ({side['artefact']})"
    return f"{name}, {side['sha256'][:12]}"


def verdict(found: Json) -> str:
    """Return what all margins together say, as one sentence."""
    told = {name: row for name, row in found["judged"].items() if row["verdict"] is not None}
    if not told:
        return "Nothing was judged: no margin was given."
    because = "; ".join(judged(found, name) for name, row in told.items() if row["verdict"] == found["verdict"])
    return f"{found['verdict']}: {because}."


def judged(found: Json, name: str) -> str:
    """Return one margin and what the films say of it."""
    row = found["judged"][name]
    said = f"{_value(found, name)}, margin {row['margin']:g}"
    if row["verdict"] == HOLDS and name == "flips" and row["margin"] == 0:
        return f"{said}: of these films none changed; of others at most {row['high']:.2g} (95 %)"
    if row["verdict"] != CANNOT_SAY:
        return said
    return f"{said}: {row['patients']} {_who(found, name)} are too few to tell, {needed(found, name)}"


def needed(found: Json, name: str, *, whom: bool = False) -> str:
    """Return how many films or patients would tell; `whom` says of which class."""
    of, count = f" {_who(found, name)}" if whom else "", found["judged"][name]["needed"]
    if count is None:
        return "and no number of films like these would tell"
    return f"at least {count:,}{of} are needed if they turn out like these"


def _who(found: Json, name: str) -> str:
    unit = "patients" if found["films"]["patients_known"] else "films"
    label = {"sensitivity": "positive", "specificity": "negative"}.get(name)
    return unit if label is None else f"{unit} of the class {found['labels'][label]}"


def _value(found: Json, name: str) -> str:
    row = found["judged"][name]
    if name != "flips":
        return f"{NAMES[name]} {estimate(row, signed=True)}"
    return f"{len(found['flips'])} of {row['n']} films change, {estimate(row)}"


def lines(found: Json) -> list[str]:
    """Return what the command prints: verdict, films, differences, flips."""
    rows = [verdict(found), subject(found)]
    shares = [name for name in found["judged"] if name != "flips"]
    rows += [f"{name}: {_before_after(found, name)}; difference {_difference(found, name)}" for name in shares]
    if found["auroc"] is not None:
        rows.append(f"AUROC: difference {estimate(found['auroc'], signed=True)}")
    rows += [f"{_value(found, 'flips')}{_judged_as(found, 'flips')}", *_flip_lines(found)]
    notes = [f"{title}: {one}" for title, key in (("OLD", "old"), ("NEW", "new")) for one in found[key]["notes"]]
    return [*rows, *(f"note: {one}" for one in (*notes, *found["notes"]))]


def _before_after(found: Json, name: str) -> str:
    old, new = (estimate(found["figures"][key][name]) for key in ("old", "new"))
    return f"{old} -> {new}, n = {found['judged'][name]['n']}"


def _difference(found: Json, name: str) -> str:
    row = found["judged"][name]
    films = f"{row['gained']} gained, {row['lost']} lost"
    return f"{estimate(row, signed=True)} ({films}){_judged_as(found, name)}"


def _judged_as(found: Json, name: str) -> str:
    row = found["judged"][name]
    if row["verdict"] is None:
        return ""
    more = f": {needed(found, name, whom=True)}" if row["verdict"] == CANNOT_SAY else ""
    return f" - {row['verdict']} ({OPTION_OF[name]} {row['margin']:g}){more}"


def _flip_lines(found: Json) -> list[str]:
    counts = Counter((direction(one), one["label"]) for one in found["flips"])
    ways = [f"{count} {way}{f', {label}' if label else ''}" for (way, label), count in counts.most_common()]
    rows = [f"  {'; '.join(ways)}"] if ways else []
    rows += [f"  {_flip(one)}" for one in found["flips"][:MOST_PRINTED]]
    more = len(found["flips"]) - MOST_PRINTED
    return [*rows, f"  and {more} more in compare.json"] if more > 0 else rows


def _flip(one: Json) -> str:
    label = f" {one['label']}" if one["label"] else ""
    return (
        f"{one['sha256'][:16]}{label}: {WORDS[one['old']]} -> {WORDS[one['new']]} "
        f"(margin {one['old_margin']:+.3f} -> {one['new_margin']:+.3f})"
    )


def direction(flip: Json) -> str:
    """Return which way a film went, in a word."""
    if "indeterminate" in (flip["old"], flip["new"]):
        return "decided" if flip["old"] == "indeterminate" else "undecided"
    return "newly flagged" if flip["new"] == "refer" else "no longer flagged"


# --- page ---


def _headline(found: Json, name: str) -> dict[str, str]:
    row = found["judged"][name]
    value, _, rest = estimate(row, signed=name != "flips").partition(" (")
    remark = f"margin {row['margin']:g}: {row['verdict']}" if row["verdict"] else "no margin was given"
    title = NAMES[name] if name == "flips" else f"{NAMES[name]}, new minus old"
    return {"name": title, "value": value, "interval": rest.rstrip(")"), "remark": remark}


def sections(found: Json) -> list[Section]:
    """Return every section, in reading order."""
    notes = [f"{title}: {one}" for title, key in (("OLD", "old"), ("NEW", "new")) for one in found[key]["notes"]]
    return [
        Section("before", "Before you read the figures", points=[*notes, *found["notes"]]),
        _margins(found),
        _outcomes(found),
        _films(found),
        Section("limits", "What the figures do not say", points=_limits(found)),
        Section("sides", "What was compared", tables=[_sides(found)], facts=_facts(found)),
    ]


def _margins(found: Json) -> Section:
    rows: list[list[Cell]] = []
    for name, row in found["judged"].items():
        figures = [estimate(found["figures"][key][name]) for key in ("old", "new")] if name != "flips" else [DASH, DASH]
        said = row["verdict"] or DASH
        more = needed(found, name) if row["verdict"] == CANNOT_SAY else ""
        margin = DASH if row["margin"] is None else f"{row['margin']:g}"
        counts = f"{row['gained']} gained, {row['lost']} lost" if name != "flips" else f"{len(found['flips'])} films"
        rows.append(
            [
                NAMES[name],
                *figures,
                {"text": estimate(row, signed=name != "flips", with_n=True), "small": counts},
                margin,
                {"text": said, "small": more},
            ]
        )
    if found["auroc"] is not None:
        rows.append(["AUROC", DASH, DASH, estimate(found["auroc"], signed=True, with_n=True), DASH, DASH])
    columns = ("figure (95 % interval)", "old", "new", "new minus old, or share", "margin", "verdict")
    text = (
        f"{HOLDS}: the whole interval keeps the margin. {BROKEN}: the whole interval breaks it. {CANNOT_SAY}: it lies "
        "on both sides, and more films are needed. A film without an answer (undecided, rejected, unreadable) counts "
        "as an error. Differences are paired, film by film: Tango's score interval (1998), the counts scaled down to "
        "the number of patients; films that change by Clopper and Pearson."
    )
    return Section("margins", "Against the margins given beforehand", [text], [Table(columns, rows)])


def _outcomes(found: Json) -> Section:
    labels = found["labels"]
    columns = ("old", "new", labels["positive"], labels["negative"]) if found["labelled"] else ("old", "new", "films")
    rows = []
    for row in found["outcomes"]:
        counts = (str(row["positives"]), str(row["negatives"]))
        rows.append((WORDS[row["old"]], WORDS[row["new"]], *(counts if found["labelled"] else counts[1:])))
    return Section("outcomes", "What became of every film", tables=[Table(columns, rows)])


def _films(found: Json) -> Section:
    rows = [
        (
            {"code": one["sha256"][:16]},
            one["label"] or DASH,
            WORDS[one["old"]],
            WORDS[one["new"]],
            f"{one['old_margin']:+.3f}",
            f"{one['new_margin']:+.3f}",
        )
        for one in found["flips"][:MOST_SHOWN]
    ]
    columns = ("film, SHA-256", "label", "old", "new", "old margin", "new margin")
    text = "No film changed." if not rows else f"{len(found['flips'])} films, those first whose margin moved most."
    note = "sha256sum prints these digests, here the first 16 digits; compare.json has all, and those of the pixels."
    return Section("films", "Films whose outcome changed", [text], [Table(columns, rows)] if rows else [], note=note)


def _sides(found: Json) -> Table:
    rows = []
    for title, key in (("name", "name"), ("file", "artefact"), ("version", "version"), ("threshold from", "rule_of")):
        rows.append((title, *(str(found[side][key] or DASH) for side in ("old", "new"))))
    for title, key in (("threshold, logits", "threshold"), ("abstention band, logits", "abstention_band")):
        rows.append((title, *(rounded(found[side][key], 4) for side in ("old", "new"))))
    for title, key in (("file, SHA-256", "sha256"), ("manifest, SHA-256", "manifest_sha256")):
        rows.append((title, *(short(found[side][key]) for side in ("old", "new"))))
    return Table(("", "old", "new"), rows)


def _limits(found: Json) -> list[str]:
    return [
        found["disclaimer"],
        *NO_REFERRAL.limits[1:],
        "The labels are taken as right; where they come from decides what the figures mean.",
        "A margin that is chosen after these figures were seen is no margin: write it down before (--plan).",
        "The films stand for those that a place will see only as far as they were drawn like them.",
    ]


def _facts(found: Json) -> Json:
    films, plan = found["films"], found["plan"]
    given = {OPTIONS[name]: f"{plan[name]:g}" for name in OPTIONS if plan[name] is not None}
    return {
        **given,
        **({"plan, SHA-256": short(plan["sha256"])} if plan["sha256"] else {}),
        "films and labels, SHA-256": short(films["digest"]),
        "rejected or unreadable": f"{films['rejected'] + films['unreadable']} of {films['n']}",
        "digits": f"as many as {films['n']} films carry: {digits_for(films['n'])}",
    }
