"""The figures of the page, each with a caption that says what it shows and on how many films."""

from __future__ import annotations

import numpy as np

from convert.page.costs import draw_bars
from convert.page.distances import Strip, draw_distances, film_distances
from convert.page.facts import Facts, reference_name
from convert.page.maps import draw_maps
from convert.page.margins import draw_margins
from convert.page.markup import figure, paragraph, section
from convert.page.reliability import draw_reliability, reliability
from convert.page.words import megabytes, milliseconds, small
from tbconv.contract.classifier import Prediction
from tbconv.contract.manifest import Artefact


def distances(facts: Facts) -> str:
    """Return how far every file's answers lie from PyTorch's, film by film."""
    pairs = [(one, facts.pair(one)) for one in facts.artefacts]
    strips = [_strip(facts, one, pair) for one, pair in pairs if pair is not None]
    if not strips:
        return section("Distance from PyTorch", paragraph(_no_films(facts), "quiet"), key="distance")
    films = max(len(pair[0].logits) for _, pair in pairs if pair is not None)
    caption = (
        f"A dot is a film ({films} of them), a bar the median, a dashed line what a float32 file may differ by "
        "(ten times PyTorch's own rounding, or ten float32 steps of what the margin is summed from, whichever is "
        "larger). Blue: float32; orange: reduced precision. Exact answers lie at the left."
    )
    return section("Distance from PyTorch", figure(draw_distances(strips), caption, wide=True), key="distance")


def _no_films(facts: Facts) -> str:
    if facts.films:
        return "The answers film by film were not kept; the figures above are theirs."
    return f"No film was fed: the figures above are of the {len(facts.golden.names)} drawn inputs below."


def _strip(facts: Facts, artefact: Artefact, pair: tuple[Prediction, Prediction]) -> Strip:
    exact = artefact.precision == "float32"
    allowed = facts.certificate.tolerances.get(artefact.network, {}).get("logits") if exact else None
    return Strip(artefact.path, not exact, film_distances(*pair), allowed)


def margins(facts: Facts) -> str:
    """Return a panel for each reduced file: where its margins lie, and where decisions flip."""
    panels = [_margin_panel(facts, one) for one in facts.artefacts if one.precision != "float32"]
    inside = "".join(panels)
    if not inside:
        return ""
    legend = (
        "Each film's margin in the file minus PyTorch's, over PyTorch's. Films beyond the slanted line change sides of "
        "the threshold (ringed); outside the shaded band none did. Orange: positive films; blue: negative."
    )
    shown = paragraph(legend, "quiet") + f'<div class="panels">{inside}</div>'
    return section("Margins of reduced files", shown, key="margins")


def _margin_panel(facts: Facts, artefact: Artefact) -> str:
    pair = facts.pair(artefact)
    if pair is None:
        return ""
    reference, other = pair[0].margin, pair[1].margin
    if film_distances(*pair) is None:
        return figure("", "NaN, infinite or misshapen answers: nothing to draw.", title=artefact.path)
    threshold, band = facts.threshold(artefact), facts.verdict(artefact).band
    drawing = draw_margins(reference, other, threshold=threshold, band=band, labels=facts.labels)
    flipped = int(((reference >= threshold) != (other >= threshold)).sum())
    inside = int((np.abs(other - threshold) <= band).sum())
    caption = (
        f"{flipped} of {len(reference)} films shown flip; threshold {threshold:+.3f}, band ±{band:.2g} logits, "
        f"{inside} films in it."
    )
    return figure(drawing, caption, title=artefact.path)


def calibration(facts: Facts) -> str:
    """Return reliability before and after conversion."""
    artefact = facts.shown()
    pair = None if artefact is None else facts.pair(artefact)
    if artefact is None or pair is None or facts.labels is None or film_distances(*pair) is None:
        return ""
    panels = ""
    for title, answer in (("PyTorch float32, before", pair[0]), (f"{artefact.path}, after", pair[1])):
        panels += figure(draw_reliability(reliability(answer.probability, facts.labels)), "", title=title)
    note = (
        f"Films in tenths of their probability, with exact (Clopper-Pearson) 95 % intervals; n = {len(facts.labels)}. "
        "On the diagonal a probability means what it says, at this set's share of positives "
        f"({100 * float((facts.labels == 1).mean()):.0f} %)."
    )
    shown = paragraph(note, "quiet") + f'<div class="panels">{panels}</div>'
    return section("Reliability before and after conversion", shown, key="reliability")


def evidence(facts: Facts) -> str:
    """Return the golden inputs with the evidence of PyTorch and of one file."""
    artefact = facts.shown()
    answers = facts.golden.answers
    if artefact is None or artefact.path not in answers or reference_name(artefact) not in answers:
        return ""
    reference, other = answers[reference_name(artefact)], answers[artefact.path]
    note = (
        "Drawn inputs, no patient behind any of them: probes that show a transpose or a wrong range, and synthetic "
        f"phantoms. Orange moved the margin up, blue down; threshold {facts.threshold(artefact):+.3f}. "
        f"Largest |Δ logit| on them {small(_furthest(reference, other))}; on inputs far from any film a reduced "
        "file may stray more than on films."
    )
    cards = draw_maps(facts.golden, reference, other, threshold=facts.threshold(artefact), name=artefact.path)
    return section("Probes and phantoms", paragraph(note, "quiet"), cards, key="evidence")


def _furthest(reference: Prediction, other: Prediction) -> float | None:
    found = film_distances(reference, other)
    return None if found is None else float(found.max())


def costs(facts: Facts) -> str:
    """Return bars of size, and of latency where figures have it."""
    sizes = {one.path: size for one in facts.artefacts if (size := facts.size(one)) is not None}
    times = {one.path: ms for one in facts.artefacts if (ms := milliseconds(facts.verdict(one).figures)) is not None}
    panels = figure(draw_bars(sizes, megabytes, says="size by file"), "", title="Size") if sizes else ""
    if times:
        caption = "Median, one film a call, one thread, on the machine named below."
        panels += figure(draw_bars(times, lambda ms: f"{ms:.3g} ms", says="latency by file"), caption, title="Latency")
    return section("Size and latency", f'<div class="panels">{panels}</div>', key="costs") if panels else ""
