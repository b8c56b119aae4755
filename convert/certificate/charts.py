"""The figures of the page, each with a caption that says what it shows and on how many films."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.certificate.html import Facts, figure, megabytes, milliseconds, paragraph, reference_name, section, small
from tbconv.contract.golden import Golden
from tbconv.contract.manifest import Artefact
from tbconv.contract.prediction import Prediction
from tbconv.contract.statistics import is_positive, proportion

# --- axes ---
# Scales, ticks and frames of the page's drawings: SVG whose colours follow the page, light or dark.


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to a place in the drawing."""

    low: float
    high: float
    start: float  # pixels, where `low` lies
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, in pixels; values beyond an end lie on it."""
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        share = min(1.0, max(0.0, (at - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        """Return round values between the ends: powers of ten, or steps of 1, 2 or 5."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, math.ceil((last - first + 1) / most))
            return [10.0**power for power in range(first, last + 1, every)]
        step = _round_step((self.high - self.low) / most)
        return [step * k for k in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def bottom_axis(scale: Scale, top: float, bottom: float, title: str) -> str:
    """Return vertical grid lines, their numbers and the name of the axis below."""
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text(x, bottom + 16, number(tick, log=scale.log), "middle"))
    return "".join(parts) + text((scale.start + scale.end) / 2, bottom + 34, title, "middle", kind="name")


def left_axis(scale: Scale, left: float, right: float, title: str) -> str:
    """Return horizontal grid lines, their numbers and the name of the axis above."""
    parts = []
    for tick in scale.ticks(5):
        y = scale(tick)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(left - 6, y + 4, number(tick), "end"))
    return "".join(parts) + text(left, min(scale.start, scale.end) - 8, title, "start", kind="name")


def text(x: float, y: float, words: str, anchor: str = "start", *, kind: str = "tick") -> str:
    """Return a line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def dots(x: Iterable[float], y: Iterable[float], kind: str) -> str:
    """Return many dots as one path, which keeps a thousand films small."""
    return f'<path class="dots {kind}" d="{"".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))}"/>'


def svg(width: float, height: float, parts: Iterable[str], *, says: str) -> str:
    """Return a drawing; `says` is what a screen reader reads."""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(says)}">'
    return f"{head}{''.join(parts)}</svg>"


def number(value: float, *, log: bool = False) -> str:
    """Return a tick's number: powers of ten as such, others plainly, with a true minus sign."""
    if log:
        power = round(math.log10(value))
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] if d != "-" else "⁻" for d in str(power))
    return f"{round(value, 10):g}".replace("-", "\N{MINUS SIGN}")


def finite(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the finite values of an array, flat."""
    flat = np.asarray(values, np.float64).ravel()
    kept: NDArray[np.float64] = flat[np.isfinite(flat)]
    return kept


# --- distances ---
# The drawing of distances: each film's largest |d logit|, one row of dots a file, on a scale of powers of ten.

DISTANCES_WIDTH, DISTANCES_ROW, DISTANCES_LEFT, DISTANCES_RIGHT = 860, 40, 190, 110
SMALLEST = 1e-9  # logits; below any float32 step of a logit that decides, so that exact answers have a place


@dataclass(frozen=True, slots=True)
class Strip:
    """One row."""

    name: str
    reduced: bool
    distances: NDArray[np.float64] | None  # [N], logits; None where the answers hold NaN
    allowed: float | None  # the tolerance of a float32 file


def film_distances(reference: Prediction, other: Prediction) -> NDArray[np.float64] | None:
    """Return the largest |d logit| of each film, [N]; None where one is not finite or the shapes differ."""
    if reference.logits.shape != other.logits.shape or not np.isfinite(other.logits).all():
        return None
    found: NDArray[np.float64] = np.abs(other.logits.astype(np.float64) - reference.logits).max(axis=1)
    return found


def draw_distances(strips: list[Strip]) -> str:
    """Return one row a file; a bar marks its median, a dashed line what is allowed."""
    bottom = 14 + DISTANCES_ROW * len(strips)
    scale = Scale(*_distances_ends(strips), DISTANCES_LEFT, DISTANCES_WIDTH - DISTANCES_RIGHT, log=True)
    rows = [_row(strip, 14 + DISTANCES_ROW * (index + 0.5), scale) for index, strip in enumerate(strips)]
    axis = bottom_axis(scale, 8, bottom, "largest |Δ logit| of a film, against PyTorch float32")
    return svg(DISTANCES_WIDTH, bottom + 44, [axis, *rows], says="distances from PyTorch by film and file")


def _distances_ends(strips: list[Strip]) -> tuple[float, float]:
    known = np.concatenate([finite(s.distances) for s in strips if s.distances is not None] or [np.ones(1)])
    above = known[known > SMALLEST]
    low, high = (float(above.min()), float(above.max())) if len(above) else (1e-6, 1e-5)
    return 10.0 ** np.floor(np.log10(low) - 0.05), 10.0 ** np.ceil(np.log10(max(high, 10 * low)) + 0.05)


def _row(strip: Strip, y: float, scale: Scale) -> str:
    name = text(DISTANCES_LEFT - 12, y + 4, strip.name, "end", kind="row")
    if strip.distances is None:
        return name + text(
            DISTANCES_LEFT + 8, y + 4, "NaN, infinite or misshapen answers: nothing to draw", kind="row bad"
        )
    spread = (np.arange(len(strip.distances)) * 0.618) % 1 - 0.5  # golden ratio: neighbours do not overlap
    kind = "reduced" if strip.reduced else "exact"
    parts = [name, dots((scale(d) for d in strip.distances), y + 20 * spread, kind)]
    middle = scale(float(np.median(strip.distances)))
    parts.append(line(middle, y - 14, middle, y + 14, "median"))
    if strip.allowed is not None and scale.low < strip.allowed < scale.high:
        parts.append(line(scale(strip.allowed), y - 16, scale(strip.allowed), y + 16, "allowed"))
    return "".join(parts) + text(
        DISTANCES_WIDTH - DISTANCES_RIGHT + 10, y + 4, f"max {strip.distances.max():.1e}", kind="row"
    )


# --- drawings ---


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
    flipped = int((is_positive(reference, threshold) != is_positive(other, threshold)).sum())
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


# --- costs ---
# The drawing of costs: a bar a file for its size, and one for its latency where that was measured.

COSTS_WIDTH, COSTS_ROW, COSTS_LEFT, COSTS_RIGHT = 420, 34, 150, 84


def draw_bars(values: Mapping[str, float], words: Callable[[float], str], *, says: str) -> str:
    """Return horizontal bars from zero, in the order given.

    Args:
        values: by file; at least one, none negative.
        words: how a number is written beside its bar.
        says: what a screen reader reads.
    """
    most = max(values.values()) or 1.0
    rows = [
        _bar(name, value, most, 6 + COSTS_ROW * index, words(value))
        for index, (name, value) in enumerate(values.items())
    ]
    return svg(COSTS_WIDTH, 12 + COSTS_ROW * len(values), rows, says=says)


def _bar(name: str, value: float, most: float, top: float, words: str) -> str:
    width = max(1.0, (COSTS_WIDTH - COSTS_LEFT - COSTS_RIGHT) * value / most)
    bar = f'<rect class="bar" x="{COSTS_LEFT}" y="{top + 7:.1f}" width="{width:.1f}" height="{COSTS_ROW - 14}" rx="2"/>'
    return (
        text(COSTS_LEFT - 8, top + COSTS_ROW / 2 + 4, name, "end", kind="row")
        + bar
        + text(COSTS_LEFT + width + 6, top + COSTS_ROW / 2 + 4, words, kind="row")
    )


# --- maps ---
# The golden inputs as pictures: PyTorch's evidence beside the file's, on one scale, so that a difference is seen.

SIDE = 112  # pixels of a picture: half of what the network sees
POSITIVE, NEGATIVE = (230, 97, 1), (33, 102, 172)  # as in tf_serve.predict: ColorBrewer's, colour-blind-safe
OPACITY, FAINTEST_SCALE = 0.55, 1.0  # of the strongest cell; logits


def draw_maps(golden: Golden, reference: Prediction, other: Prediction, *, threshold: float, name: str) -> str:
    """Return a card a golden input: two pictures, two margins, two decisions.

    Args:
        golden: drawn inputs, no patient behind them.
        reference: PyTorch's answers to them.
        other: the file's answers.
        threshold: margin in logits.
        name: of the file.
    """
    cards = [
        _card(kind, golden.model_inputs[row], _pick(reference, row), _pick(other, row), threshold=threshold, file=name)
        for row, kind in enumerate(golden.names)
    ]
    return f'<div class="maps">{"".join(cards)}</div>'


def describe_input(name: str) -> str:
    """Return what a golden input is, in words that nobody takes for a patient's film."""
    plain = name.replace("_", " ")
    return f"{plain} (synthetic, drawn)" if name.startswith("phantom") else f"{plain} (drawn probe)"


def _pick(answer: Prediction, row: int) -> tuple[float, NDArray[np.floating] | None]:
    return float(answer.margin[row]), None if answer.evidence is None else answer.evidence[row]


def _card(
    name: str,
    model_input: NDArray[np.uint8],
    first: tuple[float, NDArray[np.floating] | None],
    second: tuple[float, NDArray[np.floating] | None],
    *,
    threshold: float,
    file: str,
) -> str:
    known = [np.abs(m).max() for _, m in (first, second) if m is not None and np.isfinite(m).all()]
    scale = max([FAINTEST_SCALE, *map(float, known)])
    pictures = "".join(
        _half(model_input, evidence, scale, margin, threshold, who)
        for who, (margin, evidence) in (("PyTorch", first), (file, second))
    )
    words = f"{describe_input(name)}; full colour is {scale:.3g} logits"
    return f'<div class="card"><div class="pair">{pictures}</div><p>{escape(words)}</p></div>'


def _half(
    model_input: NDArray[np.uint8],
    evidence: NDArray[np.floating] | None,
    scale: float,
    margin: float,
    threshold: float,
    who: str,
) -> str:
    if evidence is None or not np.isfinite(evidence).all() or not np.isfinite(margin):
        return f'<div><div class="none">no finite map</div><b>{escape(who)}</b></div>'
    decision = "refer" if is_positive(margin, threshold) else "not flagged"
    said = f"{escape(who)}: margin {margin:+.3f}, {decision}"
    picture = f'<img alt="{said}" width="{SIDE}" height="{SIDE}" src="{picture_uri(model_input, evidence, scale)}">'
    return f"<div>{picture}<b>{escape(who)}</b><span>{margin:+.3f}<br>{decision}</span></div>"


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
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


# --- margins ---
# The drawing of margins: how far a reduced file's margin lies from PyTorch's, film by film, and where that flips.

MARGINS_WIDTH, MARGINS_HEIGHT, MARGINS_LEFT, MARGINS_RIGHT, MARGINS_TOP, MARGINS_BOTTOM = 420, 330, 58, 14, 30, 284


def draw_margins(
    reference: NDArray[np.floating],
    other: NDArray[np.floating],
    *,
    threshold: float,
    band: float,
    labels: NDArray[np.int64] | None,
) -> str:
    """Draw one file.

    Args:
        reference: PyTorch's margins in logits, [N].
        other: the file's margins for the same films, [N], finite.
        threshold: margin in logits.
        band: half the width of the band around the threshold in which decisions can flip, logits.
        labels: int64 [N], 1 positive; None where they are not known.
    """
    difference = other.astype(np.float64) - reference
    reach = max(float(np.abs(difference).max()), 1e-9) * 1.1
    x = Scale(*_margins_ends(reference, threshold), MARGINS_LEFT, MARGINS_WIDTH - MARGINS_RIGHT)
    y = Scale(-reach, reach, MARGINS_BOTTOM, MARGINS_TOP)
    flipped = is_positive(reference, threshold) != is_positive(other, threshold)
    groups = _groups(labels, len(reference))
    points = [dots(map(x, reference[rows]), map(y, difference[rows]), kind) for kind, rows in groups.items()]
    rings = [_ring(x(a), y(b)) for a, b in zip(reference[flipped], difference[flipped], strict=True)]
    left, right = x(threshold - band), x(threshold + band)
    width, height = f"{max(right - left, 1):.1f}", MARGINS_BOTTOM - MARGINS_TOP
    shade = f'<rect class="band" x="{left:.1f}" y="{MARGINS_TOP}" width="{width}" height="{height}"/>'
    edge = _edge(x, y, threshold, reach)
    cut = line(x(threshold), MARGINS_TOP, x(threshold), MARGINS_BOTTOM, "threshold")
    axes = bottom_axis(x, MARGINS_TOP, MARGINS_BOTTOM, "PyTorch's margin, logits") + left_axis(
        y, MARGINS_LEFT, MARGINS_WIDTH - MARGINS_RIGHT, "file \N{MINUS SIGN} PyTorch"
    )
    said = "difference of margins over PyTorch's margin"
    return svg(MARGINS_WIDTH, MARGINS_HEIGHT, [shade, axes, cut, edge, *points, *rings], says=said)


def _margins_ends(reference: NDArray[np.floating], threshold: float) -> tuple[float, float]:
    low, high = min(float(reference.min()), threshold), max(float(reference.max()), threshold)
    room = 0.04 * max(high - low, 1e-6)
    return low - room, high + room


def _groups(labels: NDArray[np.int64] | None, count: int) -> dict[str, NDArray[np.bool_]]:
    if labels is None:
        return {"unknown": np.ones(count, bool)}
    return {"negative": labels == 0, "positive": labels == 1}


def _edge(x: Scale, y: Scale, threshold: float, reach: float) -> str:
    """Return the line beyond which a decision flips: where the file's margin equals the threshold."""
    ends = [max(x.low, threshold - reach), min(x.high, threshold + reach)]
    return line(x(ends[0]), y(threshold - ends[0]), x(ends[1]), y(threshold - ends[1]), "edge")


def _ring(x: float, y: float) -> str:
    return f'<circle class="flip" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'


# --- reliability ---
# The drawing of reliability: of films called p, how many are positive; with exact intervals, before and after.

RELIABILITY_WIDTH, RELIABILITY_HEIGHT, RELIABILITY_LEFT, RELIABILITY_RIGHT, RELIABILITY_TOP, RELIABILITY_BOTTOM = (
    420,
    350,
    48,
    16,
    34,
    292,
)
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Films whose probability lies in one tenth."""

    called: float  # their mean probability
    observed: float  # share of positives
    low: float  # of the share's Clopper-Pearson interval, 95 %
    high: float
    n: int


def reliability(probability: NDArray[np.floating], labels: NDArray[np.int64]) -> list[Bin]:
    """Return the tenths that hold films.

    Args:
        probability: [N] or [N, 1], finite, 0..1.
        labels: int64 [N], 1 positive.
    """
    flat = probability.reshape(-1).astype(np.float64)
    which = np.clip((flat * BINS).astype(np.int64), 0, BINS - 1)
    found = []
    for index in np.unique(which):
        rows = which == index
        share = proportion(int(labels[rows].sum()), int(rows.sum()))
        assert share.value is not None and share.low is not None and share.high is not None  # noqa: S101, PT018 - rows exist
        found.append(Bin(float(flat[rows].mean()), share.value, share.low, share.high, share.n))
    return found


def draw_reliability(bins: list[Bin]) -> str:
    """Return one panel; a dot on the diagonal says that the probabilities mean what they say."""
    x, y = (
        Scale(0, 1, RELIABILITY_LEFT, RELIABILITY_WIDTH - RELIABILITY_RIGHT),
        Scale(0, 1, RELIABILITY_BOTTOM, RELIABILITY_TOP),
    )
    axes = bottom_axis(x, RELIABILITY_TOP, RELIABILITY_BOTTOM, "probability of the positive class") + left_axis(
        y, RELIABILITY_LEFT, RELIABILITY_WIDTH - RELIABILITY_RIGHT, "share that is positive (n at the dot)"
    )
    marks = [_mark(one, x, y) for one in bins]
    return svg(
        RELIABILITY_WIDTH,
        RELIABILITY_HEIGHT,
        [axes, line(x(0), y(0), x(1), y(1), "edge"), *marks],
        says="reliability diagram",
    )


def _mark(one: Bin, x: Scale, y: Scale) -> str:
    at = x(one.called)
    side = ("end", -9) if at > (RELIABILITY_LEFT + RELIABILITY_WIDTH) / 2 else ("start", 9)
    whisker = line(at, y(one.low), at, y(one.high), "whisker")
    dot = f'<circle class="share" cx="{at:.1f}" cy="{y(one.observed):.1f}" r="5"/>'
    return whisker + dot + text(at + side[1], y(one.observed) + 4, str(one.n), side[0])
