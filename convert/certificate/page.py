"""certificate.html: the whole certificate on one page, in the order in which it is read."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.certificate.portability import portability_section
from convert.certificate.retune_page import retuned_section
from convert.formats.table import chosen_lines
from convert.parity.verdicts import FLIPS_SHARE
from tbconv.contract.certificate import ArtefactVerdict, Certificate
from tbconv.contract.golden import REFERENCE, Golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.statistics import Prediction, proportion, upper_bound
from tbconv.report_kit import charts
from tbconv.report_kit.needs import BARRED, half_line, is_barred, runtime_words
from tbconv.report_kit.pages import Cell, Chart, Section, Table, data_address, render_page
from tbconv.report_kit.words import DASH, digits_for, estimate, megabytes, rounded, short, small

PAGE = "certificate.html"
TEMPLATE = Path(__file__).with_name("certificate.html.j2")
SYNTHETIC = "Trained on drawn phantoms, not on films: every figure here is about drawings and none about patients."


def certificate_page(
    manifest: Manifest,
    certificate: Certificate,
    report: dict[str, Any],
    golden: Golden,
    answers: Mapping[str, Prediction],
    labels: NDArray[np.int64] | None,
    *,
    sizes: dict[str, int] | None = None,
    retuned: dict[str, Any] | None = None,
) -> str:
    """Return the page; it fetches nothing and runs no script.

    Args:
        manifest: names, thresholds and artefacts; its `files` may still be empty.
        certificate: the verdicts, with their scope and the file to deploy where those are known.
        report: parity.json.
        golden: the drawn inputs and every runtime's outputs for them.
        answers: outputs by runtime for the films alone; empty where none were run or kept.
        labels: int64 [N] of these films, 1 positive; None where they are not known.
        sizes: bytes by artefact, where the manifest has no files yet.
        retuned: retune.json of a bundle whose threshold was set anew.

    Returns:
        HTML, UTF-8, with everything inside.
    """
    facts = Facts(manifest, certificate, report, golden, answers, labels, sizes or {})
    found = Counter(str(row.verdict) for row in certificate.artefacts.values())
    deploy = certificate.deploy
    return render_page(
        TEMPLATE,
        title=f"Certificate of {manifest.name}",
        subject=f"{manifest.labels.positive} against {manifest.labels.negative}; "
        f"measured on {certificate.inputs.get('description', 'nothing')}; "
        f"{', '.join(f'{number} {verdict}' for verdict, number in sorted(found.items()))}.",
        disclaimer=manifest.words.disclaimer,
        synthetic=SYNTHETIC if manifest.synthetic else "",
        deploy=deploy and {"name": deploy.get("artefact"), "reason": str(deploy.get("reason", ""))},
        sections=[
            _verdicts(facts),
            retuned_section(retuned),
            _proofs(facts),
            _losses(facts),
            _distances(facts),
            _margins(facts),
            portability_section(certificate.scope.get("portability")),
            _reliability(facts),
            _needs(facts),
        ],
        maps=_maps(facts),
        closing=[_costs(facts), _int8(facts), _quality(facts), _reasons(facts), _scope(facts), _tolerances(facts)],
    )


# --- facts ---
# All that the page is made from, and the few lookups that more than one of its sections needs.


@dataclass(frozen=True, slots=True)
class Facts:
    """The bundle's JSON, the golden outputs and the outputs film by film."""

    manifest: Manifest
    certificate: Certificate
    report: dict[str, Any]  # parity.json
    golden: Golden
    answers: Mapping[str, Prediction]  # by runtime, films only; may be empty
    labels: NDArray[np.int64] | None  # [N], 1 positive
    sizes: dict[str, int] = field(default_factory=dict)  # bytes by artefact

    @property
    def films(self) -> int:
        """How many films the verdicts rest on."""
        return int(self.certificate.inputs.get("films", 0))

    @property
    def artefacts(self) -> list[Artefact]:
        """The files that have a verdict: the deployed one first, then TFLite, the baseline last."""
        known = [one for one in self.manifest.artefacts if one.path in self.certificate.artefacts]
        deployed = self.certificate.deploy.get("artefact")
        return sorted(known, key=lambda a: (a.path != deployed, a.network == "baseline", a.format != "tflite"))

    def verdict(self, artefact: Artefact) -> ArtefactVerdict:
        """Return the certificate's line on a file."""
        return self.certificate.artefacts[artefact.path]

    def shown(self) -> Artefact | None:
        """Return the file whose maps are shown: the deployed one, or the first TFLite file that may serve."""
        ready = [one for one in self.artefacts if one.format == "tflite"]
        deployed = self.certificate.deploy.get("artefact")
        return min(ready, key=lambda a: (a.path != deployed, not self.verdict(a).verdict.may_serve), default=None)

    def pair(self, artefact: Artefact) -> tuple[Prediction, Prediction] | None:
        """Return PyTorch's and the file's outputs for the films; None where one of them is missing."""
        reference, other = self.answers.get(_reference(artefact)), self.answers.get(artefact.path)
        if reference is None or other is None or len(reference.logits) == 0:
            return None
        return reference, other

    def size(self, artefact: Artefact) -> int | None:
        """Return the bytes of a file or folder; None where they are not known."""
        if artefact.path in self.sizes:
            return self.sizes[artefact.path]
        files, inside = self.manifest.files, f"{artefact.path}/"
        return sum(files[path].bytes for path in files if path == artefact.path or path.startswith(inside)) or None

    def latency(self, artefact: Artefact) -> float | None:
        """Return the measured median in ms; None where it was not measured."""
        found = self.verdict(artefact).figures.get("latency_ms")
        found = found.get("median") if isinstance(found, dict) else found
        return float(found) if isinstance(found, int | float) else None


def sizes_of(folder: Path, artefacts: Iterable[Artefact]) -> dict[str, int]:
    """Return the bytes of each artefact in a folder whose manifest is not sealed yet; a SavedModel's files together."""
    places = {one.path: folder / one.path for one in artefacts}
    return {
        name: sum(file.stat().st_size for file in (place, *place.rglob("*")) if file.is_file())
        for name, place in places.items()
    }


def _reference(artefact: Artefact) -> str:
    return f"{REFERENCE} ({artefact.network})"


def film_distances(reference: Prediction, other: Prediction) -> NDArray[np.float64] | None:
    """Return the largest |d logit| of each film, [N]; None where one is not finite or the shapes differ."""
    if reference.logits.shape != other.logits.shape or not np.isfinite(other.logits).all():
        return None
    found: NDArray[np.float64] = np.abs(other.logits.astype(np.float64) - reference.logits).max(axis=1)
    return found


# --- sections ---


def _verdicts(facts: Facts) -> Section:
    timed = any(facts.latency(one) is not None for one in facts.artefacts)
    columns = ["file", "verdict", "decisions that change", "AUROC (95 %)", "max |Δ logit|", "size"]
    rows = [_verdict_row(facts, one) for one in facts.artefacts]
    n = f"{facts.films} films" if facts.films else f"{len(facts.golden.names)} drawn inputs, no film"
    note = (
        "Changed decisions are counted against PyTorch float32 at the operating point; in brackets the largest share "
        "of such films whose decision may change, at 95 % confidence. CERTIFIED: float32, within the tolerance. "
        f"BOUNDED: reduced precision, at most {100 * FLIPS_SHARE:g} % of the measured decisions changed. Both may be "
        f"served. CANNOT SAY: measured, on too little for either, and not served; its line says what would be needed. "
        f"The deployment criteria select the file. n = {n}{_labelled(facts)}."
    )
    note += "".join(
        f" {line[0].upper()}{line[1:]}." for line in chosen_lines(facts.certificate.scope.get("formats") or {})
    )
    if timed:
        return Section("verdicts", "Verdicts", tables=[Table([*columns, "latency"], rows)], note=note)
    return Section("verdicts", "Verdicts", tables=[Table(columns, [row[:-1] for row in rows])], note=note)


def _labelled(facts: Facts) -> str:
    if not facts.films:
        return ""
    if facts.labels is None or len(facts.labels) != facts.films:
        return "" if facts.certificate.inputs.get("labelled") else ", labels not used"
    positives = int((facts.labels == 1).sum())
    return f", {positives} {facts.manifest.labels.positive} and {len(facts.labels) - positives} others"


def _verdict_row(facts: Facts, artefact: Artefact) -> list[Cell]:
    found, deploy = facts.verdict(artefact), facts.certificate.deploy
    others: dict[str, Any] = deploy.get("others") or {}
    why = "" if found.verdict.may_serve else found.reason
    why = f"not deployed: {others[artefact.path]}" if artefact.path in others else why
    mark = "deploy" if artefact.path == deploy.get("artefact") else ""
    figures, latency = found.figures, facts.latency(artefact)
    broken, changed = figures.get("problem"), DASH
    if not broken and figures.get("flips") is not None and figures.get("samples"):
        count, samples = figures["flips"], figures["samples"]
        changed = f"{count} of {samples} (≤ {100 * upper_bound(count, samples):.2g} %)"
    return [
        {"code": artefact.path, "mark": mark, "small": why},
        {"chip": str(found.verdict)},
        changed,
        estimate(figures.get("auroc")),
        small(None if broken else figures.get("max_abs_logits")),
        megabytes(facts.size(artefact)),
        DASH if latency is None else f"{latency:.3g} ms",
    ]


def _losses(facts: Facts) -> Section:
    """What each file costs in decisions and how far it is from exact arithmetic."""
    rows = {row["name"]: row for row in facts.report.get("rows", [])}
    known = [rows[one.path] for one in facts.artefacts if one.path in rows]
    if not any(row.get("decisions") or row.get("float64_distance") for row in known):
        return Section("losses", "")
    n = next((row["decisions"] for row in known if row.get("decisions")), None)
    note = (
        "Losses are PyTorch minus file on the same films (paired bootstrap, 95 %; a negative loss is a gain), then how "
        "many films were lost and gained. SQNR: of the logits against PyTorch float32. Last: root mean square distance "
        "of the margin from float64, beside eager PyTorch's own (or one float32 rounding step of what the margin is "
        "summed from, where that is larger)."
    ) + (f" n = {n['n']}: {n['positives']} positive, {n['negatives']} negative." if n else "")
    columns = (
        "file", "AUROC loss", "sensitivity loss, points", "specificity loss, points", "SQNR", "against float64"
    )  # fmt: skip
    return Section("losses", "What conversion costs", tables=[Table(columns, list(map(_loss_row, known)))], note=note)


def _loss_row(row: dict[str, Any]) -> list[Cell]:
    found, exact = row.get("decisions") or {}, row.get("float64_distance") or {}
    sqnr = ((row.get("films") or row.get("golden")) or {}).get("sqnr_db")
    return [
        {"code": row["name"]},
        _loss(found.get("auroc_loss"), digits_for(found.get("n", 1)), 1),
        _loss(found.get("sensitivity_loss"), max(0, digits_for(found.get("positives", 1)) - 2), 100),
        _loss(found.get("specificity_loss"), max(0, digits_for(found.get("negatives", 1)) - 2), 100),
        DASH if sqnr is None else f"{sqnr:.0f} dB",
        f"{exact['db']:+.0f} dB" if "db" in exact else DASH,
    ]


def _loss(found: dict[str, Any] | None, digits: int, times: int) -> Cell:
    """Return a loss with its interval; `times` 100 writes a share in percentage points."""
    if not found:
        return DASH
    value, low, high = (rounded(times * float(found[key]), digits) for key in ("value", "low", "high"))
    films = f"{found['lost']} lost, {found['gained']} gained" if "lost" in found else ""
    return {"text": f"{value} ({low} to {high})", "small": films}


def _distances(facts: Facts) -> Section:
    """How far every file's outputs lie from PyTorch's, film by film."""
    key, title = "distance", "Distance from PyTorch"
    pairs = [(one, pair) for one in facts.artefacts if (pair := facts.pair(one)) is not None]
    if not pairs:
        drawn = f"No film was run: the figures above are of the {len(facts.golden.names)} drawn inputs below."
        return Section(key, title, [drawn if not facts.films else "The outputs film by film were not kept."])
    strips = [_strip(facts, *pair) for pair in pairs]
    caption = (
        f"A dot is a film ({max(len(pair[0].logits) for _, pair in pairs)} of them), a bar the median, a dashed line "
        "what a float32 file may differ by (ten times PyTorch's own rounding, or ten float32 steps of what the margin "
        "is summed from, whichever is larger). Blue: float32; orange: reduced precision. Films without any difference "
        "lie at the left end."
    )
    with charts.drawing(11, 0.42 * len(strips) + 0.8) as (figure, axes):
        charts.strip_chart(strips, axes, log=True)
        axes.set(xlabel="largest |Δ logit| of a film, against PyTorch float32 (log scale)")
        svg = charts.figure_to_svg(figure, key=key, title="distances from PyTorch by film and file")
    return Section(key, title, charts=[Chart("", svg, caption, wide=True)])


def _strip(facts: Facts, artefact: Artefact, pair: tuple[Prediction, Prediction]) -> charts.Strip:
    exact, found = artefact.precision == "float32", film_distances(*pair)
    limit = facts.certificate.tolerances.get(artefact.network, {}).get("logits") if exact else None
    remark = "" if found is None else f"max {small(float(found.max()))}"
    return charts.Strip(artefact.path, found, charts.BLUE if exact else charts.ORANGE, limit, remark)


def _margins(facts: Facts) -> Section:
    """Where each reduced file's margins lie, and which decisions change."""
    legend = (
        "Each film's margin in the file minus PyTorch's, over PyTorch's. Films beyond the slanted line change sides of "
        "the threshold (ringed); outside the shaded abstention band none did. Orange: positive films; blue: negative."
    )
    panels = [
        _margin_chart(facts, one, pair)
        for one in facts.artefacts
        if one.precision != "float32" and (pair := facts.pair(one)) is not None
    ]
    return Section("margins", "Margins of reduced files", [legend] if panels else [], charts=panels)


def _margin_chart(facts: Facts, artefact: Artefact, pair: tuple[Prediction, Prediction]) -> Chart:
    if film_distances(*pair) is None:
        return Chart(artefact.path, "", "NaN, infinite or misshapen outputs: nothing to draw.")
    reference, other = (one.margin.astype(np.float64) for one in pair)
    point, band = (
        facts.manifest.decision_rules[artefact.network].operating_point,
        facts.verdict(artefact).abstention_band,
    )
    threshold, moved, labels = point.margin, other - reference, facts.labels
    changed = point.is_positive(pair[0].margin) != point.is_positive(pair[1].margin)
    reach = max(float(np.abs(moved).max()), 1e-9) * 1.1
    ends = min(reference.min(), threshold), max(reference.max(), threshold)
    room = 0.04 * max(ends[1] - ends[0], 1e-6)
    with charts.drawing() as (figure, axes):
        axes.axvspan(threshold - band, threshold + band, color=charts.AMBER, alpha=0.25, linewidth=0)
        axes.axvline(threshold, color=charts.INK, linewidth=1.3)
        axes.plot([threshold - reach, threshold + reach], [reach, -reach], "--", color=charts.GREY, linewidth=1.2)
        for label, colour in enumerate(charts.CLASSES if labels is not None else [charts.GREY]):
            rows = labels == label if labels is not None else np.ones(len(moved), np.bool_)
            charts.draw_dots(axes, reference[rows], moved[rows], colour)
        rings = axes.plot(reference[changed], moved[changed], "o", color=charts.INK, markersize=10, fillstyle="none")
        rings[0].set_gid("changed")
        axes.set(xlim=(ends[0] - room, ends[1] + room), ylim=(-reach, reach))
        axes.set(xlabel="PyTorch's margin, logits", ylabel="file \N{MINUS SIGN} PyTorch, logits")
        said = "difference of margins over PyTorch's margin"
        svg = charts.figure_to_svg(figure, key=f"margins-{artefact.precision}", title=said)
    inside = int((np.abs(other - threshold) <= band).sum())
    caption = (
        f"{int(changed.sum())} of {len(moved)} decisions changed; threshold {threshold:+.3f}, abstention band "
        f"±{band:.2g} logits, {inside} films in it."
    )
    return Chart(artefact.path, svg, caption)


def _reliability(facts: Facts) -> Section:
    """Reliability before and after conversion."""
    key, title, artefact, labels = "reliability", "Reliability before and after conversion", facts.shown(), facts.labels
    pair = None if artefact is None else facts.pair(artefact)
    if artefact is None or pair is None or labels is None or film_distances(*pair) is None:
        return Section(key, title)
    panels = [
        Chart(
            title,
            charts.reliability_chart(
                reliability(answer.probability, labels), key=key, across="probability of the positive class"
            ),
        )
        for key, title, answer in (
            ("before", "PyTorch float32, before", pair[0]),
            ("after", f"{artefact.path}, after", pair[1]),
        )
    ]
    note = (
        f"Films in tenths of their probability, with exact (Clopper-Pearson) 95 % intervals; n = {len(labels)}. "
        "On the diagonal a probability means what it says, at this set's share of positives "
        f"({100 * float((labels == 1).mean()):.0f} %)."
    )
    return Section(key, title, [note], charts=panels)


def reliability(probability: NDArray[np.floating], labels: NDArray[np.int64], bins: int = 10) -> list[dict[str, Any]]:
    """Return the tenths that hold films: their mean probability, and the share of positives as an estimate in JSON.

    Args:
        probability: [N] or [N, 1], finite, 0..1.
        labels: int64 [N], 1 positive.
        bins: of equal width.
    """
    flat = probability.reshape(-1).astype(np.float64)
    which = np.clip((flat * bins).astype(np.int64), 0, bins - 1)
    groups = [which == index for index in np.unique(which)]
    return [
        {"probability": float(flat[rows].mean()), "observed": asdict(proportion(int(labels[rows].sum()), rows.sum()))}
        for rows in groups
    ]


def _costs(facts: Facts) -> Section:
    """Bars of size, and of latency where it was measured."""
    sizes = {one.path: size for one in facts.artefacts if (size := facts.size(one)) is not None}
    times = {one.path: ms for one in facts.artefacts if (ms := facts.latency(one)) is not None}
    panels = [Chart("Size", charts.bar_chart(sizes, megabytes, key="size", title="size by file"))] if sizes else []
    if times:
        drawn = charts.bar_chart(times, lambda ms: f"{ms:.3g} ms", key="latency", title="latency by file")
        panels.append(Chart("Latency", drawn, "Median, one film a call, one thread, on the machine named below."))
    return Section("costs", "Size and latency", charts=panels)


def _quality(facts: Facts) -> Section:
    metrics: dict[str, Any] = facts.certificate.scope.get("metrics") or {}
    rows = [
        [name.replace("_", " "), *(estimate(figures.get(name), with_n=True) for figures in metrics.values())]
        for name in ("auroc", "auroc_by_patient", "sensitivity", "specificity", "precision", "f1")
        if any(figures.get(name) for figures in metrics.values())
    ]
    note = "PyTorch, on the run's own test films at the operating point; 95 % intervals. Not a clinical study."
    columns = ["figure", *(f"{network} network" for network in metrics)]
    return Section("quality", "How good the network is", tables=[Table(columns, rows)] if rows else [], note=note)


def _reasons(facts: Facts) -> Section:
    rows: Sequence[Sequence[Cell]] = [
        [{"code": one.path}, facts.verdict(one).reason, {"code": short(facts.verdict(one).sha256)}]
        for one in facts.artefacts
    ]
    tables = [Table(["file", "reason", "SHA-256"], rows)] if rows else []
    return Section("reasons", "Each verdict in words", tables=tables)


def _needs(facts: Facts) -> Section:
    """Which runtimes read each file, and whether arithmetic in 16 bits holds what it computes."""
    found = facts.certificate.needs
    known = [(one.path, found[one.path]) for one in facts.artefacts if one.path in found]
    rows: Sequence[Sequence[Cell]] = [
        [{"code": path}, runtime_words(one["runtime"]), _operators(one), _half(one)] for path, one in known
    ]
    note = (
        "An older runtime refuses the file. Ranges are of values in float32; partial sums inside a convolution or a "
        "dense layer are not among them. GPU delegates compute in float16 unless they are told not to."
    )
    tables = [Table(["file", "oldest runtime", "because of", "float16 arithmetic"], rows)] if rows else []
    return Section("needs", "What each file needs", tables=tables, note=note if rows else "")


def _operators(needs: dict[str, Any]) -> str:
    return ", ".join(f"{name} {needs['operators'][name]}" for name in needs["because"])


def _half(needs: dict[str, Any]) -> Cell:
    found = needs.get("float16")
    if found is None:
        return DASH
    return {"text": BARRED if is_barred(needs) else "holds", "small": half_line(found)}


def _proofs(facts: Facts) -> Section:
    """What is true of every input: the graph and its numbers, where a verdict is about films."""
    found = facts.certificate.proofs
    rows: Sequence[Sequence[Cell]] = [
        [{"code": path}, {"chip": str(proof.verdict)}, proof.reason] for path, proof in found.items()
    ]
    note = (
        "Each file was read back and compared with model.onnx, every weight, folded in float64: it holds for every "
        "input, up to the rounding that is stated. Kernels, and activations in 8 bits, are measured on films."
    )
    tables = [Table(["file", "proof", "reason"], rows)] if rows else []
    return Section("proofs", "Proven for every input", tables=tables, note=note if rows else "")


def _int8(facts: Facts) -> Section:
    """How the int8 file was chosen: what was tried, and why not the others."""
    found: dict[str, Any] | None = facts.report.get("int8")
    if found is None:
        return Section("int8", "How the int8 file was chosen")
    rows: Sequence[Sequence[Cell]] = [
        [
            {"text": one["recipe"], "mark": "chosen" if number == found["chosen"] else ""},
            short_number(one["near"]),
            DASH if one["flips"] is None else f"{one['flips']} on {found['near_films']} films",
            short_number(one["latency"]),
            one.get("refused", ""),
        ]
        for number, one in enumerate(found["candidates"])
    ]
    columns = ["recipe", "moves decisions by, logits", "flips", "x latency", "not taken because"]
    note = (
        f"{found['verdict']}; the search ended because {found['ended']}. Ranges were set on "
        f"{found['calibration_films']} calibration films; candidates were ranked on the "
        f"{found['near_films']} nearest to a decision of {found['ranking_films']} others. Verdicts rest on neither."
    )
    return Section("int8", "How the int8 file was chosen", tables=[Table(columns, rows)], note=note)


def short_number(value: float | None) -> str:
    """Return three digits, or a dash."""
    return DASH if value is None else f"{value:.3g}"


def _scope(facts: Facts) -> Section:
    """What the certificate holds for: digests, calibration films, versions, processor, kernels."""
    found, machine = facts.certificate.scope, facts.certificate.environment
    packages = found.get("packages") or machine.get("packages") or {}
    listed = {"packages": ", ".join(f"{name} {version}" for name, version in packages.items())} if packages else {}
    if not found:
        return Section("scope", "What it holds for", facts=listed)
    processor, kernels, films = found.get("processor") or {}, found.get("kernels") or {}, found.get("calibration")
    values = {
        **{f"weights, {name}": short(digest) for name, digest in (found.get("weights") or {}).items()},
        "calibration films": f"{films['films']} of the training part; pixels and labels {short(films['sha256'])}"
        if films
        else "not known here",
        "films measured on": short(facts.certificate.inputs.get("films_sha256")),
        "processor": processor.get("model", "unknown"),
        "processor flags, all": short(processor.get("flags_sha256")),
        "of these for kernels": " ".join(processor.get("kernel_flags") or ["unknown"]),
        "kernels": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in kernels.items()),
        "commit": machine.get("git_commit") or "unknown",
    }
    note = "SHA-256, first 16 digits; certificate.json has all of them."
    return Section("scope", "What it holds for", facts=values | listed, note=note)


def _tolerances(facts: Facts) -> Section:
    rows: list[list[Cell]] = [
        [
            network,
            {"text": small(one["logits"]), "small": str(one.get("empty") or "")},
            small(one.get("noise")),
            str(one.get("logits_origin", "")),
        ]
        for network, one in facts.certificate.tolerances.items()
        if isinstance(one, dict) and "logits" in one
    ]
    columns = ["network", "float32 logits may differ by", "PyTorch's own rounding", "where the number comes from"]
    return Section("tolerances", "Tolerances", tables=[Table(columns, rows)] if rows else [])


# --- maps ---
# The golden inputs as pictures: PyTorch's evidence beside the file's, on one scale, so that a difference is seen.

SIDE = 112  # pixels of a picture: half of what the network sees
POSITIVE, NEGATIVE = (230, 97, 1), (33, 102, 172)  # as in tf_serve.predict, which would load LiteRT
OPACITY, FAINTEST_SCALE = 0.55, 1.0  # of the strongest cell; logits


def _maps(facts: Facts) -> dict[str, Any] | None:
    artefact, answers = facts.shown(), facts.golden.answers
    if artefact is None or artefact.path not in answers or _reference(artefact) not in answers:
        return None
    point = facts.manifest.decision_rules[artefact.network].operating_point
    reference, other = answers[_reference(artefact)], answers[artefact.path]
    furthest = film_distances(reference, other)
    note = (
        "Drawn inputs, no patient behind any of them: probes that show a transpose or a wrong range, and synthetic "
        f"phantoms. Orange moved the margin up, blue down; threshold {point.margin:+.3f}. Largest |Δ logit| on them "
        f"{small(None if furthest is None else float(furthest.max()))}; on inputs far from any film a reduced file "
        "may differ more than on films."
    )
    cards = []
    for row, name in enumerate(facts.golden.names):
        found = [
            (float(one.margin[row]), None if one.evidence is None else one.evidence[row]) for one in (reference, other)
        ]
        known = [float(np.abs(m).max()) for _, m in found if m is not None and np.isfinite(m).all()]
        scale = max([FAINTEST_SCALE, *known])
        kind = "(synthetic, drawn)" if name.startswith("phantom") else "(drawn probe)"
        halves = [
            {
                "name": title,
                "margin": margin,
                "decision": "flagged" if point.is_positive(np.array([margin]))[0] else "not flagged",
                "picture": picture_uri(facts.golden.model_inputs[row], evidence, scale)
                if evidence is not None and np.isfinite(evidence).all() and np.isfinite(margin)
                else None,
            }
            for title, (margin, evidence) in zip(("PyTorch", artefact.path), found, strict=True)
        ]
        cards.append({"title": f"{name.replace('_', ' ')} {kind}; full colour is {scale:.3g} logits", "halves": halves})
    return {"section": Section("evidence", "Probes and phantoms", [note]), "cards": cards, "side": SIDE}


def picture_uri(model_input: NDArray[np.uint8], evidence: NDArray[np.floating], scale: float) -> str:
    """Return a film, uint8 [S, S], coloured by its evidence, [7, 7] in logits, as a data URI (JPEG)."""
    film = Image.fromarray(model_input).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    grid = Image.fromarray(evidence.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    strength = np.clip(np.asarray(grid) / scale, -1, 1)[..., None]
    colour = np.where(strength > 0, np.array(POSITIVE), np.array(NEGATIVE))
    opacity = OPACITY * np.abs(strength)
    mixed = (1 - opacity) * np.asarray(film, np.float64)[..., None] + opacity * colour
    out = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "JPEG", quality=85)
    return data_address(out.getvalue(), "jpeg")
