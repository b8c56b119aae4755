"""The page of a bundle at a site: its verdict first, then every film that was fed, figures beside claims, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.errors import NO_REFERRAL
from tbconv.contract.files import write_atomic
from tbconv.report_kit.charts import reliability_chart
from tbconv.report_kit.pages import Chart, Section, Table, render_page
from tbconv.report_kit.words import DASH, ELSEWHERE_THAN_SITE, INTERVAL, at_least, estimate, short
from torch_train.evaluation.report import subgroups_section

Json = dict[str, Any]
PAGE = "site.html"
TEMPLATE = Path(__file__).with_name("site.html.j2")
NAMES = {"auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
OUTCOME_WORDS = {
    "refer": "flagged",
    "not_flagged": "not flagged",
    "indeterminate": "indeterminate: too close to the threshold to call",
    "rejected": "rejected by the input gate or the film's own header",
    "unreadable": "unreadable, or no film",
}
SYNTHETIC = "SYNTHETIC films or network: no figure on this page is of patients."


def write_page(folder: Path, site: Json) -> Path:
    """Write site.html into a folder that is there, and return its path."""
    text = render_page(
        TEMPLATE,
        title=f"{site['bundle']['name']} at this site",
        disclaimer=site["disclaimer"],
        synthetic=SYNTHETIC if site["bundle"]["synthetic"] or site["films"]["synthetic"] else "",
        subject=subject(site),
        verdict=verdict(site),
        headlines=[_headline(site, name) for name in ("sensitivity", "specificity", "ppv", "auroc")],
        sections=sections(site),
    )
    write_atomic(folder / PAGE, text.encode())
    return folder / PAGE


def subject(site: Json) -> str:
    """Return one sentence: what was measured on what."""
    films, labels = site["films"], site["site_labels"]
    patients = f"{films['patients']} patients" if films["patients_known"] else "unknown patients, each counted as one"
    kind = "SYNTHETIC films" if films["synthetic"] else "films"
    return (
        f"{site['bundle']['artefact']} of {site['bundle']['name']} on {films['n']} {kind} of {patients}: "
        f"{films['positives']} {labels['positive']}, {films['negatives']} {labels['negative']}. Every film went the "
        "way of a served one, and each is counted: one without an answer counts as an error."
    )


def verdict(site: Json) -> str:
    """Return whether the bundle does here what it claims, as one sentence."""
    verdicts, differences = site["verdicts"], site["differences"]
    if not verdicts:
        return f"Nothing to compare these figures with: {site['claimed']['of']}."
    if site["worse"]:
        words = [f"{NAMES[name]} by {_less(differences[name])}" for name in site["worse"]]
        return f"WORSE AT THIS SITE than the bundle claims: {'; '.join(words)}."
    unsure = [name for name, found in verdicts.items() if found != "better"]
    if not unsure:
        return "Better at this site than the bundle claims."
    worst = [f"{NAMES[name]} up to {-min(0.0, differences[name]['low'] or 0.0):.2f} lower" for name in unsure]
    return f"Not shown to be worse at this site; these films leave room for {', '.join(worst)}."


def _less(found: Json) -> str:
    return f"{-found['value']:.2f} ({-found['high']:.2f} to {-found['low']:.2f})"


def opening(site: Json) -> list[str]:
    """Return what matters in four lines: the verdict, the films, what became of them, the figures."""
    figures = site["figures"]
    found = [f"{NAMES[name]} {estimate(figures[name])}" for name in ("sensitivity", "specificity", "auroc")]
    found.append(f"PPV{_at(site, 'ppv')} {at_least(figures['ppv'])}")
    return [verdict(site), subject(site), f"films: {_outcome_lines(site)[0]}", f"figures: {'; '.join(found)}"]


def lines(site: Json) -> list[str]:
    """Return what the command prints with --details: films without an answer, and each figure beside its claim."""
    claimed = site["claimed"]
    found = _outcome_lines(site)[1:]
    for name in ("auroc", "sensitivity", "specificity", "ppv", "npv"):
        claim = f"; the bundle claims {estimate(claimed[name], with_n=True)}" if name in claimed else ""
        said = f" - {site['verdicts'][name].upper()}" if name in site["verdicts"] else ""
        figure = at_least(site["figures"][name]) if name == "ppv" else estimate(site["figures"][name], with_n=True)
        found.append(f"{NAMES[name]}{_at(site, name)}: {figure}{claim}{said}")
    return found


def _at(site: Json, name: str) -> str:
    return f" at a prevalence of {site['settings']['prevalence']:g}" if name in ("ppv", "npv") else ""


def _outcome_lines(site: Json) -> list[str]:
    counts = {name: sum(both.values()) for name, both in site["outcomes"]["counts"].items()}
    found = [", ".join(f"{OUTCOME_WORDS[name].partition(':')[0]} {count}" for name, count in counts.items())]
    return found + [f"{row['outcome']}: {row['reason']}, {row['films']}" for row in site["outcomes"]["reasons"]]


def warnings(site: Json) -> list[str]:
    """Return what a reader has to know before any figure."""
    films, found = site["films"], []
    if site["bundle"]["fallback_reason"]:
        found.append(f"The baseline answered, not the trained network: {site['bundle']['fallback_reason']}.")
    seen = films["of_the_run"]
    if seen is None:
        found.append("It is not known which films trained this network: some of these may be among them.")
    elif trained := seen["train"] + seen["validation"] + seen.get("threshold", 0):
        found.append(f"{trained} of these films trained this network or chose its threshold: the figures flatter.")
    if films["copies"]:
        found.append(f"{films['copies']} files are copies of others among them: each counts.")
    if any(site["labels"][name].casefold() != site["site_labels"][name].casefold() for name in site["labels"]):
        both = (f"{one['positive']} from {one['negative']}" for one in (site["labels"], site["site_labels"]))
        found.append("The bundle tells {}, these labels {}.".format(*both))
    return [*found, *site["notes"]]


def _headline(site: Json, name: str) -> dict[str, str]:
    if name == "ppv":  # its lower bound: the estimate alone comforts where films are few
        figure, _, rest = at_least(site["figures"][name]).partition(" (")
        return {
            "name": NAMES[name] + _at(site, name),
            "value": figure,
            "interval": rest.rstrip(")").removeprefix(INTERVAL),
            "remark": ELSEWHERE_THAN_SITE,
        }
    value, _, rest = estimate(site["figures"][name]).partition(" (")
    said = site["verdicts"].get(name)
    claim = site["claimed"].get(name)
    remark = f"claimed {estimate(claim)}" if claim else "no claim to compare with"
    return {
        "name": NAMES[name] + _at(site, name),
        "value": value,
        "interval": rest.rstrip(")"),
        "remark": f"{remark}: {said}" if said else remark,
    }


def sections(site: Json) -> list[Section]:
    """Return every section, in reading order."""
    return [
        Section("before", "Before you read the figures", points=warnings(site)),
        _films(site),
        _claims(site),
        _screening(site),
        _calibration(site),
        subgroups_section(site["subgroups"]),
        Section(
            "limits",
            "What the figures do not say",
            points=[site["disclaimer"], *NO_REFERRAL.limits[1:], *_limits(site)],
        ),
        Section("origin", "Where it comes from", facts=_facts(site)),
    ]


def _films(site: Json) -> Section:
    rows = [
        (OUTCOME_WORDS[name], str(both["positives"]), str(both["negatives"]))
        for name, both in site["outcomes"]["counts"].items()
    ]
    tables = [Table(("what became of a film", site["labels"]["positive"], site["labels"]["negative"]), rows)]
    if site["outcomes"]["reasons"]:
        reasons = [
            (OUTCOME_WORDS[row["outcome"]], str(row["reason"]), str(row["films"]))
            for row in site["outcomes"]["reasons"]
        ]
        tables.append(Table(("films without an answer", "reason", "films"), reasons))
    text = (
        "A film that is refused, unreadable or indeterminate finds nobody who is ill and clears nobody who is well. "
        "Left out, such films would make a network look better the more of them it refuses."
    )
    return Section("films", "What became of every film", [text], tables)


def _claims(site: Json) -> Section:
    rows = [
        (
            NAMES[name],
            estimate(site["figures"][name], with_n=True),
            estimate(site["claimed"][name], with_n=True) if name in site["claimed"] else DASH,
            estimate(site["differences"][name], signed=True) if name in site["differences"] else DASH,
            site["verdicts"].get(name, DASH),
        )
        for name in ("auroc", "sensitivity", "specificity")
    ]
    columns = ("figure (95 % interval)", "this site", "the bundle claims", "site minus claim", "verdict")
    answered = [(NAMES[name], estimate(one, with_n=True)) for name, one in site["answered"].items()]
    text = (
        f"Claimed of: {site['claimed']['of']}. Intervals here: {site['interval']}. AUROC is of the films that got a "
        "margin. Worse or better: the interval of the difference (Newcombe 1998) lies on one side of 0. The claim "
        "decides films within the abstention band by the threshold, and knows no gate; here such films count as errors."
    )
    tables = [Table(columns, rows), Table(("of answered films alone", "this site"), answered)]
    return Section("claims", "Against what the bundle claims", [text], tables)


def _screening(site: Json) -> Section:
    names = {"ppv": "PPV", "npv": "NPV", "found": "found of 1,000", "missed": "missed", "referred": "flagged"}
    rows = [
        (place, *(estimate(site[key][name], digits=None if name in ("ppv", "npv") else 1) for name in names))
        for place, key in (("this site", "figures"), ("as claimed", "claimed"))
        if "ppv" in site[key]
    ]
    text = (
        f"At a prevalence of {site['settings']['prevalence']:g} (--prevalence), not that of these films, of which "
        f"{site['films']['positives'] / site['films']['n']:.0%} are positive. Bounds are those of sensitivity and "
        "specificity put in together."
    )
    return Section("screening", "For a thousand people screened", [text], [Table(("", *names.values()), rows)])


def _calibration(site: Json) -> Section:
    key, title, found = "calibration", "Are the bundle's probabilities right here?", site["calibration"]
    if found is None:
        return Section(key, title, ["Too few films got a margin."])
    line = found["calibrated"]
    rows = [(name, estimate(line[name], digits=2)) for name in ("slope", "offset")]
    rows.append(("expected calibration error", estimate(found["ece"])))
    text = (
        "Slope 1 and offset 0 are what calibrated probabilities have; a slope below 1 is overconfident. The offset "
        "also carries how many of the films are positive, which differs from place to place: probabilities are for "
        "people, decisions compare margins."
    )
    charts = []
    if found["bins"]:
        svg = reliability_chart(found["bins"], key="reliability", across="probability that the bundle gives")
        charts = [Chart("Reliability", svg, "On the diagonal a probability means what it says. Bars: 95 % intervals.")]
    return Section(key, title, [text], [Table(("figure", "this site (95 % interval)"), rows)], charts)


def _limits(site: Json) -> list[str]:
    return [
        "The labels are taken as right; where they come from decides what the figures mean.",
        f"The figures are of {site['bundle']['artefact']} at its own threshold, with the input gate on strict.",
        "Nothing was chosen on these films. If a threshold is, measure it on others.",
    ]


def _facts(site: Json) -> Json:
    bundle, films = site["bundle"], site["films"]
    return {
        "Bundle": bundle["name"],
        "Manifest, SHA-256": short(bundle["manifest_sha256"]),
        "File that answered": f"{bundle['artefact']}, {short(bundle['sha256'])}",
        "Version": bundle["version"],
        "Threshold (margin)": f"{bundle['threshold']:+.3f}",
        "Abstention band (margin)": f"{bundle['abstention_band']:.2g}",
        "Films and labels, SHA-256": short(films["digest"]),
        "Layout": films["layout"],
        "Labels from": films["label_source"],
    }
